import { asc, eq, isNotNull, sql } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import type { Version } from '../link/version.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import type { Refusal } from './outbox.ts'
import { convergeJob, refusedInstance } from './schema.ts'
import { versionOf } from './study-version.ts'

/** What one cluster is yet to get of a study, or to give. */
export interface StudyJob {
  /** Of its queue. */
  readonly cluster: string
  readonly state: 'waiting' | 'running' | 'dead'
  readonly requestedAt: Date
  /** Failed runs since it was last requested. */
  readonly attempts: number
  readonly error: string | null
}

/** How the updates of one study stand. */
export interface StudyUpdates {
  readonly study: Uid
  /** Changes of each site that this one has. */
  readonly version: Version
  /** None for clusters that have what they are to have. */
  readonly jobs: readonly StudyJob[]
  readonly refused: readonly Omit<Refusal, 'study'>[]
}

const maxRefused = 1000

/** The first {@link maxRefused} of its refused instances at most. */
export const studyUpdates = (db: Queries, study: Uid): Promise<StudyUpdates> =>
  guard('read how the updates of a study stand', async () => {
    const { cluster, attempts, requestedAt, lastError: error, deadSince, leaseUntil } = convergeJob
    const state = sql<StudyJob['state']>`case when ${isNotNull(deadSince)} then 'dead'
      when ${leaseUntil} > now() then 'running' else 'waiting' end`
    const jobs = await db
      .select({ cluster, state, requestedAt, attempts, error })
      .from(convergeJob)
      .where(eq(convergeJob.studyInstanceUID, study))
      .orderBy(asc(cluster))
    const { sopInstanceUID: instance, reason, refusedAt } = refusedInstance
    const refused = await db
      .select({ cluster: refusedInstance.cluster, instance, reason, refusedAt })
      .from(refusedInstance)
      .where(eq(refusedInstance.studyInstanceUID, study))
      .orderBy(asc(refusedInstance.cluster), asc(instance))
      .limit(maxRefused)
    return { study, version: await versionOf(db, study), jobs, refused }
  })

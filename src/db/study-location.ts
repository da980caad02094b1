import { and, asc, eq, sql } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { studyLocation } from './schema.ts'

/** A cluster was seen to hold something of a study. */
export interface Holding {
  readonly study: Uid
  readonly cluster: string
  /** Instances of the study there, when the cluster said so. */
  readonly instances?: number | undefined
}

export interface Holder {
  readonly cluster: string
  /** As last told, or null when the cluster never said. */
  readonly instances: number | null
  readonly seenAt: Date
}

/** Rows of one statement: far below the limit of parameters, large enough that the round trip does not matter. */
const batchSize = 1000

/**
 * Notes which clusters hold which studies. What is known already and was confirmed within the hour is not written
 * again: every query of a worklist comes by here.
 */
export async function rememberHolders(db: Queries, holdings: readonly Holding[]): Promise<void> {
  const rows = distinct(holdings)
  for (let start = 0; start < rows.length; start += batchSize) {
    await guard('remember where studies are', () => upsert(db, rows.slice(start, start + batchSize)))
  }
}

/** The clusters that were seen to hold something of the study, by id. */
export const holdersOf = (db: Queries, study: Uid): Promise<Holder[]> =>
  guard('look up where a study is', () =>
    db
      .select({ cluster: studyLocation.cluster, instances: studyLocation.instances, seenAt: studyLocation.seenAt })
      .from(studyLocation)
      .where(eq(studyLocation.studyInstanceUID, study))
      .orderBy(asc(studyLocation.cluster)),
  )

/** Studies known to be at a cluster. */
export const countStudiesAt = (db: Queries, cluster: string): Promise<number> =>
  guard('count the studies of a cluster', () => db.$count(studyLocation, eq(studyLocation.cluster, cluster)))

/** The cluster was asked and does not hold the study. */
export const forgetHolder = (db: Queries, study: Uid, cluster: string): Promise<void> =>
  guard('forget where a study was', async () => {
    await db
      .delete(studyLocation)
      .where(and(eq(studyLocation.studyInstanceUID, study), eq(studyLocation.cluster, cluster)))
  })

type Row = typeof studyLocation.$inferInsert

/** One row a pair, in one order: PostgreSQL updates no row twice in a statement, and two batches never deadlock. */
function distinct(holdings: readonly Holding[]): Row[] {
  const pairs = new Map<string, Row>()
  for (const { study, cluster, instances } of holdings) {
    const key = `${study} ${cluster}`
    const known = pairs.get(key)?.instances ?? null
    pairs.set(key, { studyInstanceUID: study, cluster, instances: instances ?? known })
  }
  return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

const upsert = (db: Queries, rows: Row[]) =>
  db
    .insert(studyLocation)
    .values(rows)
    .onConflictDoUpdate({
      target: [studyLocation.studyInstanceUID, studyLocation.cluster],
      set: { instances: sql`coalesce(excluded.instances, ${studyLocation.instances})`, seenAt: sql`now()` },
      setWhere: sql`coalesce(excluded.instances, ${studyLocation.instances}) is distinct from ${studyLocation.instances}
        or ${studyLocation.seenAt} < now() - interval '1 hour'`,
    })

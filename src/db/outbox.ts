import { and, asc, count, eq, isNotNull, isNull, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { insertRequests, requestedAnew } from './converge-jobs.ts'
import { guard } from './errors.ts'
import { convergeJob, pausedCluster, refusedInstance } from './schema.ts'

/* What whoever operates the queue of `converge-jobs.ts` sees of it and does to it. */

/** The queue of one cluster. */
export interface QueueDepth {
  readonly cluster: string
  readonly waiting: number
  readonly running: number
  readonly dead: number
  /** The oldest unmet request, dead letters apart. */
  readonly oldestRequestedAt: Date | null
  /** The last failure of the jobs that are not done. */
  readonly lastFailedAt: Date | null
  readonly lastError: string | null
}

/** How much is to be done, one row for each cluster that has jobs. */
export const queueDepth = (db: Queries): Promise<QueueDepth[]> =>
  guard('count convergence jobs', async () => {
    const { cluster, deadSince, requestedAt, failedAt, lastError } = convergeJob
    const [alive, running] = [isNull(deadSince), sql`${convergeJob.leaseUntil} > now()`]
    return db
      .select({
        cluster,
        waiting: counted(sql`${alive} and (${running}) is not true`),
        running: counted(running),
        dead: counted(isNotNull(deadSince)),
        oldestRequestedAt: sql<Date | null>`min(${requestedAt}) filter (where ${alive})`.mapWith(requestedAt),
        lastFailedAt: sql<Date | null>`max(${failedAt})`.mapWith(failedAt),
        lastError: sql<string | null>`(array_agg(${lastError} order by ${failedAt} desc nulls last))[1]`,
      })
      .from(convergeJob)
      .groupBy(cluster)
      .orderBy(asc(cluster))
  })

const counted = (which: SQL) => sql<number>`count(*) filter (where ${which})`.mapWith(Number)

/** The clusters that are not replicated to, and since when. */
export const pausedClusters = (db: Queries): Promise<Map<string, Date>> =>
  guard('read which clusters are paused', async () => {
    const rows = await db.select().from(pausedCluster)
    return new Map(rows.map(({ cluster, since }) => [cluster, since]))
  })

/** No proxy on this database claims jobs of the cluster any more. Pausing a paused one changes nothing. */
export const pauseCluster = (db: Queries, cluster: string): Promise<void> =>
  guard('pause replication', async () => {
    await db.insert(pausedCluster).values({ cluster }).onConflictDoNothing()
  })

/**
 * Its jobs are due at once. How long they had been failing is forgotten: the pause does not make dead letters of them.
 * Nothing happens to a cluster that is not paused.
 */
export const resumeCluster = (db: Queries, cluster: string): Promise<void> =>
  guard('resume replication', () =>
    db.transaction(async (tx) => {
      const paused = await tx.delete(pausedCluster).where(eq(pausedCluster.cluster, cluster)).returning()
      if (paused.length === 0) return
      await tx
        .update(convergeJob)
        .set({ attempts: 0, failingSince: null, runAt: sql`least(${convergeJob.runAt}, now())` })
        .where(
          and(eq(convergeJob.cluster, cluster), isNotNull(convergeJob.failingSince), isNull(convergeJob.deadSince)),
        )
    }),
  )

/**
 * Makes the dead letters of a cluster, or that of one study, due again, and those of its studies of which it refused
 * instances: these are sent again. Answers how many studies that are.
 */
export const retryConverge = (db: Queries, cluster: string, study?: Uid): Promise<number> =>
  guard('retry dead letters', () =>
    db.transaction(async (tx) => {
      const dead = await tx
        .update(convergeJob)
        .set(requestedAnew)
        .where(and(isNotNull(convergeJob.deadSince), belongsTo(convergeJob, cluster, study)))
        .returning({ study: convergeJob.studyInstanceUID })
      const refused = await tx
        .delete(refusedInstance)
        .where(belongsTo(refusedInstance, cluster, study))
        .returning({ study: refusedInstance.studyInstanceUID })
      const revived = new Set(dead.map((it) => it.study))
      const others = [...new Set(refused.map((it) => it.study)).difference(revived)].sort()
      for (const some of inBatches(others)) {
        const pairs = some.map((studyInstanceUID) => ({ studyInstanceUID, cluster }))
        await insertRequests(tx, pairs)
      }
      return revived.size + others.length
    }),
  )

/** Where a page of a list ends, and how long it may be; the lists are in the order of clusters, studies, instances. */
export interface PageOptions {
  readonly cluster?: string | undefined
  readonly after?: readonly string[] | undefined
  readonly limit: number
}

/** A study that a cluster was given up on. */
export interface DeadLetter {
  readonly study: Uid
  readonly cluster: string
  /** Failed runs since it was last requested. */
  readonly attempts: number
  readonly requestedAt: Date
  readonly failingSince: Date | null
  readonly deadSince: Date | null
  readonly error: string | null
}

/** Dead letters, after the cluster and study given. */
export const deadLetters = (db: Queries, { cluster, after, limit }: PageOptions): Promise<DeadLetter[]> =>
  guard('list dead letters', () => {
    const { studyInstanceUID: study, attempts, requestedAt, failingSince, deadSince, lastError: error } = convergeJob
    const order = [convergeJob.cluster, study]
    return db
      .select({ study, cluster: convergeJob.cluster, attempts, requestedAt, failingSince, deadSince, error })
      .from(convergeJob)
      .where(and(isNotNull(deadSince), ofCluster(convergeJob, cluster), beyond(order, after)))
      .orderBy(...order.map((column) => asc(column)))
      .limit(limit)
  })

/** An instance that a cluster refuses whatever is done. */
export interface Refusal {
  readonly study: Uid
  readonly cluster: string
  readonly instance: Uid
  /** Failure Reason (0008,1197). */
  readonly reason: number
  readonly refusedAt: Date
}

/** Refused instances, after the cluster, study and instance given. */
export const refusals = (db: Queries, { cluster, after, limit }: PageOptions): Promise<Refusal[]> =>
  guard('list refused instances', () => {
    const { studyInstanceUID: study, sopInstanceUID: instance, reason, refusedAt } = refusedInstance
    const order = [refusedInstance.cluster, study, instance]
    return db
      .select({ study, cluster: refusedInstance.cluster, instance, reason, refusedAt })
      .from(refusedInstance)
      .where(and(ofCluster(refusedInstance, cluster), beyond(order, after)))
      .orderBy(...order.map((column) => asc(column)))
      .limit(limit)
  })

/** How many instances each cluster refuses. */
export const countRefusals = (db: Queries): Promise<Map<string, number>> =>
  guard('count refused instances', async () => {
    const { cluster } = refusedInstance
    const rows = await db.select({ cluster, refused: count() }).from(refusedInstance).groupBy(cluster)
    return new Map(rows.map((row) => [row.cluster, row.refused]))
  })

/** The instances of a study that the cluster has refused. */
export const refusedOf = (db: Queries, study: Uid, cluster: string): Promise<Set<Uid>> =>
  guard('read refused instances', async () => {
    const rows = await db
      .select({ instance: refusedInstance.sopInstanceUID })
      .from(refusedInstance)
      .where(belongsTo(refusedInstance, cluster, study))
    return new Set(rows.map(({ instance }) => instance))
  })

/** Keeps what a cluster refused of a study, so that it is seen and not sent again. */
export const rememberRefusals = (
  db: Queries,
  study: Uid,
  cluster: string,
  refused: readonly Pick<Refusal, 'instance' | 'reason'>[],
): Promise<void> =>
  guard('remember refused instances', async () => {
    const rows = refused.map(({ instance: sopInstanceUID, reason }) => ({
      cluster,
      studyInstanceUID: study,
      sopInstanceUID,
      reason,
    }))
    for (const some of inBatches(rows)) await db.insert(refusedInstance).values(some).onConflictDoNothing()
  })

type OfStudy = typeof convergeJob | typeof refusedInstance

const ofCluster = (table: OfStudy, cluster: string | undefined) =>
  cluster === undefined ? undefined : eq(table.cluster, cluster)

const belongsTo = (table: OfStudy, cluster: string, study: Uid | undefined) =>
  and(eq(table.cluster, cluster), study === undefined ? undefined : eq(table.studyInstanceUID, study))

/** Rows whose `columns` come after `values` in their order. */
function beyond(columns: readonly SQLWrapper[], values: readonly string[] | undefined) {
  if (!values) return undefined
  const [left, right] = [columns.map((it) => sql`${it}`), values.map((it) => sql`${it}`)]
  return sql`(${sql.join(left, sql`, `)}) > (${sql.join(right, sql`, `)})`
}

/** Well below what a statement takes in parameters. */
const batchSize = 1000

function* inBatches<T>(items: readonly T[]): Generator<T[]> {
  for (let start = 0; start < items.length; start += batchSize) yield items.slice(start, start + batchSize)
}

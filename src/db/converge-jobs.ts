import { and, asc, eq, getTableColumns, inArray, isNotNull, isNull, lte, notInArray, or, sql } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { convergeJob, pausedCluster } from './schema.ts'

/*
 * The queue of "make cluster C hold all of study S".
 *
 *            requestConverge              claimConverge
 *   (no row) ───────────────► waiting ─────────────────► leased ──── completeConverge, generation unchanged ──► (no row)
 *                                ▲  ▲                     │ │ │
 *                                │  └── failConverge ─────┤ │ └─ lease lapses: anybody's to claim
 *                                ├───── completeConverge ─│─┘    (requested again meanwhile)
 *                                ├───── postponeConverge ─┤
 *                                │                        │
 *                requestConverge, retryConverge ◄── dead ◄┘ failConverge, failing for too long
 *
 * Jobs of a paused cluster are not claimed; what was claimed before goes on to its end. `outbox.ts` has the verbs for
 * whoever operates the queue.
 *
 * Every time in it is the database's: two proxies that share a database have two clocks, and a lease judged by a
 * clock that runs ahead would be taken from its owner while it still works. Callers therefore pass durations.
 */

/** One claimed job; `lease` proves the claim and is worth nothing once somebody else has claimed the job. */
export interface ClaimedJob {
  readonly study: Uid
  readonly cluster: string
  readonly generation: number
  /** Failed runs since the last success or request. */
  readonly attempts: number
  readonly lease: string
}

export interface ClaimOptions {
  /** Names this process in the lease, for whoever reads the table. */
  readonly owner: string
  /** Only jobs of these clusters. */
  readonly clusters: readonly string[]
  readonly limit: number
  readonly leaseMs: number
}

export interface FailOptions {
  readonly retryInMs: number
  /** A job that has been failing for this long is a dead letter. */
  readonly giveUpAfterMs: number
}

/**
 * Asks that each of `clusters` come to hold all of `study`. A pair that is waiting becomes due at once, as if it had
 * never failed; a pair that is being worked on runs once more.
 */
export async function requestConverge(db: Queries, study: Uid, clusters: readonly string[]): Promise<void> {
  // In one order, so that two requests of the same pairs never deadlock.
  const rows = [...new Set(clusters)].sort().map((cluster) => ({ studyInstanceUID: study, cluster }))
  if (rows.length === 0) return
  await guard('queue a study for convergence', () => insertRequests(db, rows))
}

type Pair = Pick<typeof convergeJob.$inferInsert, 'studyInstanceUID' | 'cluster'>

export const insertRequests = (db: Queries, pairs: readonly Pair[]) =>
  db
    .insert(convergeJob)
    .values([...pairs])
    .onConflictDoUpdate({ target: [convergeJob.studyInstanceUID, convergeJob.cluster], set: requestedAnew })

/**
 * As if it had never failed; what it failed of last is still told. It keeps its place in the line, so that a study that
 * is requested again and again has its turn; one that is being worked on goes to the end.
 */
export const requestedAnew = {
  generation: sql`${convergeJob.generation} + 1`,
  attempts: 0,
  runAt: sql`case when ${convergeJob.leaseUntil} > now() then now() else least(${convergeJob.runAt}, now()) end`,
  failingSince: null,
  deadSince: null,
}

/** Claims up to `limit` due jobs, the longest due first. No two claims that are alive are of the same job. */
export async function claimConverge(db: Queries, options: ClaimOptions): Promise<ClaimedJob[]> {
  if (options.clusters.length === 0 || options.limit <= 0) return []
  const due = db.$with('due').as(dueJobs(db, options))
  const lease = sql`${options.owner}::text || '/' || gen_random_uuid()::text`
  return guard('claim convergence jobs', () =>
    db
      .with(due)
      .update(convergeJob)
      .set({ lease, leaseUntil: inFuture(options.leaseMs) })
      .from(due)
      .where(and(eq(convergeJob.studyInstanceUID, due.study), eq(convergeJob.cluster, due.cluster)))
      .returning(claimed),
  )
}

/** Prolongs the claim; false when it was lost and the work must stop. */
export const renewLease = (db: Queries, job: ClaimedJob, leaseMs: number): Promise<boolean> =>
  guard('renew a lease', async () => {
    const rows = await db
      .update(convergeJob)
      .set({ leaseUntil: inFuture(leaseMs) })
      .where(held(job))
      .returning({ cluster: convergeJob.cluster })
    return rows.length > 0
  })

/**
 * The cluster holds all of the study. `done`: the job is gone; `again`: it was requested meanwhile and is due;
 * `lost`: the claim had lapsed and somebody else has the job, nothing was changed.
 */
export const completeConverge = (db: Queries, job: ClaimedJob): Promise<'done' | 'again' | 'lost'> =>
  guard('complete a convergence job', async () => {
    const deleted = await db
      .delete(convergeJob)
      .where(and(held(job), eq(convergeJob.generation, job.generation)))
      .returning({ cluster: convergeJob.cluster })
    if (deleted.length > 0) return 'done'
    const released = await db
      .update(convergeJob)
      // The requests before this run are met: the oldest unmet one is no older than the last that made it due.
      .set({ ...freed, lastError: null, failedAt: null, requestedAt: sql`${convergeJob.runAt}` })
      .where(held(job))
      .returning({ cluster: convergeJob.cluster })
    return released.length > 0 ? 'again' : 'lost'
  })

/**
 * The run succeeded and the study is to be looked at once more: the job is due in `runInMs`, or at once when it was
 * requested meanwhile. Nothing happens when the claim was lost.
 */
export const postponeConverge = (db: Queries, job: ClaimedJob, runInMs: number): Promise<void> =>
  guard('postpone a convergence job', async () => {
    const untouched = sql`${convergeJob.generation} = ${job.generation}`
    await db
      .update(convergeJob)
      .set({
        ...{ ...freed, attempts: 0, failingSince: null, lastError: null, failedAt: null },
        runAt: sql`case when ${untouched} then ${inFuture(runInMs)} else ${convergeJob.runAt} end`,
      })
      .where(held(job))
  })

/**
 * The run failed. `waiting`: the job is due again in `retryInMs`, or at once when it was requested meanwhile; `dead`: it
 * has been failing for too long and is not tried again by itself; `lost`: the claim had lapsed and somebody else has the
 * job, nothing was changed. `error` is kept for the administrator.
 */
export const failConverge = (
  db: Queries,
  job: ClaimedJob,
  error: string,
  { retryInMs, giveUpAfterMs }: FailOptions,
): Promise<'waiting' | 'dead' | 'lost'> =>
  guard('put a convergence job off', async () => {
    const untouched = sql`${convergeJob.generation} = ${job.generation}`
    // A request made meanwhile has set it back.
    const since = sql`coalesce(${convergeJob.failingSince}, now())`
    const rows = await db
      .update(convergeJob)
      .set({
        ...freed,
        lastError: error.slice(0, 1000),
        failedAt: sql`now()`,
        attempts: sql`case when ${untouched} then ${convergeJob.attempts} + 1 else ${convergeJob.attempts} end`,
        runAt: sql`case when ${untouched} then ${inFuture(retryInMs)} else ${convergeJob.runAt} end`,
        failingSince: sql`case when ${untouched} then ${since} end`,
        deadSince: sql`case when ${since} <= ${inFuture(-giveUpAfterMs)} then now() end`,
      })
      .where(held(job))
      .returning({ deadSince: convergeJob.deadSince })
    if (rows.length === 0) return 'lost'
    return rows[0]?.deadSince ? 'dead' : 'waiting'
  })

/** Gives a claimed job back unharmed, for a worker that shuts down; nothing happens when the claim was lost. */
export const releaseConverge = (db: Queries, job: ClaimedJob): Promise<void> =>
  guard('release a convergence job', async () => {
    await db.update(convergeJob).set(freed).where(held(job))
  })

/**
 * Gives back every claim there is: for the start on a database that no other process has, where whoever held one is
 * gone and would otherwise be waited for until its leases lapse.
 */
export const releaseAbandoned = (db: Queries): Promise<void> =>
  guard('release abandoned convergence jobs', async () => {
    await db.update(convergeJob).set(freed).where(isNotNull(convergeJob.lease))
  })

const { studyInstanceUID: study, cluster, generation, attempts } = getTableColumns(convergeJob)
const claimed = { study, cluster, generation, attempts, lease: sql<string>`${convergeJob.lease}` }

/** SKIP LOCKED: a claimer passes by what another one is just claiming instead of waiting for it. */
const dueJobs = (db: Queries, { clusters, limit }: ClaimOptions) =>
  db
    .select({ study: convergeJob.studyInstanceUID, cluster: convergeJob.cluster })
    .from(convergeJob)
    .where(
      and(
        inArray(convergeJob.cluster, [...clusters]),
        notInArray(convergeJob.cluster, db.select({ cluster: pausedCluster.cluster }).from(pausedCluster)),
        isNull(convergeJob.deadSince),
        lte(convergeJob.runAt, sql`now()`),
        or(isNull(convergeJob.leaseUntil), lte(convergeJob.leaseUntil, sql`now()`)),
      ),
    )
    .orderBy(asc(convergeJob.runAt))
    .limit(limit)
    .for('update', { skipLocked: true })

const held = (job: ClaimedJob) =>
  and(
    eq(convergeJob.studyInstanceUID, job.study),
    eq(convergeJob.cluster, job.cluster),
    eq(convergeJob.lease, job.lease),
  )

const freed = { lease: null, leaseUntil: null }

const inFuture = (ms: number) => sql`now() + ${ms}::double precision * interval '1 millisecond'`

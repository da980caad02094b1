import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Cluster } from '../clusters/cluster.ts'
import type { Clusters } from '../clusters/registry.ts'
import { type Config, spoolId } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import type { Log, Telemetry } from '../core/telemetry.ts'
import type { Database } from '../db/connect.ts'
import * as jobs from '../db/converge-jobs.ts'
import { refusedOf, rememberRefusals } from '../db/outbox.ts'
import { holdersOf } from '../db/study-location.ts'
import type { Uid } from '../dicom/uid.ts'
import { archiveTarget, type Refusals } from '../replicate/archive-target.ts'
import {
  createReplication,
  type JobQueue,
  type Pace,
  type Replication,
  type ReplicationTarget,
} from '../replicate/service.ts'
import { updatesOf } from '../replicate/targets.ts'
import { travelsUnless } from '../replicate/travels.ts'
import type { KnownLocations } from './location-index.ts'

export const pace: Pace = {
  concurrency: 4,
  perTarget: 2,
  pollMs: 2000,
  renewMs: 20_000,
  renewTimeoutMs: 15_000,
  jobTimeoutMs: 3_600_000,
  retryMs: 2000,
  maxRetryMs: 300_000,
}
const leaseMs = 60_000

/** So many jobs at once that none of these targets, each with its full share, keeps a job of another one waiting. */
export const concurrencyFor = (targets: number): number => pace.perTarget * targets

export interface ReplicationParts {
  readonly db: Database
  readonly clusters: Clusters
  readonly index: KnownLocations
  readonly log: Log
  readonly metrics: Telemetry
}

/** Brings what was stored to the linked clusters, as configured; peers are told by `noticeTargets` instead. */
export function replicationOf(
  config: Config,
  noticeTargets: readonly ReplicationTarget[],
  { db, clusters, index, log, metrics }: ReplicationParts,
): Replication {
  const common = {
    sourcesFor: (study: Uid, target: string) => sourcesFor(db, clusters.all, study, target),
    refusals: refusalsOf(db),
    found: index.found,
    travels: travelsUnless(config.replication.stays),
    maxBufferedPartBytes: config.limits.maxBufferedPartBytes,
    log,
  }
  const archives = config.clusters.flatMap((configured) => {
    const cluster = clusters.get(configured.id)
    const updates = updatesOf(configured)
    const isPeer = noticeTargets.some(({ id }) => id === configured.id)
    return updates !== 'none' && cluster && !isPeer ? [archiveTarget(cluster, updates, common)] : []
  })
  // Those who tell peers mostly wait for them.
  const concurrency = pace.concurrency + concurrencyFor(noticeTargets.length)
  return createReplication({
    targets: [...archives, ...noticeTargets],
    queue: queueOf(db, config.replication),
    clock,
    log,
    telemetry: metrics,
    pace: { ...pace, concurrency },
  })
}

/** The durable queue, claimed from under a name of this process. */
export function queueOf(db: Database, { giveUpAfterMs }: { giveUpAfterMs: number }): JobQueue<jobs.ClaimedJob> {
  const owner = `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`
  return {
    request: (study, targets) => jobs.requestConverge(db, study, targets),
    claim: (targets, limit) => jobs.claimConverge(db, { owner, clusters: targets, limit, leaseMs }),
    renew: (job) => jobs.renewLease(db, job, leaseMs),
    complete: (job) => jobs.completeConverge(db, job),
    fail: (job, error, retryInMs) => jobs.failConverge(db, job, error, { retryInMs, giveUpAfterMs }),
    release: (job) => jobs.releaseConverge(db, job),
  }
}

export const refusalsOf = (db: Database): Refusals => ({
  of: (study, cluster) => refusedOf(db, study, cluster),
  remember: (study, cluster, refused) => rememberRefusals(db, study, cluster, refused),
})

/** Home, the spool, and linked clusters that were seen to hold something of the study; never a third party's content. */
async function sourcesFor(db: Database, all: readonly Cluster[], study: Uid, target: string) {
  const holders = new Set((await holdersOf(db, study)).map(({ cluster }) => cluster))
  return all.filter(
    ({ id, role }) => id !== target && (role === 'home' || (role === 'linked' && (id === spoolId || holders.has(id)))),
  )
}

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Cluster } from '../clusters/cluster.ts'
import { BytePace, storingAt } from '../clusters/paced.ts'
import type { Refusals } from '../clusters/refused.ts'
import type { Clusters } from '../clusters/registry.ts'
import { type ClusterConfig, type Config, spoolId } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import type { Log, Telemetry } from '../core/telemetry.ts'
import type { Database } from '../db/connect.ts'
import * as jobs from '../db/converge-jobs.ts'
import { refusedOf, rememberRefusals } from '../db/outbox.ts'
import { holdersOf } from '../db/study-location.ts'
import type { Uid } from '../dicom/uid.ts'
import { travelsUnless } from '../link/travels.ts'
import { archiveTarget } from '../replicate/archive-target.ts'
import type { Fresh } from '../replicate/fresh.ts'
import {
  createReplication,
  type JobQueue,
  type Pace,
  type PacedTarget,
  type Replication,
} from '../replicate/service.ts'
import { updatesOf } from '../replicate/targets.ts'
import type { KnownLocations } from './location-index.ts'

export const pace: Pace = {
  concurrency: 4,
  pollMs: 2000,
  renewMs: 20_000,
  renewTimeoutMs: 15_000,
  jobTimeoutMs: 3_600_000,
  retryMs: 2000,
  maxRetryMs: 300_000,
}
const leaseMs = 60_000

/** So many jobs at once that none of these targets, each with its full share, keeps a job of another one waiting. */
export const concurrencyFor = (targets: readonly PacedTarget[]): number =>
  targets.reduce((sum, { atOnce }) => sum + atOnce, 0)

/** What is stored into a cluster by replication, no faster than configured. */
export const paceOf = ({ updatesBytesPerSecond: rate }: ClusterConfig): BytePace | undefined =>
  rate === undefined ? undefined : new BytePace(clock, rate)

export interface ReplicationParts {
  readonly db: Database
  readonly clusters: Clusters
  readonly index: KnownLocations
  readonly log: Log
  readonly metrics: Telemetry
}

export interface UpdateParts extends ReplicationParts {
  /** What home is given. */
  readonly fresh: Fresh
}

/** Brings what was stored to the linked clusters, as configured; peers are told by `noticeTargets` instead. */
export function replicationOf(
  config: Config,
  noticeTargets: readonly PacedTarget[],
  { db, clusters, index, log, metrics, fresh }: UpdateParts,
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
    if (updates === 'none' || !cluster || isPeer) return []
    const target = archiveTarget(storingAt(paceOf(configured), cluster), updates, {
      ...common,
      fresh: fresh.reader(),
    })
    return [{ ...target, atOnce: configured.updatesAtOnce }]
  })
  // Those who tell peers mostly wait for them.
  const most = Math.max(pace.concurrency, ...archives.map(({ atOnce }) => atOnce))
  const concurrency = most + concurrencyFor(noticeTargets)
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
    postpone: (job, runInMs) => jobs.postponeConverge(db, job, runInMs),
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

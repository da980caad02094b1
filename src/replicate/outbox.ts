import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { Database } from '../db/connect.ts'
import * as db from '../db/outbox.ts'
import { type StudyUpdates, studyUpdates } from '../db/study-updates.ts'
import type { Uid } from '../dicom/uid.ts'

/** How replication to one cluster stands. */
export interface OutboxState {
  readonly cluster: string
  /** Since when nothing is sent there. */
  readonly pausedSince?: Date
  /** Studies that wait, also for their next attempt, and that are worked on. */
  readonly waiting: number
  readonly running: number
  /** Age of the oldest unmet request of those in milliseconds; 0 when there is none. */
  readonly oldestAgeMs: number
  /** Instances that this process has brought there in the last minute. */
  readonly sentLastMinute: number
  /** Studies that are not tried again by themselves. */
  readonly deadLetters: number
  /** Instances that the cluster refuses for good. */
  readonly refusedInstances: number
  /** The last failure of the studies that are not there yet. */
  readonly lastFailure?: { readonly at: Date; readonly error: string }
}

/** What is to reach the clusters, for whoever operates it. Methods that name a cluster throw `not-found` for others. */
export interface Outbox {
  /** Of each cluster that takes updates, and of those that did and have studies waiting; in the order of their ids. */
  states(): Promise<OutboxState[]>
  deadLetters(page: db.PageOptions): Promise<db.DeadLetter[]>
  refusals(page: db.PageOptions): Promise<db.Refusal[]>
  /** How the updates of one study stand; of one that nothing is known of, that there is nothing. */
  study(study: Uid): Promise<StudyUpdates>
  /** Nothing is sent to the cluster by any proxy on this database; what is under way goes on to its end. */
  pause(cluster: string): Promise<OutboxState>
  resume(cluster: string): Promise<OutboxState>
  /** Dead letters and refused instances are tried again, all of the cluster's or those of one study. */
  retry(cluster: string, study?: Uid): Promise<{ readonly studies: number }>
}

export interface OutboxDependencies {
  readonly database: Database
  /** The clusters that take updates. */
  readonly targets: readonly string[]
  readonly clock: Clock
  readonly sentLastMinute: (cluster: string) => number
}

export function createOutbox({ database, targets, clock, sentLastMinute }: OutboxDependencies): Outbox {
  const states = async () => {
    const [depths, paused, refused] = await Promise.all([
      db.queueDepth(database),
      db.pausedClusters(database),
      db.countRefusals(database),
    ])
    const byCluster = new Map(depths.map((depth) => [depth.cluster, depth]))
    const ids = [...new Set([...targets, ...byCluster.keys()])].sort()
    return ids.map((cluster): OutboxState => {
      const depth = byCluster.get(cluster)
      const pausedSince = paused.get(cluster)
      const work = depth ? describe(depth, clock.now()) : nothing
      const counts = { sentLastMinute: sentLastMinute(cluster), refusedInstances: refused.get(cluster) ?? 0 }
      return { cluster, ...(pausedSince && { pausedSince }), ...work, ...counts }
    })
  }
  const stateOf = async (cluster: string) => known(await states(), ({ cluster: id }) => id === cluster, cluster)
  const target = (cluster: string) => known(targets, (id) => id === cluster, cluster)
  const checked = (page: db.PageOptions) => {
    if (page.cluster !== undefined) target(page.cluster)
    return page
  }
  return {
    states,
    deadLetters: async (page) => db.deadLetters(database, checked(page)),
    refusals: async (page) => db.refusals(database, checked(page)),
    study: (study) => studyUpdates(database, study),
    async pause(cluster) {
      await db.pauseCluster(database, target(cluster))
      return stateOf(cluster)
    },
    async resume(cluster) {
      await db.resumeCluster(database, target(cluster))
      return stateOf(cluster)
    },
    retry: async (cluster, study) => ({ studies: await db.retryConverge(database, target(cluster), study) }),
  }
}

function known<T>(all: readonly T[], isIt: (one: T) => boolean, cluster: string): T {
  const found = all.find(isIt)
  if (found !== undefined) return found
  throw new LinkError('not-found', `${JSON.stringify(cluster.slice(0, 80))}: no cluster that takes updates has this id`)
}

const nothing = { waiting: 0, running: 0, oldestAgeMs: 0, deadLetters: 0 }

const describe = (depth: db.QueueDepth, now: number) => ({
  waiting: depth.waiting,
  running: depth.running,
  oldestAgeMs: depth.oldestRequestedAt ? Math.max(0, now - depth.oldestRequestedAt.getTime()) : 0,
  deadLetters: depth.dead,
  ...(depth.lastFailedAt &&
    depth.lastError !== null && { lastFailure: { at: depth.lastFailedAt, error: depth.lastError } }),
})

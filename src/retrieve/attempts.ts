import type { Cluster, Target } from '../clusters/cluster.ts'
import type { Inventory } from '../clusters/inventory.ts'
import type { Clock } from '../core/clock.ts'
import type { ClusterError, FailureReason } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Progress, Union } from './union.ts'

/** One question or several to one source, for what was missing before it. */
export interface Attempt {
  readonly cluster: Cluster
  /** `undefined` when it was not to be had. */
  readonly inventory: Inventory | undefined
  readonly pieces: Iterable<Target>
  /** Pieces that may fail before the cluster is given up. */
  readonly tries: number
  /** Whether what is missing can be had from no other source that is still good. */
  readonly patient: boolean
}

/** Failures of a whole answer that need not be those of its instances. */
const spoilt: ReadonlySet<FailureReason> = new Set(['failed', 'truncated', 'malformed', 'too-large'])

/** Failures of a cluster that may be over in a moment. */
const passing: ReadonlySet<FailureReason> = new Set([
  'unreachable',
  'timed-out',
  'circuit-open',
  'overloaded',
  'truncated',
])

/** How long it is waited for a cluster to be back, before each try, in milliseconds: a client that has part of an answer has time. */
export const pausesMs = [250, 500, 1000, 2000, 4000]

export interface AttemptsOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Lazy, so that each attempt is made of what the ones before left: every source for all of it; those that broke down
 * once more, instance by instance; and once something was given, those that may be back in a moment.
 */
export async function* attempts(
  target: Target,
  { sources }: Union,
  { missing, given }: Progress,
  failures: Map<Cluster, ClusterError>,
  { clock, signal }: AttemptsOptions,
): AsyncGenerator<Attempt> {
  const isElsewhere = (cluster: Cluster) => {
    const others = sources.filter((other) => other.cluster !== cluster && !failures.has(other.cluster))
    const own = sources.find((source) => source.cluster === cluster)?.inventory
    const wanted = [...missing.keys()].filter((instance) => own?.has(instance) !== false)
    return wanted.every((instance) => others.some(({ inventory }) => inventory?.has(instance)))
  }
  for (const { cluster, inventory } of sources) {
    if (failures.has(cluster)) continue
    const pieces = inventory ? largePieces(inventory, missing, target) : [target]
    const patient = !isElsewhere(cluster)
    yield { cluster, inventory, pieces, tries: 1, patient }
  }
  for (const { cluster, inventory } of sources) {
    const failure = failures.get(cluster)
    if (!inventory || !failure || !spoilt.has(failure.reason)) continue
    yield { cluster, inventory, pieces: singleInstances(inventory, missing, target), tries: 3, patient: false }
  }
  for (const pauseMs of pausesMs) {
    const hopeful = sources.filter(({ cluster }) => passing.has(failures.get(cluster)?.reason ?? 'gone'))
    if (missing.size === 0 || given.size === 0 || hopeful.length === 0) return
    await clock.sleep(pauseMs, signal)
    for (const { cluster, inventory } of hopeful) {
      failures.delete(cluster)
      const pieces = inventory ? singleInstances(inventory, missing, target) : []
      yield { cluster, inventory, pieces, tries: 1, patient: false }
    }
  }
}

/** The fewest requests that bring what is missing without bringing much else. */
function* largePieces(inventory: Inventory, missing: ReadonlyMap<Uid, Uid>, target: Target): Generator<Target> {
  const wanted = [...inventory].filter(([instance]) => missing.has(instance))
  if (wanted.length * 2 > inventory.size) {
    yield target
    return
  }
  for (const [series, instances] of Map.groupBy(wanted, ([, uid]) => uid)) {
    const held = [...inventory.values()].filter((uid) => uid === series).length
    if (instances.length * 2 > held) yield { study: target.study, series }
    else yield* instances.map(([instance]) => ({ study: target.study, series, instance }))
  }
}

function* singleInstances(inventory: Inventory, missing: ReadonlyMap<Uid, Uid>, target: Target): Generator<Target> {
  for (const [instance, series] of inventory) {
    if (missing.has(instance)) yield { study: target.study, series, instance }
  }
}

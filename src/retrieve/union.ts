import type { Cluster, Target } from '../clusters/cluster.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Holder } from './locate.ts'

/** The instances below a target that several clusters hold between them, and who holds which. */
export interface Union {
  readonly sources: readonly { readonly cluster: Cluster; readonly inventory: Inventory }[]
  /** Clusters whose inventory was not to be had: they may hold more. */
  readonly silent: readonly ClusterError[]
}

/** Takes the inventory of each holder; throws only when the caller left. */
export async function planUnion(target: Target, holders: readonly Holder[], signal: AbortSignal): Promise<Union> {
  const taken = await Promise.all(
    holders.map(async ({ cluster }) => {
      try {
        return { cluster, inventory: await takeInventory(cluster, target, signal) }
      } catch (thrown) {
        signal.throwIfAborted()
        if (thrown instanceof ClusterError) return thrown
        throw thrown
      }
    }),
  )
  return {
    sources: taken.flatMap((it) => (it instanceof ClusterError ? [] : it)),
    silent: taken.flatMap((it) => (it instanceof ClusterError ? it : [])),
  }
}

/** One instance of an answer, whatever the representation. */
export interface Item<T> {
  readonly instance: Uid
  readonly value: T
}

/** Asks a cluster for all it has below a target. */
export type Fetch<T> = (cluster: Cluster, target: Target) => AsyncIterable<Item<T>>

/**
 * Yields every instance of the union once. Sources are asked in their order for what is still missing; one that fails
 * loses its turn and the others complete the answer; those that failed get one more try, instance by instance, since
 * one bad instance can spoil an archive's whole answer. Throws when something is left that nobody gave.
 */
export async function* relayUnion<T>(target: Target, union: Union, fetch: Fetch<T>): AsyncGenerator<T> {
  const missing = new Map(union.sources.flatMap(({ inventory }) => [...inventory]))
  const failures: ClusterError[] = []
  const failed = new Set<Cluster>()

  for (const attempt of attempts(union, failed)) {
    for (const part of attempt.targets(missing, target)) {
      try {
        yield* takeMissing(fetch(attempt.cluster, part), missing)
      } catch (thrown) {
        if (!(thrown instanceof ClusterError)) throw thrown
        failures.push(thrown)
        failed.add(attempt.cluster)
        if (attempt.whole) break
      }
    }
    if (missing.size === 0) return
  }
  throw new LinkError('bad-gateway', `${missing.size} instances of study ${target.study} cannot be had`, {
    cause: failures.at(-1),
  })
}

interface Attempt {
  readonly cluster: Cluster
  readonly whole: boolean
  targets(missing: ReadonlyMap<Uid, Uid>, target: Target): Iterable<Target>
}

/** Lazy, so that the second round knows who failed in the first. */
function* attempts({ sources }: Union, failed: ReadonlySet<Cluster>): Generator<Attempt> {
  for (const { cluster, inventory } of sources) {
    yield { cluster, whole: true, targets: (missing, target) => largePieces(inventory, missing, target) }
  }
  for (const { cluster, inventory } of sources) {
    if (failed.has(cluster)) {
      yield { cluster, whole: false, targets: (missing, target) => singleInstances(inventory, missing, target) }
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

/** An archive that goes on with what nobody misses is not listened to for longer than need be. */
async function* takeMissing<T>(items: AsyncIterable<Item<T>>, missing: Map<Uid, Uid>): AsyncGenerator<T> {
  for await (const { instance, value } of items) {
    if (missing.delete(instance)) yield value
    else if (missing.size === 0) return
  }
}

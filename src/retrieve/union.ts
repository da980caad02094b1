import type { Cluster, Patience, Target } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError, type FailureReason } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import { describe, noHolderLeft } from './failure.ts'

/** The instances below a target that several clusters hold between them, and who holds which. */
export interface Union {
  readonly sources: readonly Source[]
  /** Clusters whose inventory was not to be had: it cannot be told whether what they give is all they hold. */
  readonly silent: readonly ClusterError[]
}

interface Source {
  readonly cluster: Cluster
  /** Absent when it was not to be had; the cluster is asked for everything, after the others. */
  readonly inventory?: Inventory
}

/** Takes the inventory of each holder; throws only when the caller left. */
export async function planUnion(target: Target, holders: readonly Cluster[], budget: Budget): Promise<Union> {
  const outcomes = await fanOut(holders, budget, (cluster, signal) => takeInventory(cluster, target, signal))
  const sources = holders.map((cluster, index): Source => {
    const outcome = outcomes[index]
    return outcome?.status === 'ok' ? { cluster, inventory: outcome.value } : { cluster }
  })
  return {
    sources: sources.toSorted((a, b) => Number(!a.inventory) - Number(!b.inventory)),
    silent: outcomes.flatMap((outcome) => (outcome.status === 'failed' ? outcome.error : [])),
  }
}

/** One instance of an answer, whatever the representation. */
export interface Item<T> {
  readonly instance: Uid
  readonly value: T
}

/** Asks a cluster for all it has below a target. */
export type Fetch<T> = (cluster: Cluster, target: Target, patience: Patience) => AsyncIterable<Item<T>>

/**
 * Yields every instance of the union once. Sources are asked in their order for what is still missing; one that fails
 * loses its turn and the others complete the answer; those that broke down get one more try, instance by instance,
 * since one bad instance can spoil an archive's whole answer. Throws when something is left that nobody gave: before
 * the first instance what the sources' failures amount to, later that the answer cannot be completed.
 */
export async function* relayUnion<T>(target: Target, union: Union, fetch: Fetch<T>): AsyncGenerator<T> {
  const progress = new Progress(union)
  const failures = new Map<Cluster, ClusterError>()

  for (const { cluster, inventory, pieces, tries, patient } of attempts(target, union, progress, failures)) {
    let left = tries
    for (const piece of pieces) {
      try {
        const items = fetch(cluster, piece, { patient })
        yield* inventory ? progress.takeMissing(items) : progress.takeNew(items)
      } catch (thrown) {
        if (!(thrown instanceof ClusterError)) throw thrown
        failures.set(cluster, thrown)
        if (--left === 0) break
      }
    }
    if (inventory && progress.lacksAnyOf(inventory) && isContradicted(failures.get(cluster))) {
      failures.set(cluster, new ClusterError(cluster.id, 'malformed', 'does not send what it lists'))
    }
  }
  // What only an uncounted source may have had is known to be doubtful: the answer is a 206 already.
  const counted = union.sources.some(({ inventory }) => inventory)
  if (progress.missing.size === 0 && (counted || failures.size === 0)) return
  const errors = [...failures.values()]
  if (progress.given === 0) throw noHolderLeft(describe(target), errors)
  throw new LinkError('bad-gateway', `not all instances of ${describe(target)} can be had`, { cause: errors.at(-1) })
}

/** No failure, or that it does not have it: both are untrue of what a cluster has just listed. */
const isContradicted = (failure: ClusterError | undefined) => failure === undefined || failure.reason === 'not-found'

/** What was given and what is known to be missing. */
class Progress {
  readonly missing: Map<Uid, Uid>
  readonly #given = new Set<Uid>()

  constructor({ sources }: Union) {
    this.missing = new Map(sources.flatMap(({ inventory }) => [...(inventory ?? [])]))
  }

  get given(): number {
    return this.#given.size
  }

  lacksAnyOf(inventory: Inventory): boolean {
    return this.missing.size > 0 && [...inventory.keys()].some((instance) => this.missing.has(instance))
  }

  /** Passes on what is missing, and nothing else: an archive that goes on with what nobody misses is not waited for. */
  async *takeMissing<T>(items: AsyncIterable<Item<T>>): AsyncGenerator<T> {
    for await (const { instance, value } of items) {
      if (this.missing.delete(instance)) {
        this.#given.add(instance)
        yield value
      } else if (this.missing.size === 0) return
    }
  }

  /** Passes on what was not given before, to the end: nobody knows what to expect. */
  async *takeNew<T>(items: AsyncIterable<Item<T>>): AsyncGenerator<T> {
    for await (const { instance, value } of items) {
      if (this.#given.has(instance)) continue
      this.#given.add(instance)
      yield value
    }
  }
}

interface Attempt {
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

/** Lazy, so that each attempt is made of what the ones before left, and the second round of who failed in the first. */
function* attempts(
  target: Target,
  { sources }: Union,
  { missing }: Progress,
  failures: ReadonlyMap<Cluster, ClusterError>,
): Generator<Attempt> {
  const isElsewhere = (cluster: Cluster) => {
    const others = sources.filter((other) => other.cluster !== cluster && !failures.has(other.cluster))
    const own = sources.find((source) => source.cluster === cluster)?.inventory
    const wanted = [...missing.keys()].filter((instance) => own?.has(instance) !== false)
    return wanted.every((instance) => others.some(({ inventory }) => inventory?.has(instance)))
  }
  for (const { cluster, inventory } of sources) {
    const pieces = inventory ? largePieces(inventory, missing, target) : [target]
    const patient = !isElsewhere(cluster)
    yield { cluster, inventory, pieces, tries: 1, patient }
  }
  for (const { cluster, inventory } of sources) {
    const failure = failures.get(cluster)
    if (!inventory || !failure || !spoilt.has(failure.reason)) continue
    yield { cluster, inventory, pieces: singleInstances(inventory, missing, target), tries: 3, patient: false }
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

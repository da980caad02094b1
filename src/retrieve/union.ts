import type { Cluster, Patience, Target } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import type { Inventory } from '../clusters/inventory.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import { type AttemptsOptions, attempts } from './attempts.ts'
import { describe, noHolderLeft } from './failure.ts'
import { countOf, type Inventories } from './inventories.ts'
import type { Holder } from './locate.ts'
import { canHelp, relayTogether, Wait } from './together.ts'

/** The instances below a target that several clusters hold between them, and who holds which. */
export interface Union {
  readonly sources: readonly Source[]
  /** Clusters whose inventory was not to be had: it cannot be told whether what they give is all they hold. */
  readonly silent: readonly ClusterError[]
}

export interface Source {
  readonly cluster: Cluster
  /** Absent when it was not to be had; the cluster is asked for everything, after the others. */
  readonly inventory?: Inventory
}

/** Takes the inventory of each holder; throws only when the caller left. */
export async function planUnion(
  target: Target,
  holders: readonly Holder[],
  inventories: Inventories,
  budget: Budget,
): Promise<Union> {
  const byCluster = new Map(holders.map((holder) => [holder.cluster, holder]))
  const outcomes = await fanOut([...byCluster.keys()], budget, async (cluster, signal) => {
    const holder = byCluster.get(cluster) as Holder
    return consistent(holder, target, await inventories.of(holder, target, signal))
  })
  const sources = holders.map(({ cluster }, index): Source => {
    const outcome = outcomes[index]
    return outcome?.status === 'ok' ? { cluster, inventory: outcome.value } : { cluster }
  })
  return {
    sources: sources.toSorted((a, b) => Number(!a.inventory) - Number(!b.inventory)),
    silent: outcomes.flatMap((outcome) => (outcome.status === 'failed' ? outcome.error : [])),
  }
}

/** An archive may cut its lists without saying so: one that is shorter than what it counts is none. */
function consistent(holder: Holder, target: Target, inventory: Inventory): Inventory {
  if (inventory.size >= (countOf(holder, target) ?? 0)) return inventory
  throw new ClusterError(holder.cluster.id, 'malformed', 'lists fewer instances than it counts')
}

/** One instance of an answer, whatever the representation. */
export interface Item<T> {
  readonly instance: Uid
  readonly value: T
}

/** Asks a cluster for all it has below a target. */
export type Fetch<T> = (cluster: Cluster, target: Target, patience: Patience) => AsyncIterable<Item<T>>

/** What was done before a union is relayed: instances given, and why a cluster did not give more. */
export interface Begun {
  readonly given: Set<Uid>
  readonly failures: Map<Cluster, ClusterError>
}

export interface RelayOptions extends AttemptsOptions {
  /** Set when sources that hold a client up are helped by asking others for single instances. */
  readonly mayHelp?: boolean
  readonly begun?: Begun
}

/**
 * Yields every instance of the union once. Sources are asked in their order for what is still missing; one that fails
 * loses its turn and the others complete the answer; those that broke down get one more try, instance by instance,
 * since one bad instance can spoil an archive's whole answer. When the client has to wait for a source, the others
 * help; when nobody is left, those that may be back in a moment are waited for. Throws when something is left that
 * nobody gave: before the first instance what the sources' failures amount to, later that the answer cannot be completed.
 */
export async function* relayUnion<T>(
  target: Target,
  union: Union,
  fetch: Fetch<T>,
  { mayHelp = false, begun = { given: new Set(), failures: new Map() }, ...options }: RelayOptions,
): AsyncGenerator<T> {
  const { given, failures } = begun
  const progress = new Progress(union, given)

  const able = () => union.sources.filter((source) => !failures.has(source.cluster))

  for await (const attempt of attempts(target, union, progress, failures, options)) {
    const { cluster, inventory, pieces, tries, patient } = attempt
    const wait = mayHelp ? new Wait(() => options.clock.now()) : undefined
    let left = tries
    for (const piece of pieces) {
      try {
        const items = fetch(cluster, piece, { patient })
        const watched = wait?.over(items, () => canHelp(cluster, able(), progress)) ?? items
        yield* inventory ? progress.takeMissing(watched) : takeNew(given, watched)
        if (!wait?.isLong) continue
        yield* relayTogether(target.study, able(), progress, { fetch, failures })
        break
      } catch (thrown) {
        if (!(thrown instanceof ClusterError)) throw thrown
        failures.set(cluster, thrown)
        if (--left === 0) break
      }
    }
    if (inventory && progress.lacksAnyOf(inventory) && isContradicted(failures.get(cluster))) {
      failures.set(cluster, contradiction(cluster))
    }
  }
  // What only an uncounted source may have had is known to be doubtful: the answer is a 206 already.
  const counted = union.sources.some(({ inventory }) => inventory)
  if (progress.missing.size === 0 && (counted || failures.size === 0)) return
  const errors = [...failures.values()]
  if (given.size === 0) throw noHolderLeft(describe(target), errors)
  throw new LinkError('bad-gateway', `not all instances of ${describe(target)} can be had`, { cause: errors.at(-1) })
}

export const contradiction = (cluster: Cluster) =>
  new ClusterError(cluster.id, 'malformed', 'does not send what it lists')

/** No failure, or that it does not have it: both are untrue of what a cluster has just listed. */
const isContradicted = (failure: ClusterError | undefined) => failure === undefined || failure.reason === 'not-found'

/** What was given and what is known to be missing. */
export class Progress {
  readonly missing: Map<Uid, Uid>
  readonly given: Set<Uid>

  constructor({ sources }: Pick<Union, 'sources'>, given: Set<Uid>) {
    const listed = sources.flatMap(({ inventory }) => [...(inventory ?? [])])
    this.missing = new Map(listed.filter(([instance]) => !given.has(instance)))
    this.given = given
  }

  lacksAnyOf(inventory: Inventory): boolean {
    return this.missing.size > 0 && [...inventory.keys()].some((instance) => this.missing.has(instance))
  }

  /**
   * Passes on what was not given before, also what nobody has listed. An archive that goes on when nothing is missing is
   * not waited for.
   */
  async *takeMissing<T>(items: AsyncIterable<Item<T>>): AsyncGenerator<T> {
    for await (const { instance, value } of items) {
      if (!this.given.has(instance)) {
        this.missing.delete(instance)
        this.given.add(instance)
        yield value
      }
      if (this.missing.size === 0) return
    }
  }
}

/** Passes on what was not given before, to the end: nobody knows what to expect. */
export async function* takeNew<T>(given: Set<Uid>, items: AsyncIterable<Item<T>>): AsyncGenerator<T> {
  for await (const { instance, value } of items) {
    if (given.has(instance)) continue
    given.add(instance)
    yield value
  }
}

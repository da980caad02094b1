import type { Cluster, Target } from '../clusters/cluster.ts'
import { Budget } from '../clusters/fan-out.ts'
import type { Clock } from '../core/clock.ts'
import type { ClusterError } from '../core/outcome.ts'
import { describe, incompleteBecause, noHolderLeft } from './failure.ts'
import { countOf, Inventories } from './inventories.ts'
import { type Holder, holdersOf, type Locator, type Locators, type StudyLocation } from './locate.ts'
import { leave, prime } from './relay.ts'
import type { Requester, RetrieveAnswer } from './service.ts'
import { relaySole } from './sole.ts'
import { type Fetch, planUnion, relayUnion, type Union } from './union.ts'

export interface WholesDependencies {
  readonly locators: Locators
  readonly clock: Clock
  /** The best one first. */
  readonly rank: (holders: readonly Holder[], series: Target['series']) => readonly Holder[]
}

/** Studies and series as their holders have them between them. */
export class Wholes {
  readonly #deps: WholesDependencies
  readonly #inventories = new Inventories()

  constructor(deps: WholesDependencies) {
    this.#deps = deps
  }

  /**
   * The union of all copies below a target, in one representation; 206 when there may be more. `mayHelp`: whether a
   * holder that keeps its reader waiting is helped by the others.
   */
  async of<T>(
    target: Target,
    fetch: Fetch<T>,
    { audience, signal }: Requester,
    { mayHelp = false } = {},
  ): Promise<RetrieveAnswer<AsyncIterable<T>>> {
    const locator = this.#deps.locators.for(audience)
    const only = locator.onlyCluster(target.study)
    if (only) return this.#ofOnly(only, target, fetch, { locator, signal })
    const location = await locator.locate(target.study, signal)
    const holding = holdersOf(target, location.holders)
    const [sole] = holding
    if (!sole) throw noHolderLeft(describe(target), location.silent)
    const options = { clock: this.#deps.clock, signal }
    if (holding.length === 1 && countOf(sole, target) !== undefined) {
      const count = async () => countOf(sole, target)
      const again = this.#againOptions(sole, target, { locator, signal })
      return unionAnswer(target, relaySole(target, sole.cluster, fetch, { count, ...again }), location.silent)
    }
    const union = await this.#plan(target, location, signal)
    return unionAnswer(target, relayUnion(target, union, fetch, { mayHelp, ...options }), union.silent)
  }

  /**
   * Of a cluster beside which there is none: it is asked for all it has while it is asked how much that is. When it does
   * not say, before it has sent anything, it has failed.
   */
  async #ofOnly<T>(
    only: Cluster,
    target: Target,
    fetch: Fetch<T>,
    within: Within,
  ): Promise<RetrieveAnswer<AsyncIterable<T>>> {
    const located = within.locator.locate(target.study, within.signal)
    const count = async () => {
      const [holder] = await located.then(
        ({ holders }) => holdersOf(target, holders),
        () => [],
      )
      return holder && countOf(holder, target)
    }
    const again = this.#againOptions({ cluster: only, series: new Map() }, target, within)
    const answer = unionAnswer(target, relaySole(target, only, fetch, { count, ...again }), [])
    let isGivenUp = false
    const silence = located.then(({ silent }) => {
      if (silent.length === 0) return answer
      isGivenUp = true
      throw noHolderLeft(describe(target), silent)
    })
    answer.then(({ body }) => (isGivenUp ? leave(body) : undefined)).catch(() => undefined)
    return Promise.race([answer, silence])
  }

  #againOptions(holder: Holder, target: Target, { locator, signal }: Within) {
    return {
      list: () => this.#inventories.of(holder, target, signal),
      planAgain: async () => this.#plan(target, await locator.relocate(target.study, [], signal), signal),
      clock: this.#deps.clock,
      signal,
    }
  }

  /** Everything below a target, by its series and then as holders list it; 206 when there may be more. */
  async instancesBelow(
    target: Target,
    { audience, signal }: Requester,
  ): Promise<RetrieveAnswer<readonly Required<Target>[]>> {
    const location = await this.#deps.locators.for(audience).locate(target.study, signal)
    const { sources, silent } = await this.#plan(target, location, signal)
    const union = new Map(sources.flatMap(({ inventory }) => [...(inventory ?? [])]))
    if (union.size === 0) throw noHolderLeft(describe(target), silent)
    const body = Array.from(union, ([instance, series]) => ({ study: target.study, series, instance }))
    return { ...asFarAsKnown(silent), body }
  }

  async #plan(target: Target, located: StudyLocation, signal: AbortSignal): Promise<Union> {
    using budget = new Budget(this.#deps.clock, signal)
    const ranking = this.#deps.rank(holdersOf(target, located.holders), target.series)
    const union = await planUnion(target, ranking, this.#inventories, budget)
    return { ...union, silent: [...located.silent, ...union.silent] }
  }
}

interface Within {
  readonly locator: Locator
  readonly signal: AbortSignal
}

/** 206 when it cannot be told whether it is all there is. */
const asFarAsKnown = (doubts: readonly ClusterError[]): Omit<RetrieveAnswer<never>, 'body'> => ({
  status: doubts.length > 0 ? 206 : 200,
  warnings: incompleteBecause(doubts),
})

async function unionAnswer<T>(
  target: Target,
  items: AsyncIterable<T>,
  doubts: readonly ClusterError[],
): Promise<RetrieveAnswer<AsyncIterable<T>>> {
  const body = await prime(items)
  if (!body) throw noHolderLeft(describe(target), doubts)
  return { ...asFarAsKnown(doubts), body }
}

import type { Target } from '../clusters/cluster.ts'
import { Budget } from '../clusters/fan-out.ts'
import type { Clock } from '../core/clock.ts'
import type { ClusterError } from '../core/outcome.ts'
import { describe, incompleteBecause, noHolderLeft } from './failure.ts'
import { countOf, Inventories } from './inventories.ts'
import { type Holder, holdersOf, type Locators, type StudyLocation } from './locate.ts'
import { prime } from './relay.ts'
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
    const location = await locator.locate(target.study, signal)
    const holding = holdersOf(target, location.holders)
    const [sole] = holding
    if (!sole) throw noHolderLeft(describe(target), location.silent)
    const options = { clock: this.#deps.clock, signal }
    if (holding.length === 1 && countOf(sole, target) !== undefined) {
      const planAgain = async () => this.#plan(target, await locator.relocate(target.study, [], signal), signal)
      const list = () => this.#inventories.of(sole, target, signal)
      return unionAnswer(target, relaySole(target, sole, fetch, { list, planAgain, ...options }), location.silent)
    }
    const union = await this.#plan(target, location, signal)
    return unionAnswer(target, relayUnion(target, union, fetch, { mayHelp, ...options }), union.silent)
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

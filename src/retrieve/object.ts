import type { Cluster, RetrieveRequest, Target } from '../clusters/cluster.ts'
import type { ClusterError } from '../core/outcome.ts'
import type { Parts } from '../dicom/multipart.ts'
import { describe, firstGiven, noHolderLeft } from './failure.ts'
import type { Hedging } from './hedge.ts'
import { formsOf } from './instances.ts'
import type { Holder, Locator, Locators } from './locate.ts'
import { firstToDeliver } from './relay.ts'
import { type Copies, resumableParts } from './resume.ts'
import type { InstancesRequest, Requester, RetrieveAnswer } from './service.ts'

export interface ObjectsDependencies {
  readonly locators: Locators
  readonly hedging: Hedging
  /** The best one first. */
  readonly rank: (holders: readonly Holder[], series: Target['series']) => readonly Holder[]
  readonly maxBufferedPartBytes: number
}

export interface ObjectOptions {
  /** Asked before all others. */
  readonly first?: readonly Cluster[]
  /** Held back of each part. */
  readonly maxBytes?: number
}

/** Single objects: an instance, its frames, pictures or bulk data, each from one cluster. */
export class Objects {
  readonly #deps: ObjectsDependencies

  constructor(deps: ObjectsDependencies) {
    this.#deps = deps
  }

  /** From one of the `first`, else from where it is likely to be, else from wherever it is. */
  async one(
    target: Target,
    request: RetrieveRequest,
    { audience, signal }: Requester,
    { first = [], maxBytes = this.#deps.maxBufferedPartBytes }: ObjectOptions = {},
  ): Promise<RetrieveAnswer<Parts>> {
    const errors: ClusterError[] = []
    const locator = this.#deps.locators.for(audience)
    const likely = [...new Set([...first, ...this.#ranked(await locator.likely(target), target)])]
    const hedged = isHedged(request) && { hedging: this.#deps.hedging }
    const body =
      (await firstToDeliver(likely, request, { maxBytes, signal, errors, ...hedged })) ??
      (await this.#fromTheRest(locator, { asked: likely, target, request, errors, maxBytes }, signal))
    if (errors.some(({ reason }) => reason === 'not-found')) locator.doubt(target.study, likely)
    return { status: 200, warnings: [], body }
  }

  /** One instance, in the first of the forms asked for that can be had. */
  instance(
    request: InstancesRequest,
    requester: Requester,
    options: ObjectOptions = {},
  ): Promise<RetrieveAnswer<Parts>> {
    const { target } = request
    return firstGiven(formsOf(request), async (form) => {
      const answer = await this.one(target, { kind: 'instances', target, transferSyntax: form }, requester, options)
      return {
        ...answer,
        body: resumableParts(answer.body, this.copiesOf(target as Required<Target>, form, requester)),
      }
    })
  }

  /** Every copy of an instance, the best first, for who has a part of one that broke off; the broken one last. */
  copiesOf(target: Required<Target>, transferSyntax: string, { audience, signal }: Requester): Copies {
    const { locators, maxBufferedPartBytes: maxBytes } = this.#deps
    const ranked = (holders: readonly Holder[]) => this.#ranked(holders, target)
    return async function* (broken) {
      const { holders } = await locators.for(audience).locate(target.study, signal)
      const isBroken = ({ id }: Cluster) => Number(id === broken.cluster)
      for (const cluster of ranked(holders).toSorted((a, b) => isBroken(a) - isBroken(b))) {
        const request = { kind: 'instances', target, transferSyntax } as const
        const parts = await firstToDeliver([cluster], request, { maxBytes, signal, errors: [] })
        for await (const { body } of parts ?? []) {
          yield body
          // It is the only one: to ask for another would be to wait for what was not read of this one.
          break
        }
      }
    }
  }

  async #fromTheRest(
    locator: Locator,
    { asked, target, request, errors, maxBytes }: Unserved,
    signal: AbortSignal,
  ): Promise<Parts> {
    const moved = asked.length === 0 || errors.some(({ reason }) => reason === 'not-found')
    const { holders, silent } = moved
      ? await locator.relocate(target.study, asked, signal)
      : await locator.locate(target.study, signal)
    const rest = this.#ranked(holders, target).filter((cluster) => !asked.includes(cluster))
    const body = await firstToDeliver(rest, request, { maxBytes, signal, errors })
    if (!body) throw noHolderLeft(describe(target, request), [...errors, ...silent])
    return body
  }

  #ranked(holders: readonly Holder[], { series }: Target): Cluster[] {
    return this.#deps.rank(holders, series).map(({ cluster }) => cluster)
  }
}

/** What viewers wait for, and archives give with little effort. */
const isHedged = ({ kind }: RetrieveRequest): boolean => kind === 'frames' || kind === 'instances'

/** An object that was asked for where it was likely to be, in vain. */
interface Unserved extends Required<Pick<ObjectOptions, 'maxBytes'>> {
  readonly asked: readonly Cluster[]
  readonly target: Target
  readonly request: RetrieveRequest
  /** Why those gave none; who fails later is added. */
  readonly errors: ClusterError[]
}

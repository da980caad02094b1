import type {
  Cluster,
  FramesRequest,
  ObjectRequest,
  RenderedRequest,
  RetrieveRequest,
  Target,
} from '../clusters/cluster.ts'
import { Budget } from '../clusters/fan-out.ts'
import type { ClusterStatus } from '../clusters/registry.ts'
import { type QuerySwitches, visibleTo } from '../clusters/visible.ts'
import type { Audience } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { framesUpTo } from '../dicom/image-attributes.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import { tag } from '../dicom/tags.ts'
import { isUid } from '../dicom/uid.ts'
import type { Renderer } from '../render/renderer.ts'
import { followToken, type ProxyAddress, pointToProxy } from './bulkdata.ts'
import { rankHolders, standingsOf } from './choose.ts'
import { explain, type RetrieveReport } from './explain.ts'
import { describe, firstGiven, incompleteBecause, noHolderLeft } from './failure.ts'
import { Hedging } from './hedge.ts'
import type { InHand } from './in-hand.ts'
import { fetchInstances, formsOf } from './instances.ts'
import { countOf, Inventories } from './inventories.ts'
import { type Holder, type LocationIndex, type Locator, Locators, type StudyLocation } from './locate.ts'
import { Pictures } from './pictures.ts'
import { framesOf, imagesIn, type PixelDataRequest } from './pixeldata.ts'
import { firstToDeliver, isBelow, prime } from './relay.ts'
import { type Copies, resumableParts } from './resume.ts'
import { relaySole } from './sole.ts'
import { type Fetch, type Item, planUnion, relayUnion, type Union } from './union.ts'

/** Known before the first byte: 206 when something of the union cannot be had or a cluster is silent. */
export interface RetrieveAnswer<Body> {
  readonly status: 200 | 206
  /** Texts for `Warning: 299`, without code and agent. */
  readonly warnings: readonly string[]
  /**
   * Its first item is ready when the answer is returned: a holder that fails before its first part has been replaced
   * already. Throws in the middle when nothing can complete it; the connection is then aborted, never closed well.
   */
  readonly body: Body
  /** Set when all of it is in memory; then `body` may be read any number of times. */
  readonly inHand?: InHand
}

export interface InstancesRequest extends Omit<ObjectRequest, 'kind'> {
  /** Whether what a cluster cannot give in this transfer syntax may come as it is stored. */
  readonly orAsStored?: boolean
}

/** On whose behalf something is retrieved: what they may not query is not there for them. */
export interface Requester {
  readonly audience: Audience
  readonly signal: AbortSignal
}

export interface RetrieveService {
  /** Study, series or instance as `application/dicom`, each SOP Instance UID of the union once. */
  instances(request: InstancesRequest, requester: Requester): Promise<RetrieveAnswer<Parts>>
  frames(request: Omit<FramesRequest, 'kind'>, requester: Requester): Promise<RetrieveAnswer<Parts>>
  /** One part a frame, each with its address below `base` as `location`; of what is no image there is none. */
  pixelData(request: PixelDataRequest, base: string, requester: Requester): Promise<RetrieveAnswer<Parts>>
  /** `base`: absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  metadata(target: Target, base: string, requester: Requester): Promise<RetrieveAnswer<AsyncIterable<Dataset>>>
  /** `token`: the last path segment of a BulkDataURI this service wrote. */
  bulkdata(target: Required<Target>, token: string, requester: Requester): Promise<RetrieveAnswer<Parts>>
  rendered(request: RenderedRequest, requester: Requester): Promise<RetrieveAnswer<Parts>>
  /** Where the target is and in which order its holders would be asked; nothing is retrieved. */
  explain(target: Target, requester: Requester): Promise<RetrieveReport>
  /** To be called when something of the study was stored. */
  forget(study: Target['study']): void
}

export interface RetrieveDependencies {
  /** In the order of configuration. */
  readonly clusters: readonly Cluster[]
  /** Retrievals obey them as queries do. */
  readonly queries: QuerySwitches
  readonly status: () => readonly ClusterStatus[]
  readonly index: LocationIndex
  /** Seals the addresses of bulk data; the same for all proxies that answer at one address. */
  readonly bulkdataKey: Buffer
  readonly clock: Clock
  /** Bytes of one part held back so that it can be replaced from another cluster. */
  readonly maxBufferedPartBytes: number
  /** Makes pictures where no archive does, of instances of so many bytes at most. */
  readonly renderer: Renderer
  readonly maxRenderedBytes: number
}

/** Locate → choose → relay: from the best location, from the next one when it fails, joined when copies are partial. */
export function createRetrieveService(deps: RetrieveDependencies): RetrieveService {
  const locators = new Locators(deps)
  const maxHeldBack = deps.maxBufferedPartBytes

  const inventories = new Inventories()
  const p95Of = ({ id }: Cluster) => deps.status().find((status) => status.id === id)?.firstByteP95Ms
  const hedging = new Hedging({ clock: deps.clock, usualMs: p95Of })

  const rank = (holders: readonly Holder[], series: Target['series']) =>
    rankHolders(standingsOf(holders, deps.status()), series)
  const ranked = (holders: readonly Holder[], series: Target['series']) =>
    rank(holders, series).map(({ cluster }) => cluster)

  async function plan(target: Target, located: StudyLocation, signal: AbortSignal): Promise<Union> {
    using budget = new Budget(deps.clock, signal)
    const union = await planUnion(target, rank(holdersOf(target, located), target.series), inventories, budget)
    return { ...union, silent: [...located.silent, ...union.silent] }
  }

  /** The union of all copies below a target, in one representation. */
  async function wholeUnion<T>(
    target: Target,
    fetch: Fetch<T>,
    { audience, signal }: Requester,
    { mayHelp = false } = {},
  ) {
    const locator = locators.for(audience)
    const location = await locator.locate(target.study, signal)
    const holding = holdersOf(target, location)
    const [sole] = holding
    if (!sole) throw noHolderLeft(describe(target), location.silent)
    const options = { clock: deps.clock, signal }
    if (holding.length === 1 && countOf(sole, target) !== undefined) {
      const planAgain = async () => plan(target, await locator.relocate(target.study, [], signal), signal)
      const list = () => inventories.of(sole, target, signal)
      return unionAnswer(target, relaySole(target, sole, fetch, { list, planAgain, ...options }), location.silent)
    }
    const union = await plan(target, location, signal)
    return unionAnswer(target, relayUnion(target, union, fetch, { mayHelp, ...options }), union.silent)
  }

  /** One object from one cluster: from one of the `first`, else from where it is likely to be, else from wherever it is. */
  async function oneObject(
    target: Target,
    request: RetrieveRequest,
    { audience, signal }: Requester,
    { first = [], maxBytes = maxHeldBack }: ObjectOptions = {},
  ) {
    const errors: ClusterError[] = []
    const locator = locators.for(audience)
    const likely = [...new Set([...first, ...ranked(await locator.likely(target), target.series)])]
    const hedged = isHedged(request) && { hedging }
    const body =
      (await firstToDeliver(likely, request, { maxBytes, signal, errors, ...hedged })) ??
      (await fromTheRest(locator, { asked: likely, target, request, errors, maxBytes }, signal))
    if (errors.some(({ reason }) => reason === 'not-found')) locator.doubt(target.study, likely)
    return { status: 200, warnings: [], body } as const
  }

  /** Every copy of an instance, the best first, for who has a part of one that broke off; the broken one last. */
  const copiesOf = (target: Required<Target>, transferSyntax: string, { audience, signal }: Requester): Copies =>
    async function* (broken) {
      const { holders } = await locators.for(audience).locate(target.study, signal)
      const isBroken = ({ id }: Cluster) => Number(id === broken.cluster)
      for (const cluster of ranked(holders, target.series).toSorted((a, b) => isBroken(a) - isBroken(b))) {
        const request = { kind: 'instances', target, transferSyntax } as const
        const parts = await firstToDeliver([cluster], request, { maxBytes: maxHeldBack, signal, errors: [] })
        for await (const { body } of parts ?? []) {
          yield body
          // It is the only one: to ask for another would be to wait for what was not read of this one.
          break
        }
      }
    }

  function oneInstance(request: InstancesRequest, requester: Requester, options: ObjectOptions = {}) {
    const { target } = request
    return firstGiven(formsOf(request), async (form) => {
      const answer = await oneObject(target, { kind: 'instances', target, transferSyntax: form }, requester, options)
      return { ...answer, body: resumableParts(answer.body, copiesOf(target as Required<Target>, form, requester)) }
    })
  }

  async function fromTheRest(
    locator: Locator,
    { asked, target, request, errors, maxBytes }: Unserved,
    signal: AbortSignal,
  ): Promise<Parts> {
    const moved = asked.length === 0 || errors.some(({ reason }) => reason === 'not-found')
    const { holders, silent } = moved
      ? await locator.relocate(target.study, asked, signal)
      : await locator.locate(target.study, signal)
    const rest = ranked(holders, target.series).filter((cluster) => !asked.includes(cluster))
    const body = await firstToDeliver(rest, request, { maxBytes, signal, errors })
    if (!body) throw noHolderLeft(describe(target, request), [...errors, ...silent])
    return body
  }

  /** Everything below a target, by its series and then as holders list it; 206 when there may be more. */
  async function instancesBelow(target: Target, { audience, signal }: Requester) {
    const location = await locators.for(audience).locate(target.study, signal)
    const { sources, silent } = await plan(target, location, signal)
    const union = new Map(sources.flatMap(({ inventory }) => [...(inventory ?? [])]))
    if (union.size === 0) throw noHolderLeft(describe(target), silent)
    const body = Array.from(union, ([instance, series]) => ({ study: target.study, series, instance }))
    return { ...asFarAsKnown(silent), body }
  }

  const pictures = new Pictures({
    ...deps,
    made: (request, requester) => oneObject(request.target, request, requester),
    stored: (target, requester) => oneInstance({ target, transferSyntax: '*' }, requester, { maxBytes: 0 }),
    instances: instancesBelow,
  })

  const metadata = (target: Target, base: string, requester: Requester) =>
    wholeUnion(
      target,
      (cluster, part, patience) =>
        fetchMetadata(cluster.metadata(part, requester.signal, patience), cluster, part, {
          base,
          key: deps.bulkdataKey,
        }),
      requester,
    )

  return {
    instances(request, requester) {
      const { target } = request
      if (target.instance) return oneInstance(request, requester)
      const copies = (it: Required<Target>, form: string) => copiesOf(it, form, requester)
      const fetch: Fetch<Part> = (cluster, part, patience) =>
        fetchInstances(cluster, { ...request, ...patience, target: part }, { ...requester, copies, maxHeldBack })
      return wholeUnion(target, fetch, requester, { mayHelp: true })
    },

    frames: (request, requester) => oneObject(request.target, { kind: 'frames', ...request }, requester),

    async pixelData({ target, forms }, base, requester) {
      const { body, ...answer } = await metadata(target, base, requester)
      const frames = framesOf(await imagesIn(body), base, async (image) => {
        const all = { kind: 'frames', target: image.target, frames: framesUpTo(image.frames) } as const
        return firstGiven(forms, async (form) => (await oneObject(image.target, { ...all, ...form }, requester)).body)
      })
      const primed = await prime(frames)
      if (!primed) throw new LinkError('not-found', `${describe(target)} has no pixel data`)
      // Of one instance there is no more, whoever is silent.
      return target.instance ? { status: 200, warnings: [], body: primed } : { ...answer, body: primed }
    },

    metadata,

    async bulkdata(target, token, requester) {
      const { cluster, path, element } = followToken(token, target, { clusters: deps.clusters, key: deps.bulkdataKey })
      const isVisible = visibleTo(requester.audience, cluster, deps.queries) === true
      const request = { kind: 'bulkdata', path, origin: { cluster: cluster.id, target, element } } as const
      return oneObject(target, request, requester, { first: isVisible ? [cluster] : [] })
    },

    rendered: (request, requester) => pictures.of(request, requester),

    explain: (target, requester) => explain(target, requester, { ...deps, locators }),

    forget: (study) => locators.forget(study),
  }
}

const holdersOf = ({ series }: Target, { holders }: StudyLocation): Holder[] =>
  holders.filter((holder) => series === undefined || holder.series.has(series))

/** What viewers wait for, and archives give with little effort. */
const isHedged = ({ kind }: RetrieveRequest): boolean => kind === 'frames' || kind === 'instances'

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

interface ObjectOptions {
  readonly first?: readonly Cluster[]
  /** Held back of each part. */
  readonly maxBytes?: number
}

/** An object that was asked for where it was likely to be, in vain. */
interface Unserved extends Required<Pick<ObjectOptions, 'maxBytes'>> {
  readonly asked: readonly Cluster[]
  readonly target: Target
  readonly request: RetrieveRequest
  /** Why those gave none; who fails later is added. */
  readonly errors: ClusterError[]
}

async function* fetchMetadata(
  datasets: AsyncIterable<Dataset>,
  cluster: Cluster,
  target: Target,
  proxy: ProxyAddress,
): AsyncGenerator<Item<Dataset>> {
  for await (const dataset of datasets) {
    const instance = firstString(dataset, tag.SOPInstanceUID)
    if (!isUid(instance)) throw new ClusterError(cluster.id, 'malformed', 'sent metadata without a SOP Instance UID')
    const [study, series] = [tag.StudyInstanceUID, tag.SeriesInstanceUID].map((it) => firstString(dataset, it))
    if (!isBelow(target, study, series, instance)) continue
    yield { instance, value: pointToProxy(dataset, cluster.id, proxy) }
  }
}

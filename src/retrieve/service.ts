import type { Cluster, FramesRequest, ObjectRequest, RenderedRequest, Target } from '../clusters/cluster.ts'
import type { ClusterStatus } from '../clusters/registry.ts'
import { type QuerySwitches, visibleTo } from '../clusters/visible.ts'
import type { Audience } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { Dataset } from '../dicom/dataset.ts'
import { framesUpTo } from '../dicom/image-attributes.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import type { Renderer } from '../render/renderer.ts'
import { followToken } from './bulkdata.ts'
import { rankHolders, standingsOf } from './choose.ts'
import { explain, type RetrieveReport } from './explain.ts'
import { describe, firstGiven } from './failure.ts'
import { Hedging } from './hedge.ts'
import type { InHand } from './in-hand.ts'
import { fetchInstances } from './instances.ts'
import { type Holder, type LocationIndex, Locators } from './locate.ts'
import { fetchMetadata } from './metadata.ts'
import { Objects } from './object.ts'
import { Pictures } from './pictures.ts'
import { framesOf, imagesIn, type PixelDataRequest } from './pixeldata.ts'
import { prime } from './relay.ts'
import type { Fetch } from './union.ts'
import { Wholes } from './whole.ts'

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
  const rank = (holders: readonly Holder[], series: Target['series']) =>
    rankHolders(standingsOf(holders, deps.status()), series)
  const usualMs = ({ id }: Cluster) => deps.status().find((status) => status.id === id)?.firstByteP95Ms
  const hedging = new Hedging({ clock: deps.clock, usualMs })

  const wholes = new Wholes({ locators, rank, clock: deps.clock })
  const objects = new Objects({ locators, rank, hedging, maxBufferedPartBytes: deps.maxBufferedPartBytes })
  const pictures = new Pictures({
    ...deps,
    made: (request, requester) => objects.one(request.target, request, requester),
    stored: (target, requester) => objects.instance({ target, transferSyntax: '*' }, requester, { maxBytes: 0 }),
    instances: (target, requester) => wholes.instancesBelow(target, requester),
  })

  const metadata = (target: Target, base: string, requester: Requester) =>
    wholes.of(
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
      if (target.instance) return objects.instance(request, requester)
      const copies = (it: Required<Target>, form: string) => objects.copiesOf(it, form, requester)
      const fetch: Fetch<Part> = (cluster, part, patience) =>
        fetchInstances(
          cluster,
          { ...request, ...patience, target: part },
          { ...requester, copies, maxHeldBack: deps.maxBufferedPartBytes },
        )
      return wholes.of(target, fetch, requester, { mayHelp: true })
    },

    frames: (request, requester) => objects.one(request.target, { kind: 'frames', ...request }, requester),

    async pixelData({ target, forms }, base, requester) {
      const { body, ...answer } = await metadata(target, base, requester)
      const frames = framesOf(await imagesIn(body), base, async (image) => {
        const all = { kind: 'frames', target: image.target, frames: framesUpTo(image.frames) } as const
        return firstGiven(forms, async (form) => (await objects.one(image.target, { ...all, ...form }, requester)).body)
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
      return objects.one(target, request, requester, { first: isVisible ? [cluster] : [] })
    },

    rendered: (request, requester) => pictures.of(request, requester),

    explain: (target, requester) => explain(target, requester, { ...deps, locators }),

    forget: (study) => locators.forget(study),
  }
}

import type { Cluster, Target } from '../clusters/cluster.ts'
import { type QuerySwitches, visibleClusters } from '../clusters/visible.ts'
import type { Audience } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { currentRequest } from '../core/request-context.ts'
import type { CachedResource, Telemetry } from '../core/telemetry.ts'
import { holdingDatasets, holdingParts } from './cache-collect.ts'
import { KeptAnswers } from './cache-kept.ts'
import { type Asked, Shared } from './cache-shared.ts'
import type { Requester, RetrieveService } from './service.ts'

export interface CacheOptions {
  /**
   * Of all answers that are kept, and as much again for those that are on their way into memory; an eighth of it for
   * one. 0 keeps none.
   */
  readonly maxBytes: number
  readonly clusters: readonly Cluster[]
  readonly queries: QuerySwitches
  readonly clock: Clock
  readonly telemetry: Pick<Telemetry, 'cacheAsked' | 'cacheHeld'>
}

/**
 * Keeps what does not change and is asked for again: frames, bulk data, metadata and pictures of single instances. Who
 * asks for what is being fetched waits for it, instead of having it fetched once more; so does who asks for the
 * metadata of a series, which are not kept since instances may join it.
 *
 * Answers that lack something or warn of something are given to those who wait, and not kept; neither are errors. One
 * that is too large goes to the first who waits as it comes, and the others ask for themselves.
 */
export function withCache(inner: RetrieveService, options: CacheOptions): RetrieveService {
  const { maxBytes, telemetry } = options
  if (maxBytes === 0) return inner
  const kept = new KeptAnswers({ ...options, onChange: (bytes) => telemetry.cacheHeld(bytes) })
  const collecting = { bytes: 0, maxBytes, maxAnswerBytes: Math.floor(maxBytes / 8) }
  const parts = new Shared(holdingParts, { kept, collecting, telemetry })
  const datasets = new Shared(holdingDatasets, { kept, collecting, telemetry })
  const asking = askedWith(options)

  return {
    ...inner,

    frames: (request, requester) =>
      parts.ask(asking('frames', request, requester), requester, (own) => inner.frames(request, own)),

    bulkdata: (target, token, requester) =>
      parts.ask(asking('bulkdata', { target, token }, requester), requester, (own) =>
        inner.bulkdata(target, token, own),
      ),

    rendered(request, requester) {
      if (request.target.instance === undefined) return inner.rendered(request, requester)
      return parts.ask(asking('rendered', request, requester), requester, (own) => inner.rendered(request, own))
    },

    metadata(target, base, requester) {
      if (target.series === undefined) return inner.metadata(target, base, requester)
      return datasets.ask(asking('metadata', { target, base }, requester), requester, (own) =>
        inner.metadata(target, base, own),
      )
    },

    forget(study) {
      inner.forget(study)
      for (const it of [parts, datasets, kept]) it.forget(study)
    },
  }
}

/**
 * Describes requests so that none is met with the answer to another: by all that is asked for, the clusters that the
 * requester may reach, and the sites that the request came through, to which it must not go back.
 */
function askedWith({ clusters, queries }: CacheOptions) {
  const reachOf = (audience: Audience) => visibleClusters(audience, clusters, queries).map(({ id }) => id)
  const reach = { internal: reachOf('internal'), external: reachOf('external'), home: reachOf('home') }
  return <Request extends { readonly target: Target }>(
    resource: CachedResource,
    request: Request,
    { audience }: Requester,
  ): Asked => ({
    key: JSON.stringify([resource, request, reach[audience], currentRequest()?.hops]),
    resource,
    study: request.target.study,
    isLasting: request.target.instance !== undefined,
  })
}

import type { Clusters } from '../clusters/registry.ts'
import { querySwitches } from '../clusters/visible.ts'
import type { Config } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import type { Telemetry } from '../core/telemetry.ts'
import { withCache } from '../retrieve/cache.ts'
import { createRetrieveService, type RetrieveDependencies, type RetrieveService } from '../retrieve/service.ts'

export interface RetrieveParts extends Pick<RetrieveDependencies, 'index' | 'bulkdataKey' | 'renderer'> {
  readonly clusters: Clusters
  readonly telemetry: Telemetry
}

/** The service for retrievals over all clusters, behind the answers that are kept. */
export function retrieveServiceOf(config: Config, { clusters, telemetry, ...rest }: RetrieveParts): RetrieveService {
  const common = { clusters: clusters.all, queries: querySwitches(config.clusters), clock }
  const { maxBufferedPartBytes, maxRenderedBytes, cacheBytes } = config.limits
  const limits = { maxBufferedPartBytes, maxRenderedBytes }
  const service = createRetrieveService({ ...common, ...rest, ...limits, status: () => clusters.status() })
  return withCache(service, { ...common, telemetry, maxBytes: cacheBytes })
}

import type { Clusters } from '../clusters/registry.ts'
import { querySwitches } from '../clusters/visible.ts'
import type { ClusterConfig, Config } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { Database } from '../db/connect.ts'
import { linkRecordsOf } from '../db/link-store.ts'
import { visitorsOf } from '../db/visitors.ts'
import type { Tag } from '../dicom/dataset.ts'
import { tagOf } from '../dicom/dictionary.ts'
import type { Mappings } from '../link/mappings.ts'
import type { ClusterRules } from '../query/plan.ts'
import { createQueryService, type HolderIndex, type QueryService } from '../query/service.ts'

/** The query service as configured. Throws `LinkError` `config` for a key of `clusters[].keys` that is no attribute. */
export function queryServiceOf(
  config: Config,
  parts: { db: Database; clusters: Clusters; index: HolderIndex; mappings: () => Mappings },
): QueryService {
  return createQueryService({
    clusters: parts.clusters.all,
    rules: {
      clusters: new Map(config.clusters.map((cluster, index) => [cluster.id, rulesOf(cluster, index)])),
      queries: querySwitches(config.clusters),
      maxRowsPerCluster: config.limits.maxRowsPerCluster,
    },
    link: {
      records: (studies) => linkRecordsOf(parts.db, studies),
      visitors: async (studies) => {
        const visitors = await visitorsOf(parts.db, studies)
        return new Map([...visitors].map(([study, { instances }]) => [study, instances]))
      },
      mappings: parts.mappings,
    },
    maxResults: config.limits.maxResults,
    maxSnapshotRows: config.limits.maxSnapshotRows,
    partial: config.partial,
    clock,
    index: parts.index,
  })
}

/** A third party is expected to take what every origin server has to, unless it is configured to take more. */
function rulesOf({ role, constrained, keys, link }: ClusterConfig, index: number): ClusterRules {
  const taken = keys ?? (role === 'thirdParty' && link === undefined ? [] : undefined)
  return {
    constrained,
    peer: link !== undefined,
    ...(taken && { keys: new Set(taken.map((key) => tagIn(key, index))) }),
  }
}

function tagIn(keyword: string, index: number): Tag {
  const found = tagOf(keyword)
  if (found !== undefined) return found
  throw new LinkError('config', `clusters[${index}].keys: ${keyword} is no keyword of DICOM PS3.6`)
}

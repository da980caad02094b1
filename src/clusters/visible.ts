import type { ClusterConfig } from '../config/schema.ts'
import type { Audience } from '../core/audience.ts'
import type { Cluster } from './cluster.ts'

/** By cluster id whose queries it answers, as `clusters[].queries` has it; one that is not there answers all. */
export type QuerySwitches = ReadonlyMap<string, ClusterConfig['queries']>

export const querySwitches = (clusters: readonly Pick<ClusterConfig, 'id' | 'queries'>[]): QuerySwitches =>
  new Map(clusters.map(({ id, queries }) => [id, queries]))

/**
 * Whether a cluster is asked for an audience, or why not, in words that go after its name. A peer proxy gets what home
 * holds, whatever the switches: it asks the other clusters itself, and relayed further its question would have no end.
 */
export function visibleTo(
  audience: Audience,
  { id, role }: Pick<Cluster, 'id' | 'role'>,
  switches: QuerySwitches,
): true | string {
  if (audience === 'home') return role === 'home' || 'is not asked for a peer proxy'
  return switches.get(id)?.[audience] !== false || `does not answer ${audience} queries`
}

/** Those of `clusters` that are asked for an audience, in their order. */
export const visibleClusters = (
  audience: Audience,
  clusters: readonly Cluster[],
  switches: QuerySwitches,
): readonly Cluster[] => clusters.filter((cluster) => visibleTo(audience, cluster, switches) === true)

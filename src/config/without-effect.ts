import type { ClusterConfig, Config } from './schema.ts'

/**
 * Keys that are accepted for what is to come and are set to something else than their default, a sentence each:
 * `clusters[1].queries has no effect yet`.
 */
export const keysWithoutEffect = ({ clusters }: Pick<Config, 'clusters'>): string[] =>
  clusters.flatMap((cluster, index) => setIn(cluster).map((key) => `clusters[${index}].${key} has no effect yet`))

function setIn({ link, queries, prefetch }: ClusterConfig): string[] {
  const set = { link: link !== undefined, queries: !(queries.internal && queries.external), prefetch: !prefetch }
  return Object.entries(set).flatMap(([key, isSet]) => (isSet ? [key] : []))
}

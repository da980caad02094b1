import type { Config } from './schema.ts'

/**
 * Keys that are accepted for what is to come and are set to something else than their default, a sentence each:
 * `clusters[1].prefetch has no effect yet`.
 */
export const keysWithoutEffect = ({ clusters }: Pick<Config, 'clusters'>): string[] =>
  clusters.flatMap(({ prefetch }, index) => (prefetch ? [] : [`clusters[${index}].prefetch has no effect yet`]))

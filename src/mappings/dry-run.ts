import type { Cluster } from '../clusters/cluster.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { Mappings, TableName } from '../link/mappings.ts'
import { Comparison, type TableComparison } from './compare.ts'
import { walkStudies } from './walk.ts'

/** A cluster to be walked; `open` is called when it is its turn, and may throw `LinkError`. */
export interface ClusterToWalk {
  readonly id: string
  /** Why it is not to be asked for all its studies. */
  readonly skip?: string
  open(): Promise<Cluster>
}

/** How the walk of one cluster went. */
export interface WalkedCluster {
  readonly id: string
  readonly studies: number
  /** What could not be counted, a sentence each. */
  readonly gaps: readonly string[]
  readonly skipped?: string
  /** Why it was not walked to its end. */
  readonly failed?: string
}

/** What would change. A study that several clusters hold counts for each of them. */
export interface DryRun {
  readonly before: string
  readonly after: string
  readonly studies: number
  readonly tables: Readonly<Record<TableName, TableComparison>>
  readonly clusters: readonly WalkedCluster[]
}

export interface DryRunOptions {
  readonly before: Mappings
  readonly after: Mappings
  readonly clusters: readonly ClusterToWalk[]
  readonly maxRows: number
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told after every step: the cluster, how many of its studies have been seen, and how far it is, from 0 to 1. */
  readonly onProgress: (cluster: string, studies: number, progress: number) => void
}

/**
 * Walks every study of every cluster, one cluster after the other, and counts what new tables would change. A cluster
 * that fails is told in the result; only the signal ends it, by its reason.
 */
export async function dryRun(options: DryRunOptions): Promise<DryRun> {
  const comparison = new Comparison(options.before, options.after)
  const clusters: WalkedCluster[] = []
  for (const cluster of options.clusters) clusters.push(await walkOne(cluster, comparison, options))
  return {
    before: options.before.digest,
    after: options.after.digest,
    studies: clusters.reduce((sum, { studies }) => sum + studies, 0),
    tables: comparison.result(),
    clusters,
  }
}

/** Gaps that are told of one cluster. */
const maxGaps = 100

async function walkOne(
  cluster: ClusterToWalk,
  comparison: Comparison,
  { signal, onProgress, ...options }: DryRunOptions,
): Promise<WalkedCluster> {
  const { id, skip: skipped } = cluster
  let studies = 0
  const gaps: string[] = []
  if (skipped !== undefined) return { id, studies, gaps, skipped }
  try {
    for await (const step of walkStudies(await cluster.open(), { ...options, signal })) {
      for (const { study, facts } of step.studies) comparison.add(study, facts)
      studies += step.studies.length
      gaps.push(...step.gaps.slice(0, maxGaps - gaps.length))
      onProgress(id, studies, step.progress)
    }
    return { id, studies, gaps }
  } catch (thrown) {
    signal.throwIfAborted()
    if (!(thrown instanceof LinkError)) throw thrown
    return { id, studies, gaps, failed: thrown.message }
  }
}

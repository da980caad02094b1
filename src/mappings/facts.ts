import type { Cluster } from '../clusters/cluster.ts'
import { Budget, fanOut } from '../clusters/fan-out.ts'
import { type QuerySwitches, visibleClusters } from '../clusters/visible.ts'
import type { Caller } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError, type Outcome } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import type { Uid } from '../dicom/uid.ts'
import { factsOf, joinFacts, mappingFields, type StudyFacts, seriesMappingFields } from '../link/mappings.ts'

/** What is known of one study, over all its copies. */
export interface FoundFacts {
  readonly facts: StudyFacts
  /** A sentence for each cluster that might have said more. */
  readonly warnings: readonly string[]
}

/**
 * Finds out what the mapping tables look at in a study. Throws `not-found` when no cluster has it, and `unavailable`
 * when none has it and not all could say so.
 */
export type FactsOfStudy = (study: Uid, caller: Caller, signal: AbortSignal) => Promise<FoundFacts>

export interface FactsOptions {
  /** Those believed first come first: theirs is the description when copies differ. */
  readonly clusters: readonly Cluster[]
  readonly queries: QuerySwitches
  readonly clock: Clock
  /** Rows taken from one cluster at most. */
  readonly maxRowsPerCluster: number
}

export const createFactsOfStudy =
  ({ clusters, queries, clock, maxRowsPerCluster }: FactsOptions): FactsOfStudy =>
  async (study, { audience }, signal) => {
    using budget = new Budget(clock, signal)
    const visible = visibleClusters(audience, clusters, queries)
    const outcomes = await fanOut(visible, budget, (cluster, until) => copyAt(cluster, study, maxRowsPerCluster, until))
    const copies = outcomes.flatMap((outcome) => (outcome.status === 'ok' && outcome.value ? [outcome.value] : []))
    const missing = outcomes.flatMap(missingIn)
    if (copies.length === 0) throw notFound(study, missing)
    return {
      facts: joinFacts(copies.map(({ row, series }) => factsOf(row, series))),
      warnings: missing.map((what) => `Results are incomplete: cluster ${what}`),
    }
  }

interface Copy {
  readonly row: Dataset
  readonly series: readonly Dataset[]
  /** Why its series are not known. */
  readonly missing?: ClusterError
}

async function copyAt(cluster: Cluster, study: Uid, limit: number, signal: AbortSignal): Promise<Copy | undefined> {
  const self = { path: [tag.StudyInstanceUID], value: study }
  const found = await cluster.search(
    { level: 'study', constraints: [self], includeFields: mappingFields, limit },
    signal,
  )
  const row = found.rows.find((it) => firstString(it, tag.StudyInstanceUID) === study)
  if (!row) return undefined
  const includeFields = [tag.StudyDescription, ...seriesMappingFields]
  try {
    const { rows } = await cluster.search({ level: 'series', study, constraints: [], includeFields, limit }, signal)
    return { row, series: rows }
  } catch (thrown) {
    if (!(thrown instanceof ClusterError)) throw thrown
    return { row, series: [], missing: thrown }
  }
}

function missingIn(outcome: Outcome<Copy | undefined>): string[] {
  if (outcome.status === 'failed') return [`${outcome.cluster} ${outcome.reason}`]
  if (outcome.status !== 'ok' || !outcome.value?.missing) return []
  return [`${outcome.cluster} does not list the series of the study (${outcome.value.missing.reason})`]
}

function notFound(study: Uid, missing: readonly string[]): LinkError {
  if (missing.length === 0) return new LinkError('not-found', `study ${study}: no cluster has it`)
  return new LinkError('unavailable', `study ${study} cannot be found at the moment (${missing.join(', ')})`)
}

import type { Cluster } from '../clusters/cluster.ts'
import { askAlone } from '../clusters/fan-out.ts'
import { listInstancesOf } from '../clusters/inventory.ts'
import type { Clock } from '../core/clock.ts'
import { ClusterError, countsAgainstHealth, mayDoWithLess } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import { byInstance, type Holdings, holdingsOf } from './holdings.ts'

/** Failed rounds in a row after which a cluster is not asked any more. */
const maxFailures = 3

/** What a cluster holds of a study, or why it did not say. */
export type Answer = Holdings | ClusterError

export type Read = ReadonlyMap<Uid, Answer>

/**
 * Reads what a cluster holds of several studies: in one question where it can answer such, else study by study. What a
 * list leaves out is taken for absent only from a cluster that is seen to understand lists.
 */
export class HoldingsReader {
  readonly cluster: Cluster
  readonly #within: { readonly clock: Clock; readonly signal: AbortSignal }
  #listsMany = true
  #understandsLists = false
  #failures = 0
  #failure: ClusterError | undefined

  constructor(cluster: Cluster, within: { readonly clock: Clock; readonly signal: AbortSignal }) {
    this.cluster = cluster
    this.#within = within
  }

  /** Why it is not asked any more. */
  get givenUp(): ClusterError | undefined {
    return this.#failures < maxFailures ? undefined : this.#failure
  }

  /** Throws only the signal's reason. */
  async of(studies: readonly Uid[]): Promise<Read> {
    if (this.givenUp) return new Map(studies.map((study) => [study, this.#failure as ClusterError]))
    this.#failure = undefined
    const read = new Map<Uid, Answer>(await this.#ofMany(studies))
    for (const study of studies) if (!read.has(study)) read.set(study, await this.#ofOne(study))
    this.#failures = this.#failure === undefined ? 0 : this.#failures + 1
    return read
  }

  /** As far as one question tells. */
  async #ofMany(studies: readonly Uid[]): Promise<Map<Uid, Holdings>> {
    if (!this.#listsMany || studies.length < 2) return new Map()
    try {
      const listed = await askAlone(this.cluster, this.#within, (it, signal) => listInstancesOf(it, studies, signal))
      const groups = Map.groupBy(listed, ({ study }) => study)
      // Whoever gives what was not asked for takes no notice of the list, and may leave out what was.
      if (groups.keys().some((study) => !studies.includes(study))) this.#listsMany = false
      if (!this.#listsMany) return new Map()
      if (groups.size > 1) this.#understandsLists = true
      const told = studies.filter((study) => groups.has(study) || this.#understandsLists)
      return new Map(told.map((study) => [study, byInstance(groups.get(study) ?? [])]))
    } catch (thrown) {
      const failure = asFailure(thrown)
      if (mayDoWithLess(failure.reason)) return new Map()
      if (countsAgainstHealth(failure.reason) && failure.reason !== 'malformed') this.#failure = failure
      else this.#listsMany = false
      return new Map()
    }
  }

  /** Not asked in vain for every study of a round in which it failed. */
  async #ofOne(study: Uid): Promise<Answer> {
    if (this.#failure) return this.#failure
    try {
      return await askAlone(this.cluster, this.#within, (it, signal) => holdingsOf(it, study, signal))
    } catch (thrown) {
      const failure = asFailure(thrown)
      if (countsAgainstHealth(failure.reason)) this.#failure = failure
      return failure
    }
  }
}

function asFailure(thrown: unknown): ClusterError {
  if (thrown instanceof ClusterError) return thrown
  throw thrown
}

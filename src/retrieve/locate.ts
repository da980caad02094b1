import { LRUCache } from 'lru-cache'
import type { Cluster, Target } from '../clusters/cluster.ts'
import { Budget, fanOut, untilAborted } from '../clusters/fan-out.ts'
import { type QuerySwitches, visibleClusters } from '../clusters/visible.ts'
import type { Audience } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { ClusterError } from '../core/outcome.ts'
import { type Availability, availabilityIn } from '../dicom/availability.ts'
import { firstNumber, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'

/** What a cluster tells of its copy of a series, each `undefined` where it does not. */
export interface HeldSeries {
  readonly instances: number | undefined
  readonly availability: Availability | undefined
}

/** One cluster's share of a study. */
export interface Holder {
  readonly cluster: Cluster
  readonly series: ReadonlyMap<Uid, HeldSeries>
}

export interface StudyLocation {
  readonly holders: readonly Holder[]
  /** Clusters that did not answer: they may hold more of the study. */
  readonly silent: readonly ClusterError[]
}

/**
 * How long an answer about a study is believed without asking again, in milliseconds: long enough for a viewer to
 * open it with one question a cluster, short enough that a series that arrives meanwhile is seen; shorter when a
 * cluster was silent, which may be back any moment.
 */
const believedMs = { whole: 10_000, partial: 2000 }
/** The index is a hint that saves a question; it is not waited for longer than the question would take. */
const hintTimeoutMs = 1000

export interface LocationIndex {
  /** Ids of the clusters that were seen to hold something of the study. */
  holdersOf(study: Uid): Promise<readonly string[]>
  remember(study: Uid, holders: readonly { cluster: string; instances?: number }[]): void
  /** The cluster was asked and holds nothing of the study. */
  forget(study: Uid, cluster: string): void
}

export interface LocatorDependencies {
  readonly clusters: readonly Cluster[]
  readonly index: LocationIndex
  readonly clock: Clock
}

/**
 * A locator for each audience, over the clusters it may reach: it asks no others and knows of no others. Audiences that
 * may reach the same ones share what was found.
 */
export class Locators {
  readonly #bySet = new Map<string, Locator>()
  readonly #deps: LocatorDependencies & { readonly queries: QuerySwitches }

  constructor(deps: LocatorDependencies & { readonly queries: QuerySwitches }) {
    this.#deps = deps
  }

  for(audience: Audience): Locator {
    const clusters = visibleClusters(audience, this.#deps.clusters, this.#deps.queries)
    const set = clusters.map(({ id }) => id).join(' ')
    const known = this.#bySet.get(set)
    if (known) return known
    const made = new Locator({ ...this.#deps, clusters })
    this.#bySet.set(set, made)
    return made
  }

  /** To be called when something of the study was stored. */
  forget(study: Uid): void {
    for (const locator of this.#bySet.values()) locator.forget(study)
  }
}

/** Finds the holders of studies; remembers what it found for a moment in memory and for long in the index. */
export class Locator {
  readonly #clusters: readonly Cluster[]
  readonly #index: LocationIndex
  readonly #clock: Clock
  readonly #recent = new LRUCache<Uid, { location: StudyLocation; at: number }>({ max: 5000 })
  readonly #asking = new Map<Uid, Promise<StudyLocation>>()

  constructor(deps: LocatorDependencies) {
    this.#clusters = deps.clusters
    this.#index = deps.index
    this.#clock = deps.clock
  }

  /**
   * Which series of the study each cluster holds. A cluster that fails is listed as silent. All who ask at the same
   * time share one round of questions, which no single one of them cancels.
   */
  async locate(study: Uid, signal: AbortSignal): Promise<StudyLocation> {
    const fresh = this.#fresh(study)
    if (fresh) return fresh
    return untilAborted(this.#asking.get(study) ?? this.#askAnew(study), signal)
  }

  /** What is stored meanwhile makes the answer an old one, which is not kept. */
  #askAnew(study: Uid): Promise<StudyLocation> {
    const asking: Promise<StudyLocation> = this.#ask(study)
      .then((location) => {
        // What nobody holds may arrive any moment.
        const isKept = location.holders.length > 0 && this.#asking.get(study) === asking
        if (isKept) this.#recent.set(study, { location, at: this.#clock.now() })
        return location
      })
      .finally(() => {
        if (this.#asking.get(study) === asking) this.#asking.delete(study)
      })
    this.#asking.set(study, asking)
    return asking
  }

  #fresh(study: Uid): StudyLocation | undefined {
    const recent = this.#recent.get(study)
    if (!recent) return undefined
    const believed = recent.location.silent.length === 0 ? believedMs.whole : believedMs.partial
    return this.#clock.now() - recent.at < believed ? recent.location : undefined
  }

  /**
   * Holders likely to have an object, without asking anybody: what was located last, else what the index remembers of
   * the study. A hint only; who finds it wrong goes on with {@link locate}.
   */
  async likely(target: Target): Promise<readonly Holder[]> {
    const recent = this.#recent.get(target.study)?.location.holders
    if (recent) return holdersOf(target, recent)
    const known = new Set(await this.#hint(target.study))
    return this.#clusters.flatMap((cluster) => (known.has(cluster.id) ? [{ cluster, series: new Map() }] : []))
  }

  async #hint(study: Uid): Promise<readonly string[]> {
    using wait = deadline(this.#clock, hintTimeoutMs)
    return await untilAborted(this.#index.holdersOf(study), wait.signal).catch(() => [])
  }

  /** As {@link locate}, for who found `asked` to be the wrong ones: those that hold nothing are forgotten. */
  async relocate(study: Uid, asked: readonly Cluster[], signal: AbortSignal): Promise<StudyLocation> {
    this.#recent.delete(study)
    const location = await this.locate(study, signal)
    const { holders, silent } = location
    const believed = new Set([...holders.map(({ cluster }) => cluster.id), ...silent.map(({ cluster }) => cluster)])
    for (const { id } of asked) if (!believed.has(id)) this.#index.forget(study, id)
    return location
  }

  /**
   * For who found one of `asked` not to have what another one then gave: unless it was located just now, which makes it
   * a partial copy, what is remembered is put right in the background.
   */
  doubt(study: Uid, asked: readonly Cluster[]): void {
    if (this.#fresh(study)) return
    this.relocate(study, asked, new AbortController().signal).catch(() => undefined)
  }

  forget(study: Uid): void {
    this.#recent.delete(study)
    this.#asking.delete(study)
  }

  async #ask(study: Uid): Promise<StudyLocation> {
    using budget = new Budget(this.#clock, new AbortController().signal)
    const outcomes = await fanOut(this.#clusters, budget, (cluster, own) => seriesAt(cluster, study, own))
    const holders = outcomes.flatMap((outcome, index): Holder[] => {
      const cluster = this.#clusters[index]
      return outcome.status === 'ok' && outcome.value.size > 0 && cluster ? [{ cluster, series: outcome.value }] : []
    })
    const failed = outcomes.flatMap((outcome) => (outcome.status === 'failed' ? [outcome.error] : []))
    const location = { holders, silent: failed.filter(({ reason }) => reason !== 'not-found') }
    this.#index.remember(
      study,
      holders.map(({ cluster, series }) => ({ cluster: cluster.id, ...sum(series) })),
    )
    return location
  }
}

/** Those who have something of a study or of one of its series. */
export const holdersOf = ({ series }: Pick<Target, 'series'>, holders: readonly Holder[]): Holder[] =>
  holders.filter((holder) => series === undefined || holder.series.has(series))

/** More series than any study has. */
const maxSeries = 10_000

async function seriesAt(cluster: Cluster, study: Uid, signal: AbortSignal): Promise<Map<Uid, HeldSeries>> {
  const includeFields = [tag.NumberOfSeriesRelatedInstances, tag.InstanceAvailability]
  const request = { level: 'series', study, constraints: [], includeFields, limit: maxSeries } as const
  const { rows, truncated } = await cluster.search(request, signal)
  if (truncated) throw new ClusterError(cluster.id, 'too-large', `does not list all series of study ${study}`)
  const series = new Map<Uid, HeldSeries>()
  for (const row of rows) {
    const uid = firstString(row, tag.SeriesInstanceUID)
    const instances = firstNumber(row, tag.NumberOfSeriesRelatedInstances)
    if (isUid(uid)) series.set(uid, { instances, availability: availabilityIn(row) })
  }
  return series
}

function sum(series: ReadonlyMap<Uid, HeldSeries>): { instances?: number } {
  let total = 0
  for (const { instances } of series.values()) {
    if (instances === undefined) return {}
    total += instances
  }
  return { instances: total }
}

import type { Cluster, SearchAnswer, SearchRequest } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import type { Outcome } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { type DateRange, dateOf } from '../dicom/dates.ts'
import { separable } from '../dicom/match.ts'
import { tag } from '../dicom/tags.ts'
import { isPlainDate, plainDate } from '../dicom/temporal.ts'
import type { Ledger } from './ledger.ts'
import { addCopy, type Copy, identityOf, type Level, type MergedRow, mergeCopies } from './merge.ts'
import { sortRows } from './page.ts'
import type { ClusterPlan, QueryPlan } from './plan.ts'
import type { Verified } from './verify.ts'
import { boundsOf, type Density, daysBetween, describeWindow, type Window, Windows, withWindow } from './windows.ts'

/** The same for all walks of a service. */
export interface WalkDependencies {
  readonly search: (cluster: Cluster, request: SearchRequest, signal: AbortSignal) => Promise<SearchAnswer>
  /** Keeps what matches of one cluster's answer, or says that it cannot be told. */
  readonly verify: (cluster: Cluster, request: SearchRequest, answer: SearchAnswer, budget: Budget) => Promise<Verified>
  /** Clusters known to have more rows of such a search than are taken in one go, with their density. */
  readonly large: LargeSearches
  readonly now: () => number
  readonly maxRowsPerCluster: number
}

/** Remembered by cluster and search: whoever had too many rows is not asked for all of them again. */
export interface LargeSearches {
  get(cluster: string): Density | undefined
  set(cluster: string, density: Density): void
}

/** Rows that answers are asked for at least: small archives give all they have in one round. */
const fewestRows = 500

/**
 * The rows of a search in their order, the newest studies first, found as far as they are wanted: all rows of clusters
 * that have few, those of large ones by windows of study dates. A row's place never changes once it is found, and
 * nothing comes twice.
 */
export class Walk {
  readonly #level: Level
  readonly #plans: readonly ClusterPlan[]
  readonly #deps: WalkDependencies
  readonly #ledger: Ledger
  /** Copies found of rows that are not in reach yet, and what was taken already. */
  readonly #found = new Map<string, Copy[]>()
  readonly #taken = new Set<string>()
  /** Rows in order that nobody has been given yet. */
  readonly #ready: MergedRow[] = []
  /** Clusters whose rows are asked for by windows. */
  #windowed: ClusterPlan[] = []
  #windows: Windows | undefined
  /** By cluster, the density of the newest days. */
  readonly #newest = new Map<string, Density>()
  #begun = false

  constructor(request: { readonly level: Level; readonly plan: QueryPlan }, ledger: Ledger, deps: WalkDependencies) {
    this.#level = request.level
    this.#plans = request.plan.ask.filter(({ onlyCopies }) => !onlyCopies)
    this.#ledger = ledger
    this.#deps = deps
  }

  /** Whether every row has been given. */
  get done(): boolean {
    return this.#begun && this.#isOver && this.pending === 0
  }

  /** Rows found that nobody has been given. */
  get pending(): number {
    return this.#found.size + this.#ready.length
  }

  /**
   * The next rows in order: at least `wanted` of them unless they are the last. When it throws, because the caller left,
   * what was found stays for the next call.
   */
  async next(wanted: number, budget: Budget): Promise<MergedRow[]> {
    if (!this.#begun) await this.#begin(wanted, budget)
    for (;;) {
      for (const row of this.#takeReached()) this.#ready.push(row)
      if (this.#ready.length >= wanted || this.#isOver) return this.#ready.splice(0)
      await this.#askWindow(this.#windows as Windows, wanted - this.#ready.length, budget)
    }
  }

  /** Whether what was found is all there will be: everything was asked for, or nobody is left to ask. */
  get #isOver(): boolean {
    if (!this.#windows || this.#windows.done) return true
    return !this.#windowed.some(({ cluster }) => this.#ledger.isAble(cluster.id))
  }

  /** Everything of clusters that have little; of the others it comes out that they have more. */
  async #begin(wanted: number, budget: Budget): Promise<void> {
    const bounds = this.#level === 'study' ? boundsOf(this.#plans[0]?.request.constraints ?? []) : undefined
    const most = this.#deps.maxRowsPerCluster
    const limit = bounds ? Math.min(most, Math.max(fewestRows, 2 * wanted)) : most
    const isLarge = ({ cluster }: ClusterPlan) => bounds !== undefined && this.#deps.large.get(cluster.id) !== undefined
    const whole = this.#plans.filter((plan) => !isLarge(plan))
    const answers = await this.#ask(whole, 'whole', ({ request }) => ({ ...request, limit }), budget)
    const cut = answers.filter(({ truncated }) => truncated)
    const kept = bounds ? answers.filter(({ truncated }) => !truncated) : answers
    for (const { plan, rows } of kept) this.#add(plan, rows)
    if (!bounds)
      this.#ledger.truncated(
        cut.map(({ plan }) => plan),
        most,
      )
    const large = [...this.#plans.filter(isLarge), ...cut.map(({ plan }) => plan)]
    if (bounds && large.length > 0) this.#walkByDates(large, bounds, wanted)
    this.#begun = true
  }

  #walkByDates(large: ClusterPlan[], bounds: DateRange, needed: number): void {
    this.#windowed = large
    const known = large.flatMap(({ cluster }) => this.#deps.large.get(cluster.id) ?? [])
    const density = known.length === large.length ? joined(known) : undefined
    for (const { cluster } of large) this.#newest.set(cluster.id, { rows: 0, days: 0 })
    this.#windows = new Windows(bounds, this.#deps.now(), { needed, density })
  }

  async #askWindow(windows: Windows, needed: number, budget: Budget): Promise<void> {
    const window = windows.next()
    const most = this.#deps.maxRowsPerCluster
    const before = this.#found.size
    const requestOf = ({ request }: ClusterPlan) => ({ ...request, ...inWindow(request, window), limit: most })
    const answers = await this.#ask(this.#windowed, describeWindow(window), requestOf, budget, window)
    const cut = answers.filter(({ truncated }) => truncated).map(({ plan }) => plan)
    if (cut.length > 0 && windows.narrow()) return
    this.#ledger.truncated(cut, most)
    for (const { plan, rows } of answers) this.#add(plan, rows)
    this.#learn(window, answers)
    windows.pass(this.#found.size - before, needed)
  }

  /** One question to several clusters; those that failed or could not be checked are not asked again. */
  async #ask(
    plans: readonly ClusterPlan[],
    asked: string,
    requestOf: (plan: ClusterPlan) => SearchRequest,
    budget: Budget,
    window?: Window,
  ): Promise<Answer[]> {
    const begun = this.#deps.now()
    const able = new Map(
      plans.map((plan) => [plan.cluster, plan] as const).filter(([{ id }]) => this.#ledger.isAble(id)),
    )
    if (able.size === 0) return []
    const outcomes = await fanOut([...able.keys()], budget, (cluster, signal) =>
      this.#deps.search(cluster, requestOf(able.get(cluster) as ClusterPlan), signal),
    )
    const plansAsked = [...able.values()]
    const kept = await Promise.all(
      outcomes.map((outcome, index) => this.#keep(plansAsked[index] as ClusterPlan, outcome, budget, window)),
    )
    const answers = kept.filter((answer) => answer !== undefined)
    this.#ledger.round({
      asked,
      clusters: plansAsked.map(({ cluster }) => cluster.id),
      rows: answers.reduce((sum, { rows }) => sum + rows.length, 0),
      durationMs: this.#deps.now() - begun,
    })
    return answers
  }

  async #keep(
    plan: ClusterPlan,
    outcome: Outcome<SearchAnswer>,
    budget: Budget,
    window?: Window,
  ): Promise<Answer | undefined> {
    this.#ledger.answered(plan, outcome)
    if (outcome.status !== 'ok') return undefined
    const { rows, unverifiable } = await this.#deps.verify(plan.cluster, plan.request, outcome.value, budget)
    if (unverifiable.length > 0) {
      this.#ledger.unable(plan.cluster.id, unverifiable)
      return undefined
    }
    const inside = window ? rows.filter((row) => isInside(row, window)) : rows
    return { plan, rows: inside, truncated: outcome.value.truncated }
  }

  #add({ cluster, rank }: ClusterPlan, rows: readonly Dataset[]): void {
    let kept = 0
    for (const row of rows) {
      const identity = identityOf(this.#level, row)
      if (identity === undefined || this.#taken.has(identity)) continue
      addCopy(this.#found, identity, { cluster: cluster.id, rank, row })
      kept++
    }
    this.#ledger.matched(cluster.id, kept)
  }

  /** What comes before everything that has not been asked for yet. */
  #takeReached(): MergedRow[] {
    const reached = this.#windows && !this.#isOver ? this.#windows.reached : ''
    if (reached === undefined) return []
    const rows: MergedRow[] = []
    for (const [identity, copies] of this.#found) {
      const row = mergeCopies(this.#level, copies)
      if (reached !== '' && studyDateOf(row.dataset) < reached) continue
      rows.push(row)
      this.#taken.add(identity)
      this.#found.delete(identity)
    }
    return sortRows(this.#level, rows)
  }

  /** The next search begins with the newest days too: how many rows they have tells how long its window has to be. */
  #learn(window: Window, answers: readonly Answer[]): void {
    if (window.kind === 'undated' || window.range.from === undefined) return
    const { from, to = dateOf(this.#deps.now()) } = window.range
    const days = daysBetween(from, to)
    for (const { plan, rows } of answers) {
      const before = this.#newest.get(plan.cluster.id) ?? { rows: 0, days: 0 }
      if (before.rows >= telling) continue
      const density = { rows: before.rows + rows.length, days: before.days + days }
      this.#newest.set(plan.cluster.id, density)
      this.#deps.large.set(plan.cluster.id, density)
    }
  }
}

/** Rows from which a density is taken. */
const telling = 50

/** What one cluster gave that matches. */
interface Answer {
  readonly plan: ClusterPlan
  readonly rows: readonly Dataset[]
  readonly truncated: boolean
}

const joined = (densities: readonly Density[]): Density => ({
  rows: densities.reduce((sum, { rows, days }) => sum + (rows / days) * 1000, 0),
  days: 1000,
})

/** A time of day belongs to the query's own range of dates: within a window of it, it would exclude too much. */
function inWindow(request: SearchRequest, window: Window): Partial<SearchRequest> {
  if (window.kind === 'undated') return { undated: true }
  return { constraints: withWindow(separable(request.constraints), window.range) }
}

function isInside(row: Dataset, window: Window): boolean {
  const date = studyDateOf(row)
  // What an archive has in another form than ranges are asked in, it does not find by them.
  if (window.kind === 'undated') return !isPlainDate(firstString(row, tag.StudyDate))
  const { from = '', to } = window.range
  return date !== '' && date >= from && (to === undefined || date <= to)
}

const studyDateOf = (row: Dataset): string => plainDate(firstString(row, tag.StudyDate))

import type { Cluster } from '../clusters/cluster.ts'
import type { Budget } from '../clusters/fan-out.ts'
import type { Dataset } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { Completion, canHide } from './complete.ts'
import { Counts, isShared } from './counts.ts'
import { asksByDescription, lacksDescription, withDescription } from './describe.ts'
import { SeriesFacts } from './facts.ts'
import { linkColumns, needsLinkAttributes } from './fields.ts'
import type { Ledger } from './ledger.ts'
import { linkFilter, shownOf, withLinkAttributes } from './link.ts'
import type { Copy, MergedRow } from './merge.ts'
import { isGpi } from './plan.ts'
import type { QueryDependencies, QueryRequest } from './service.ts'
import type { Sift } from './snapshot.ts'

type Dependencies = Pick<QueryDependencies, 'clusters' | 'link'>

/** What is known of rows beside what one answer of each cluster says; costs questions, so only for rows that are seen. */
export class Finishing {
  readonly #deps: Dependencies
  readonly #facts = new SeriesFacts()
  readonly #counts = new Counts(this.#facts)
  readonly #completion = new Completion()
  readonly #roles: ReadonlyMap<string, string>
  readonly #home: string

  constructor(deps: Dependencies) {
    this.#deps = deps
    this.#roles = new Map(deps.clusters.map(({ id, role }) => [id, role]))
    this.#home = deps.clusters.find(({ role }) => role === 'home')?.id ?? ''
  }

  /** Completes the rows of a page, counts them, and tells what the client wants to see of them. */
  async finish(request: QueryRequest, page: readonly MergedRow[], ledger: Ledger, budget: Budget) {
    const told = await this.#completeAndLearn(request, page, ledger, budget)
    const { rows, inexact } = await this.#counts.correct(request.level, told, this.#deps.clusters, budget)
    return { rows: await this.#show(request, rows, ledger), inexact }
  }

  async #show(request: QueryRequest, rows: readonly MergedRow[], ledger: Ledger): Promise<readonly MergedRow[]> {
    if (!needsLinkAttributes(request)) return rows
    const columns = linkColumns(request)
    const linked = columns.size > 0 ? await this.#link(rows, ledger) : rows
    return linked.map((row) => ({ ...row, dataset: shownOf(row.dataset, columns) }))
  }

  /** The filter for constraints on link attributes: they are met, or not, by the study as a whole. */
  sift(request: QueryRequest, ledger: Ledger): Sift | undefined {
    if (request.level !== 'study' || request.query.linkConstraints.length === 0) return undefined
    const matches = linkFilter(request.query)
    return async (rows, budget) => {
      const told = await this.#completeAndLearn(request, rows, ledger, budget)
      const linked = await this.#link(told, ledger)
      return told.filter((_, index) => matches(linked[index] as MergedRow))
    }
  }

  /** Of the copies that are known already the facts are asked for meanwhile: most rows have no others. */
  async #completeAndLearn(
    request: QueryRequest,
    rows: readonly MergedRow[],
    ledger: Ledger,
    budget: Budget,
  ): Promise<MergedRow[]> {
    const learning = this.#learn(request, rows, ledger, budget)
    const [whole] = await Promise.all([this.#complete(request, rows, ledger, budget), learning])
    return this.#learn(request, whole, ledger, budget)
  }

  /** Rows of one cluster with the descriptions that their series have, when they are to be checked by it. */
  async describeForCheck(
    { level, query }: QueryRequest,
    cluster: Cluster,
    rows: readonly Dataset[],
    { ledger, budget }: { ledger: Ledger; budget: Budget },
  ): Promise<readonly Dataset[]> {
    if (!asksByDescription({ level, constraints: query.constraints })) return rows
    const copies = rows.map((row) => ({ cluster: cluster.id, row }))
    const bare = copies.filter(({ row }) => lacksDescription(row))
    for (const outcome of await this.#facts.learn(bare, [cluster], budget)) ledger.note(outcome)
    return copies.map((copy) => withDescription(copy.row, [copy], this.#facts))
  }

  /** Without a filter only those clusters can have more that were not asked for what they have. */
  async #complete(
    { level, query }: QueryRequest,
    rows: readonly MergedRow[],
    ledger: Ledger,
    budget: Budget,
  ): Promise<readonly MergedRow[]> {
    const hidden = canHide(level, query.constraints) || query.linkConstraints.some(isGpi)
    const plans = ledger.able.filter(({ onlyCopies }) => hidden || onlyCopies)
    if (plans.length === 0) return rows
    const completed = await this.#completion.complete(level, rows, plans, budget)
    for (const outcome of completed.outcomes) ledger.note(outcome)
    return completed.rows
  }

  /** Asks for the series of studies that are counted, described or mapped by them, in one question a cluster. */
  async #learn(
    request: QueryRequest,
    rows: readonly MergedRow[],
    ledger: Ledger,
    budget: Budget,
  ): Promise<MergedRow[]> {
    const { level, query } = request
    if (level !== 'study') return [...rows]
    const mapped = needsLinkAttributes(request)
    const described = mapped || query.includeFields === 'all' || query.includeFields.includes(tag.StudyDescription)
    const isBare = ({ dataset }: MergedRow) => described && lacksDescription(dataset)
    const copiesOf = (wanted: readonly MergedRow[]): Copy[] => wanted.flatMap(({ copies }) => copies)
    const wanted = rows.filter((row) => mapped || isShared(level, row) || isBare(row))
    const outcomes = await this.#facts.learn(copiesOf(wanted), this.#deps.clusters, budget)
    // For counts alone a failure is told as counts that are not exact.
    const matters = new Set(copiesOf(rows.filter((row) => mapped || isBare(row))).map(({ cluster }) => cluster))
    for (const outcome of outcomes) if (matters.has(outcome.cluster)) ledger.note(outcome)
    if (!described) return [...rows]
    return rows.map((row) => ({ ...row, dataset: withDescription(row.dataset, row.copies, this.#facts) }))
  }

  #link(rows: readonly MergedRow[], ledger: Ledger): Promise<MergedRow[]> {
    return withLinkAttributes(rows, this.#deps.link, {
      facts: this.#facts,
      roleOf: (id) => this.#roles.get(id) ?? '',
      home: this.#home,
      unhonouredBy: (ids) => ledger.unhonouredBy(ids),
    })
  }
}

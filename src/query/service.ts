import type { Cluster } from '../clusters/cluster.ts'
import { Budget } from '../clusters/fan-out.ts'
import type { Audience, Caller } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { badRequest, LinkError } from '../core/errors.ts'
import type { Dataset } from '../dicom/dataset.ts'
import type { Query } from '../dicom/query.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { Finishing } from './finish.ts'
import type { LinkKnowledge } from './link.ts'
import type { MergedRow } from './merge.ts'
import type { PlanRules } from './plan.ts'
import { render } from './render.ts'
import type { QueryReport } from './report.ts'
import { Searches } from './searches.ts'

/** One of the six QIDO-RS resources, PS3.18 10.6: rows of a level, all of them or below a study or series. */
export interface QueryRequest {
  readonly level: 'study' | 'series' | 'instance'
  readonly study?: Uid
  readonly series?: Uid
  readonly query: Query
  /** Absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  readonly base: string
  readonly caller: Caller
}

export interface QueryAnswer {
  readonly rows: readonly Dataset[]
  /** Texts for `Warning: 299`, without code and agent. */
  readonly warnings: readonly string[]
  readonly report: QueryReport
}

export interface QueryService {
  /**
   * Throws `LinkError`: `timed-out` when every cluster asked ran out of time, `unavailable` when all failed;
   * one answer is enough for success, with a warning for each cluster that is missing from it, unless the caller wants
   * all or nothing: `bad-gateway`.
   */
  search(request: QueryRequest, signal: AbortSignal): Promise<QueryAnswer>
}

export interface QueryDependencies {
  /** Home first, then by priority: the order in which they are believed about identity. */
  readonly clusters: readonly Cluster[]
  readonly rules: Omit<PlanRules, 'refused'>
  readonly link: LinkKnowledge
  /** Rows in one answer at most. */
  readonly maxResults: number
  /** Rows of searches kept for clients that page. */
  readonly maxSnapshotRows: number
  readonly clock: Clock
  /** What becomes of an answer that lacks a cluster, when the query does not say. */
  readonly partial: Readonly<Record<'internal' | 'external', 'warn' | 'abort'>>
  readonly index: HolderIndex
}

/** Where studies were seen; hints that must not throw. */
export interface HolderIndex {
  /** Told which clusters were seen to hold which studies. */
  readonly remember: (holders: readonly { study: Uid; cluster: string }[]) => void
  /** Studies known to be at a cluster, as far as can be told. */
  readonly countAt: (cluster: string) => Promise<number | undefined>
}

/** Plan → walk the clusters' rows in order → cut the page → complete what filters hid → count → tell → render. */
export function createQueryService(deps: QueryDependencies): QueryService {
  const searches = new Searches(deps)
  const finishing = new Finishing(deps)

  return {
    async search(request, signal) {
      const { level, query } = request
      const begun = deps.clock.now()
      using budget = new Budget(deps.clock, signal)
      const limit = Math.min(query.limit ?? deps.maxResults, deps.maxResults)
      if (query.offset > deps.maxSnapshotRows) throw tooFar(deps.maxSnapshotRows)
      const { snapshot, resumed } = searches.open(request, finishing)
      snapshot.ledger.beginPage()
      await snapshot.extend({ from: query.offset, to: query.offset + limit + 1 }, budget)
      const page = snapshot.slice(query.offset, query.offset + limit)
      searches.keep(request, snapshot)
      snapshot.ledger.requireAnswers(page.length)
      const { rows, inexact } = await finishing.finish(request, page, snapshot.ledger, budget)
      if (level === 'study') deps.index.remember(holdersIn(rows))
      await snapshot.ledger.lookUpKnown(deps.index.countAt)
      const missing = snapshot.ledger.missing()
      if (missing.length > 0 && abortsOn(request, deps.partial)) throw incomplete(missing)

      const remaining = { atLeast: Math.max(0, snapshot.size - query.offset - page.length), exact: snapshot.done }
      return {
        rows: rows.map(({ dataset }) => render(level, dataset, request.base)),
        warnings: [
          ...missing.map((what) => `Results are incomplete: ${what}`),
          ...inexactCounts(inexact),
          ...additional(remaining),
          ...unsupported(query),
        ],
        report: {
          ...snapshot.ledger.report(request.caller.audience),
          resumed,
          remaining,
          durationMs: deps.clock.now() - begun,
        },
      }
    },
  }
}

const tooFar = (most: number): LinkError =>
  badRequest(`offset: pages are kept up to row ${most}; ask for less by more keys, such as a range of dates`)

const abortsOn = ({ query, caller }: QueryRequest, policy: QueryDependencies['partial']): boolean =>
  (query.partial ?? policy[policyFor(caller.audience)]) === 'abort'

const policyFor = (audience: Audience) => (audience === 'internal' ? 'internal' : 'external')

const incomplete = (missing: readonly string[]): LinkError =>
  new LinkError('bad-gateway', `the answer would be incomplete: ${missing.join('; ')}`)

const inexactCounts = (uids: readonly string[]) =>
  uids.length === 0
    ? []
    : [`The counts of ${uids.length} rows are the largest of their copies', not those of the union`]

/** The text of PS3.18 8.3.4.4; of a search that was not walked to its end the number is what is known so far. */
const additional = ({ atLeast, exact }: QueryReport['remaining']): string[] =>
  atLeast === 0 ? [] : [`There are ${exact ? '' : 'at least '}${atLeast} additional results that can be requested`]

/** The texts of PS3.18 8.3.4.2 and 8.3.4.6, for clients that asked for what is not done. */
const unsupported = ({ ignored = [], fuzzyMatching, constraints, multipleValueMatching }: Query): string[] => [
  ...ignored.map((key) => `Rows of this level cannot be matched by ${key}; it was ignored`),
  ...(fuzzyMatching && !constraints.some(({ fuzzy }) => fuzzy)
    ? ['The fuzzymatching parameter is not supported. Only literal matching has been performed.']
    : []),
  ...(multipleValueMatching
    ? ['The multiplevaluematching parameter is not supported. Multiple Value Matching has not been performed.']
    : []),
]

const holdersIn = (rows: readonly MergedRow[]) =>
  rows.flatMap(({ uid, copies }) => (isUid(uid) ? copies.map(({ cluster }) => ({ study: uid, cluster })) : []))

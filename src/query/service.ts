import type { Cluster, SearchRequest } from '../clusters/cluster.ts'
import { Budget, fanOut } from '../clusters/fan-out.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Dataset } from '../dicom/dataset.ts'
import { compileConstraints } from '../dicom/match.ts'
import type { Query } from '../dicom/query.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { canHide, completeRows } from './complete.ts'
import { Counts } from './counts.ts'
import { asksByDescription, Descriptions, showsDescription } from './describe.ts'
import { type ClusterRows, type MergedRow, mergeRows } from './merge.ts'
import { pageOf, sortRows } from './page.ts'
import { type PlanRules, planQuery } from './plan.ts'
import { render } from './render.ts'
import { rowsBelow, verifyRows } from './verify.ts'

/** One of the six QIDO-RS resources, PS3.18 10.6: rows of a level, all of them or below a study or series. */
export interface QueryRequest {
  readonly level: 'study' | 'series' | 'instance'
  readonly study?: Uid
  readonly series?: Uid
  readonly query: Query
  /** Absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  readonly base: string
}

export interface QueryAnswer {
  readonly rows: readonly Dataset[]
  /** Texts for `Warning: 299`, without code and agent. */
  readonly warnings: readonly string[]
}

export interface QueryService {
  /**
   * Throws `LinkError`: `timed-out` when every cluster asked ran out of time, `unavailable` when all failed;
   * one answer is enough for success, with a warning for each cluster that is missing from it.
   */
  search(request: QueryRequest, signal: AbortSignal): Promise<QueryAnswer>
}

export interface QueryDependencies {
  /** Home first, then by priority: the order in which they are believed about identity. */
  readonly clusters: readonly Cluster[]
  readonly rules: PlanRules
  /** Rows in one answer at most. */
  readonly maxResults: number
  readonly clock: Clock
  /** Told which clusters were seen to hold which studies; must not throw. */
  readonly onHolders: (holders: readonly { study: Uid; cluster: string }[]) => void
}

/** Plan → ask all at once → check → merge → page → complete what filters hid → describe → count → render. */
export function createQueryService(deps: QueryDependencies): QueryService {
  const counts = new Counts()
  const descriptions = new Descriptions()
  const rankOf = (id: string) => deps.clusters.findIndex((cluster) => cluster.id === id)

  return {
    async search(request, signal) {
      const { level, query } = request
      using budget = new Budget(deps.clock, signal)
      const plan = planQuery(request, deps.clusters, deps.rules)
      const outcomes = await fanOut(plan.ask, budget, (cluster, own) => cluster.search(plan.request, own))
      failWhenNobodyAnswered(outcomes)

      const told = asksByDescription(plan.request)
        ? await descriptions.ofAnswers(outcomes, plan.ask, budget)
        : { answers: outcomes, outcomes: [] }
      const { answers, warnings } = verifyAnswers(plan.request, told.answers, rankOf)
      const sorted = sortRows(level, mergeRows(level, answers).values())
      const { page, remaining } = pageOf(
        sorted,
        query.offset,
        Math.min(query.limit ?? deps.maxResults, deps.maxResults),
      )

      const answered = plan.ask.filter((_, index) => outcomes[index]?.status === 'ok')
      const whole = canHide(level, plan.request)
        ? await completeRows(level, page, { clusters: answered, request: plan.request, rankOf }, budget)
        : { rows: page, outcomes: [] }
      const described = showsDescription(plan.request)
        ? await descriptions.ofRows(whole.rows, deps.clusters, budget)
        : { rows: whole.rows, outcomes: [] }
      const counted = await counts.correct(level, described.rows, deps.clusters, budget)
      if (level === 'study') deps.onHolders(holdersIn(counted.rows))

      return {
        rows: counted.rows.map(({ dataset }) => render(level, dataset, request.base)),
        warnings: [
          ...plan.skipped.map(({ cluster, why }) => `Results are incomplete: cluster ${cluster} ${why}`),
          ...missing([...outcomes, ...told.outcomes, ...whole.outcomes, ...described.outcomes]),
          ...warnings,
          ...inexactCounts(counted.inexact),
          ...(remaining > 0 ? [`There are ${remaining} additional results that can be requested`] : []),
          ...(query.ignored ?? []).map((key) => `Rows of this level cannot be matched by ${key}; it was ignored`),
          ...(query.fuzzyMatching ? [literalMatchingOnly] : []),
        ],
      }
    },
  }
}

/** The text of PS3.18 8.3.4.2.1, for clients that asked for fuzzy matching. */
const literalMatchingOnly = 'The fuzzymatching parameter is not supported. Only literal matching has been performed.'

function failWhenNobodyAnswered(outcomes: readonly Outcome<unknown>[]): void {
  const failed = outcomes.filter((outcome) => outcome.status === 'failed')
  if (failed.length === 0 || failed.length < outcomes.length) return
  const told = failed.map(({ cluster, reason }) => `${cluster} ${reason}`).join(', ')
  const late = failed.every(({ reason }) => reason === 'timed-out')
  throw new LinkError(late ? 'timed-out' : 'unavailable', `no cluster answered the query: ${told}`, {
    cause: failed[0]?.error,
  })
}

/**
 * Keeps from each answer what matches; an answer that cannot be checked is left out with a warning. Throws when that
 * leaves none: nobody can say whether there is something.
 */
function verifyAnswers(
  request: SearchRequest,
  outcomes: readonly Outcome<{ rows: readonly Dataset[]; truncated: boolean }>[],
  rankOf: (cluster: string) => number,
): { answers: ClusterRows[]; warnings: string[] } {
  const constraints = compileConstraints(request.constraints)
  const answers: ClusterRows[] = []
  const warnings: string[] = []
  const unable: string[] = []
  for (const outcome of outcomes) {
    if (outcome.status !== 'ok') continue
    const { cluster, value } = outcome
    const { rows, unverifiable } = verifyRows(rowsBelow(request, value.rows), constraints)
    if (unverifiable.length > 0) {
      unable.push(`cluster ${cluster} cannot match by ${unverifiable.join(', ')}`)
      continue
    }
    if (value.truncated) warnings.push(`Results are incomplete: cluster ${cluster} has more than ${request.limit} rows`)
    answers.push({ cluster, rank: rankOf(cluster), rows })
  }
  if (answers.length === 0 && unable.length > 0) throw new LinkError('bad-gateway', unable.join('; '))
  return { answers, warnings: [...warnings, ...unable.map((text) => `Results are incomplete: ${text}`)] }
}

function missing(outcomes: readonly Outcome<unknown>[]): string[] {
  const failed = outcomes.filter((outcome) => outcome.status === 'failed')
  const reasons = new Map(failed.map(({ cluster, reason }) => [cluster, reason]))
  return [...reasons].map(([cluster, reason]) => `Results are incomplete: cluster ${cluster} ${reason}`)
}

const inexactCounts = (uids: readonly string[]) =>
  uids.length === 0
    ? []
    : [`The counts of ${uids.length} rows are the largest of their copies', not those of the union`]

const holdersIn = (rows: readonly MergedRow[]) =>
  rows.flatMap(({ uid, copies }) => (isUid(uid) ? copies.map(({ cluster }) => ({ study: uid, cluster })) : []))

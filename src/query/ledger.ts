import type { SearchAnswer, SearchConstraint } from '../clusters/cluster.ts'
import type { Audience } from '../core/audience.ts'
import { LinkError } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import { keywordOf } from '../dicom/dictionary.ts'
import type { ClusterPlan, QueryPlan } from './plan.ts'
import type { QueryReport, RoundReport, SourceReport } from './report.ts'

type Failed = Extract<Outcome<unknown>, { status: 'failed' }>

interface Account {
  readonly plan: ClusterPlan
  requests: number
  rows: number
  durationMs: number
  /** It is not asked for rows any more. */
  failed?: Failed
  /** A question about copies or series of this page failed. */
  aside?: Failed | undefined
  answered: boolean
  /** Constraints its rows say nothing about: what it gave could not be told from a false answer. */
  unhonoured: readonly string[]
  truncatedAt?: number
  known?: number
}

/** Keeps account of what every cluster did for one search, from its first page to its last. */
export class Ledger {
  readonly #plan: QueryPlan
  readonly #accounts: ReadonlyMap<string, Account>
  readonly #rounds: RoundReport[] = []

  constructor(plan: QueryPlan) {
    this.#plan = plan
    this.#accounts = new Map(plan.ask.map((it) => [it.cluster.id, newAccount(it)]))
  }

  /** Whether it is worth asking again. */
  isAble(cluster: string): boolean {
    const account = this.#accounts.get(cluster)
    return account !== undefined && !account.failed && account.unhonoured.length === 0
  }

  /** Clusters that may be asked for copies: those that have answered everything so far, and could be checked. */
  get able(): ClusterPlan[] {
    return this.#plan.ask.filter(({ cluster }) => this.isAble(cluster.id))
  }

  answered({ cluster }: ClusterPlan, outcome: Outcome<SearchAnswer>): void {
    this.note(outcome)
    const account = this.#accounts.get(cluster.id)
    if (account && outcome.status === 'ok') account.answered = true
    if (account && outcome.status === 'failed') account.failed = outcome
  }

  /** To be called for each page: what failed beside the rows themselves is asked again. */
  beginPage(): void {
    for (const account of this.#accounts.values()) account.aside = undefined
  }

  /** Whether rows are missing for good: a search that goes on would never have them. */
  get isMaimed(): boolean {
    return [...this.#accounts.values()].some(({ failed }) => failed !== undefined)
  }

  /** Any question asked for this search; a failure makes the answer incomplete. */
  note(outcome: Outcome<unknown>): void {
    const account = this.#accounts.get(outcome.cluster)
    if (!account || outcome.status === 'skipped') return
    account.requests++
    account.durationMs += outcome.durationMs
    if (outcome.status === 'failed') account.aside ??= outcome
  }

  matched(cluster: string, rows: number): void {
    const account = this.#accounts.get(cluster)
    if (account) account.rows += rows
  }

  unable(cluster: string, keys: readonly string[]): void {
    const account = this.#accounts.get(cluster)
    if (account) account.unhonoured = [...new Set([...account.unhonoured, ...keys])]
  }

  truncated(plans: readonly ClusterPlan[], limit: number): void {
    for (const { cluster } of plans) {
      const account = this.#accounts.get(cluster.id)
      if (account) account.truncatedAt = limit
    }
  }

  round(round: RoundReport): void {
    this.#rounds.push(round)
  }

  /** Studies known to be at clusters that did not answer. */
  async lookUpKnown(countOf: (cluster: string) => Promise<number | undefined>): Promise<void> {
    const silent = [...this.#accounts.values()].filter(
      ({ failed, aside, known }) => (failed ?? aside) && known === undefined,
    )
    await Promise.all(
      silent.map(async (account) => {
        const known = await countOf(account.plan.cluster.id)
        if (known !== undefined) account.known = known
      }),
    )
  }

  /** Keys that the named clusters could not honour. */
  unhonouredBy(clusters: readonly string[]): string[] {
    return [...new Set(clusters.flatMap((id) => this.#accounts.get(id)?.unhonoured ?? []))].toSorted()
  }

  /** Throws when no cluster gave an answer that counts: nobody can say whether there is something. `rows`: found. */
  requireAnswers(rows: number): void {
    const accounts = [...this.#accounts.values()].filter(({ plan }) => !plan.onlyCopies)
    const counts = ({ answered, failed, unhonoured }: Account) =>
      answered && unhonoured.length === 0 && (!failed || rows > 0)
    if (accounts.length === 0 || accounts.some(counts)) return
    const unable = accounts.filter(({ unhonoured }) => unhonoured.length > 0)
    if (unable.length > 0) throw new LinkError('bad-gateway', unable.map(cannotMatch).join('; '))
    const failed = accounts.flatMap((account) => account.failed ?? [])
    const told = failed.map(({ cluster, reason }) => `${cluster} ${reason}`).join(', ')
    const late = failed.every(({ reason }) => reason === 'timed-out')
    throw new LinkError(late ? 'timed-out' : 'unavailable', `no cluster answered the query: ${told}`, {
      cause: failed[0]?.error,
    })
  }

  /** Texts for `Warning`, of everything that is missing. */
  missing(): string[] {
    const skipped = this.#plan.skipped.filter(({ missed }) => missed)
    const accounts = [...this.#accounts.values()]
    return [
      ...skipped.map(({ cluster, why }) => `cluster ${cluster.id} ${why}`),
      ...accounts.flatMap(({ failed, aside }) => describeFailure(failed ?? aside)),
      ...accounts.flatMap(({ plan, truncatedAt }) =>
        truncatedAt === undefined ? [] : [`cluster ${plan.cluster.id} has more than ${truncatedAt} rows`],
      ),
      ...accounts.filter(({ unhonoured }) => unhonoured.length > 0).map(cannotMatch),
    ]
  }

  /** Clusters that are none of the caller's business are told of to callers of our own only. */
  report(audience: Audience): Pick<QueryReport, 'sources' | 'rounds'> {
    const shown = this.#plan.skipped.filter(({ missed }) => missed || audience === 'internal')
    const skipped = shown.map(
      ({ cluster, why }): SourceReport => ({
        ...idle,
        cluster: cluster.id,
        role: cluster.role,
        outcome: 'skipped',
        why,
      }),
    )
    return { sources: [...[...this.#accounts.values()].map(describe), ...skipped], rounds: [...this.#rounds] }
  }
}

const idle = { pushed: [], withheld: [], unhonoured: [], requests: 0, rows: 0, durationMs: 0 }

const newAccount = (plan: ClusterPlan): Account => ({
  plan,
  requests: 0,
  rows: 0,
  durationMs: 0,
  answered: false,
  unhonoured: [],
})

const describeFailure = (failed: Failed | undefined): string[] =>
  failed ? [`cluster ${failed.cluster} ${failed.reason}`] : []

const cannotMatch = ({ plan, unhonoured }: Account): string =>
  `cluster ${plan.cluster.id} cannot match by ${unhonoured.join(', ')}`

function describe({ plan, requests, rows, durationMs, failed, aside, unhonoured, known }: Account): SourceReport {
  return {
    cluster: plan.cluster.id,
    role: plan.cluster.role,
    outcome: (failed ?? aside)?.reason ?? 'ok',
    pushed: plan.request.constraints.filter(({ value }) => value !== '').map(describeConstraint),
    withheld: plan.withheld.map(describeConstraint),
    unhonoured,
    requests,
    rows,
    durationMs: Math.round(durationMs * 10) / 10,
    ...(known !== undefined && { known }),
  }
}

/** As it would stand in a query, by keyword. */
export const describeConstraint = ({ path, value }: SearchConstraint): string =>
  `${path.map((step) => keywordOf(step) ?? step).join('.')}=${value}`

import type { Context } from 'hono'
import { html } from 'hono/html'
import type { Clusters } from '../clusters/registry.ts'
import type { Config } from '../config/schema.ts'
import { parseQuery } from '../dicom/query.ts'
import type { QueryAnswer, QueryService } from '../query/service.ts'
import type { Outbox } from '../replicate/outbox.ts'
import { dicomwebRoot } from './addresses.ts'
import { callerOf } from './caller.ts'
import type { Env, Route } from './context.ts'
import { describeProblem } from './problem.ts'
import { type Fault, type FormValues, faultOf, formValues, isAsked, searchForm, searchOf } from './ui-form.ts'
import { clustersSection, type Html, layout, pageResponse } from './ui-page.ts'
import { planDetails } from './ui-plan.ts'
import { type ReplicationPageDependencies, replicationPages } from './ui-replication.ts'
import { resultsSection, resultsTitle } from './ui-results.ts'
import { type WhereRoutesDependencies, whereRoutes } from './ui-where.ts'

export interface UiRoutesDependencies
  extends Omit<WhereRoutesDependencies, 'outbox'>,
    Omit<ReplicationPageDependencies, 'outbox'> {
  readonly outbox: Outbox
  readonly config: Pick<Config, 'publicUrl' | 'viewer'>
  readonly clusters: Pick<Clusters, 'status'>
  readonly query: QueryService
}

/** Without a search there is only the form; a search answers with studies, or with what is wrong about it. */
type Outcome =
  | { readonly kind: 'unasked' }
  | { readonly kind: 'found'; readonly answer: QueryAnswer }
  | {
      readonly kind: 'refused'
      readonly fault: Fault
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
    }

/** The pages to look at the clusters and at what is on its way to them, to make linked queries and to see where a study is. */
export const uiRoutes = (deps: UiRoutesDependencies): Route[] => [
  { method: 'GET', path: '/ui', scope: 'query', handle: (c) => ui(c, deps) },
  ...whereRoutes(deps),
  ...replicationPages(deps),
]

async function ui(c: Context<Env>, deps: UiRoutesDependencies): Promise<Response> {
  const values = formValues(new URL(c.req.url).searchParams)
  const outcome = isAsked(values) ? await search(c, values, deps) : { kind: 'unasked' as const }
  const { status, headers } = outcome.kind === 'refused' ? outcome : { status: 200, headers: {} }
  return pageResponse(page(values, outcome, deps), { status, headers })
}

/** Asks as any client of QIDO-RS would. Defects, and clients that have left, are not for the page to tell of. */
async function search(c: Context<Env>, values: FormValues, deps: UiRoutesDependencies): Promise<Outcome> {
  const { id, signal } = c.env.exchange
  try {
    const query = parseQuery('study', searchOf(values))
    const request = { level: 'study', query, base: dicomwebRoot(c, deps.config), caller: callerOf(c) } as const
    return { kind: 'found', answer: await deps.query.search(request, signal) }
  } catch (error) {
    const { problem, headers } = describeProblem(error, id)
    if (problem.code === 'internal' || problem.code === 'cancelled') throw error
    return { kind: 'refused', fault: faultOf(problem), status: problem.status, headers }
  }
}

function page(values: FormValues, outcome: Outcome, { clusters, config }: UiRoutesDependencies): Html {
  const states = clusters.status()
  const fault = outcome.kind === 'refused' ? outcome.fault : undefined
  const ids = states.map(({ id }) => id)
  return layout({
    title: titleOf(values, outcome),
    parts: { search: 'search', ...(outcome.kind === 'found' && { results: 'results' }) },
    current: 'search',
    hasViewer: config.viewer,
    content: html`
      ${clustersSection(states)}
      ${searchForm({ values, fault, clusters: ids })}
      ${outcome.kind === 'found' ? found(values, outcome.answer, config.viewer) : ''}`,
  })
}

const found = (values: FormValues, answer: QueryAnswer, hasViewer: boolean): Html => html`
      ${resultsSection({ values, answer, hasViewer })}
      ${planDetails(answer.report)}`

function titleOf(values: FormValues, outcome: Outcome): string {
  switch (outcome.kind) {
    case 'unasked':
      return 'Search'
    case 'found':
      return resultsTitle(values, outcome.answer)
    case 'refused':
      return 'Error'
  }
}

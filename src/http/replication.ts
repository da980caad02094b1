import type { Context } from 'hono'
import { badRequest } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { PageOptions } from '../db/outbox.ts'
import { isUid, parseUid } from '../dicom/uid.ts'
import type { Outbox, OutboxState } from '../replicate/outbox.ts'
import { linkPath, replicationPage } from './addresses.ts'
import { answerJson } from './answer.ts'
import type { Env, Route } from './context.ts'
import { parseLimit, queryOf } from './parameters.ts'

export interface ReplicationRoutesDependencies {
  readonly outbox: Outbox
  readonly log: Log
}

const path = `${linkPath}/replication`

/** What is to reach the other clusters: how it stands, what was given up, and what is done about it. */
export const replicationRoutes = (deps: ReplicationRoutesDependencies): Route[] => [
  { method: 'GET', path, scope: 'admin', handle: (c) => show(c, deps) },
  { method: 'GET', path: `${path}/dead-letters`, scope: 'admin', handle: (c) => deadLetters(c, deps) },
  { method: 'GET', path: `${path}/refused-instances`, scope: 'admin', handle: (c) => refusedInstances(c, deps) },
  { method: 'GET', path: `${path}/studies/:study`, scope: 'admin', handle: (c) => study(c, deps) },
  { method: 'POST', path: `${path}/:cluster/pause`, scope: 'admin', handle: (c) => change(c, deps, 'pause') },
  { method: 'POST', path: `${path}/:cluster/resume`, scope: 'admin', handle: (c) => change(c, deps, 'resume') },
  { method: 'POST', path: `${path}/:cluster/retry`, scope: 'admin', handle: (c) => retry(c, deps) },
]

const show = async (c: Context<Env>, { outbox }: ReplicationRoutesDependencies): Promise<Response> =>
  answerJson(c, { clusters: (await outbox.states()).map(describe) })

const describe = ({ pausedSince, lastFailure, ...state }: OutboxState) => ({
  ...state,
  paused: pausedSince !== undefined,
  pausedSince: pausedSince ?? null,
  lastFailure: lastFailure ?? null,
})

async function deadLetters(c: Context<Env>, { outbox }: ReplicationRoutesDependencies): Promise<Response> {
  const page = pageOf(c, 1)
  const rows = await outbox.deadLetters(oneMore(page))
  const shown = rows.slice(0, page.limit)
  const last = rows.length > shown.length ? shown.at(-1) : undefined
  return answerJson(c, { deadLetters: shown, next: last ? cursorOf(last.cluster, last.study) : null })
}

async function refusedInstances(c: Context<Env>, { outbox }: ReplicationRoutesDependencies): Promise<Response> {
  const page = pageOf(c, 2)
  const rows = await outbox.refusals(oneMore(page))
  const shown = rows.slice(0, page.limit)
  const last = rows.length > shown.length ? shown.at(-1) : undefined
  return answerJson(c, {
    refusedInstances: shown,
    next: last ? cursorOf(last.cluster, last.study, last.instance) : null,
  })
}

async function study(c: Context<Env>, { outbox }: ReplicationRoutesDependencies): Promise<Response> {
  const { study: studyInstanceUID, ...updates } = await outbox.study(parseUid(c.req.param('study') ?? '', 'study'))
  return answerJson(c, { studyInstanceUID, ...updates })
}

async function change(
  c: Context<Env>,
  { outbox, log }: ReplicationRoutesDependencies,
  verb: 'pause' | 'resume',
): Promise<Response> {
  const { id: requestId, principal } = c.env.exchange
  const cluster = c.req.param('cluster') ?? ''
  const state = await outbox[verb](cluster)
  const fields = { requestId, principal: principal?.name, cluster }
  if (verb === 'pause') log.info(fields, 'replication paused')
  else log.info(fields, 'replication resumed')
  return backToPage(c) ?? answerJson(c, describe(state))
}

async function retry(c: Context<Env>, { outbox, log }: ReplicationRoutesDependencies): Promise<Response> {
  const { id: requestId, principal } = c.env.exchange
  const cluster = c.req.param('cluster') ?? ''
  const text = queryOf(c, ['study']).get('study')
  const study = text === undefined ? undefined : parseUid(text, 'study')
  const { studies } = await outbox.retry(cluster, study)
  log.info({ requestId, principal: principal?.name, cluster, study, studies }, 'replication retried')
  return backToPage(c) ?? answerJson(c, { cluster, studies })
}

/** A browser that sent a form wants to see the page again. */
const backToPage = (c: Context<Env>): Response | undefined =>
  /\btext\/html\b/.test(c.req.header('accept') ?? '') ? c.redirect(replicationPage, 303) : undefined

const pageSize = { default: 100, max: 1000 }

/** `uids`: how many a cursor has after the id of its cluster. */
function pageOf(c: Context<Env>, uids: number): PageOptions {
  const query = queryOf(c, ['cluster', 'limit', 'cursor'])
  const cursor = query.get('cursor')
  return {
    cluster: query.get('cluster'),
    limit: parseLimit(query.get('limit'), pageSize),
    after: cursor === undefined ? undefined : parseCursor(cursor, uids),
  }
}

/** One more than the page tells whether there is another page. */
const oneMore = (page: PageOptions): PageOptions => ({ ...page, limit: page.limit + 1 })

const cursorOf = (...key: readonly string[]): string => key.join('/')

/** Of a cluster, or of what is pulled from a peer. */
const queuePattern = /^[a-z0-9][a-z0-9-]{0,31}(:pull)?$/

function parseCursor(text: string, uids: number): string[] {
  const [cluster = '', ...rest] = text.split('/', uids + 2)
  if (queuePattern.test(cluster) && rest.length === uids && rest.every(isUid)) return [cluster, ...rest]
  throw badRequest('cursor: expected the "next" of the page before')
}

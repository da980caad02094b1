import type { Context } from 'hono'
import type { AttributesService } from '../attributes/service.ts'
import type { Config } from '../config/schema.ts'
import { badRequest } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { LinkRecord } from '../link/record.ts'
import { linkPath } from './addresses.ts'
import { callerOf } from './caller.ts'
import { isKnown, tagsToMatch } from './conditional.ts'
import type { Env, Route } from './context.ts'
import { readJson } from './json-body.ts'
import { queryOf, targetIn } from './parameters.ts'
import { requireScope } from './principal.ts'

export interface LinkRoutesDependencies {
  readonly config: Pick<Config, 'limits'>
  readonly attributes: AttributesService
  readonly log: Log
}

const path = `${linkPath}/studies/:study`

/** What this site is told about a study, beside what the archives say: read by everybody, written by who may store. */
export const linkRoutes = (deps: LinkRoutesDependencies): Route[] => [
  { method: 'GET', path, scope: 'query', handle: (c) => get(c, deps) },
  { method: 'PATCH', path, scope: 'store', handle: (c) => patch(c, deps) },
]

async function get(c: Context<Env>, { attributes }: LinkRoutesDependencies): Promise<Response> {
  const { study } = targetIn(c)
  const { signal, principal } = c.env.exchange
  const withHistory = asksForHistory(c)
  if (withHistory) requireScope(principal, 'admin')
  const record = await attributes.get(study, callerOf(c), signal)
  if (isKnown(c.req.header('if-none-match'), entityTagOf(record))) return c.body(null, 304, headersOf(record))
  const history = withHistory ? { history: await attributes.history(study, callerOf(c), signal) } : {}
  return answer(c, record, history)
}

async function patch(c: Context<Env>, { attributes, config, log }: LinkRoutesDependencies): Promise<Response> {
  const { study } = targetIn(c)
  const { id: requestId, signal } = c.env.exchange
  const caller = callerOf(c)
  const ifMatch = versionsIn(c.req.header('if-match'))
  const change = await readJson(c, { ...config.limits, maxBodyBytes, mediaTypes })
  const { record, changed: fields, forced } = await attributes.patch(study, change, { caller, ifMatch }, signal)
  if (fields.length > 0) {
    const { version } = record
    log.info({ requestId, study, principal: caller.name, version, fields, forced }, 'link-attributes-changed')
  }
  return answer(c, record)
}

const answer = (c: Context<Env>, record: LinkRecord, more: object = {}): Response =>
  c.body(JSON.stringify({ ...describe(record), ...more }), 200, headersOf(record))

const describe = ({ study, version, comments, corrections, ...record }: LinkRecord) => ({
  studyInstanceUID: study,
  version,
  reportStatus: record.reportStatus ?? null,
  studyStatus: record.studyStatus ?? null,
  verified: record.verified ?? null,
  verifiedAt: record.verifiedAt ?? null,
  comments: comments.map(({ text, author, at }) => ({ text, author, at })),
  corrections,
})

const headersOf = (record: LinkRecord) => ({
  'Content-Type': 'application/json',
  'Cache-Control': 'no-store',
  ETag: entityTagOf(record),
})

const entityTagOf = ({ version }: LinkRecord): string => `"${version}"`

function asksForHistory(c: Context<Env>): boolean {
  const text = queryOf(c, ['history']).get('history') ?? 'false'
  if (text === 'true' || text === 'false') return text === 'true'
  throw badRequest('history: expected true or false')
}

/** The versions that `If-Match` names: compared strongly, so a weak tag is none. */
function versionsIn(header: string | undefined): number[] | undefined {
  const tags = header === undefined ? '*' : tagsToMatch(header)
  if (tags === '*') return undefined
  return tags.flatMap((tag) => (/^"\d{1,9}"$/.test(tag) ? [Number(tag.slice(1, -1))] : []))
}

/** Of a change: several times the longest comment in any script. */
const maxBodyBytes = 64 * 1024

const mediaTypes = ['application/merge-patch+json', 'application/json']

import type { Context } from 'hono'
import { badRequest, LinkError } from '../core/errors.ts'
import type { Tombstone } from '../db/tombstones.ts'
import { isUid, parseUid, type Uid } from '../dicom/uid.ts'
import { linkPath } from './addresses.ts'
import { answerJson } from './answer.ts'
import type { Env, Route } from './context.ts'
import { readJson } from './json-body.ts'
import { parseLimit, queryOf, targetIn } from './parameters.ts'
import { linkingOf, type PeersRoutesDependencies } from './peers.ts'

const path = `${linkPath}/tombstones`

/** What was deleted here on purpose, and is not to come back from other sites. They are never told. */
export const tombstonesRoutes = (deps: PeersRoutesDependencies): Route[] => [
  { method: 'GET', path, scope: 'admin', handle: (c) => list(c, deps) },
  { method: 'POST', path, scope: 'admin', handle: (c) => bury(c, deps) },
  { method: 'DELETE', path: `${path}/:study`, scope: 'admin', handle: (c) => exhume(c, deps) },
]

const pageSize = { default: 100, max: 1000 }

async function list(c: Context<Env>, deps: PeersRoutesDependencies): Promise<Response> {
  const peers = linkingOf(deps)
  const query = queryOf(c, ['limit', 'cursor'])
  const limit = parseLimit(query.get('limit'), pageSize)
  const cursor = query.get('cursor')
  const after = cursor === undefined ? undefined : parseCursor(cursor)
  // One more than the page tells whether there is another page.
  const rows = await peers.tombstones({ after, limit: limit + 1 })
  const shown = rows.slice(0, limit)
  const last = rows.length > shown.length ? shown.at(-1) : undefined
  return answerJson(c, { tombstones: shown.map(describe), next: last ? `${last.study}/${last.instance ?? ''}` : null })
}

const describe = ({ study, instance, by, at }: Tombstone) => ({
  studyInstanceUID: study,
  sopInstanceUID: instance ?? null,
  by,
  at,
})

function parseCursor(text: string): [Uid, string] {
  const [study, instance, ...rest] = text.split('/', 3)
  if (isUid(study) && (instance === '' || isUid(instance)) && rest.length === 0) return [study, instance]
  throw badRequest('cursor: expected the "next" of the page before')
}

async function bury(c: Context<Env>, deps: PeersRoutesDependencies): Promise<Response> {
  const peers = linkingOf(deps)
  const body = await readJson(c, { ...deps.config.limits, maxBodyBytes, mediaTypes: ['application/json'] })
  const { study, instances } = parseGrave(body)
  const { id: requestId, principal } = c.env.exchange
  const by = principal?.name ?? ''
  await peers.bury(study, instances, by)
  deps.log.info({ requestId, principal: by, study, instances: instances?.length }, 'tombstone set')
  return c.body(null, 204)
}

async function exhume(c: Context<Env>, deps: PeersRoutesDependencies): Promise<Response> {
  const peers = linkingOf(deps)
  const { study } = targetIn(c)
  const text = queryOf(c, ['instance']).get('instance')
  const instance = text === undefined ? undefined : parseUid(text, 'instance')
  if (!(await peers.exhume(study, instance))) throw new LinkError('not-found', 'there is no such tombstone')
  const { id: requestId, principal } = c.env.exchange
  deps.log.info({ requestId, principal: principal?.name, study, instance }, 'tombstone removed')
  return c.body(null, 204)
}

/** Room for {@link maxInstances} of the longest UIDs. */
const maxBodyBytes = 1024 ** 2
const maxInstances = 10_000

interface Grave {
  readonly study: Uid
  readonly instances: readonly Uid[] | undefined
}

function parseGrave(body: unknown): Grave {
  if (typeof body !== 'object' || body === null) throw badRequest('body: expected an object with studyInstanceUID')
  const { studyInstanceUID: study, sopInstanceUIDs: instances, ...others } = body as Record<string, unknown>
  // A misspelt list of instances would bury all of the study.
  if (Object.keys(others).length > 0) throw badRequest('body: expected studyInstanceUID, sopInstanceUIDs and no more')
  if (!isUid(study)) throw badRequest('studyInstanceUID: expected a UID')
  return { study, instances: instances === undefined ? undefined : parseInstances(instances) }
}

function parseInstances(instances: unknown): readonly Uid[] {
  const isRight = Array.isArray(instances) && instances.length >= 1 && instances.length <= maxInstances
  if (!isRight) throw badRequest(`sopInstanceUIDs: expected a list of 1 to ${maxInstances} UIDs`)
  const wrong = instances.findIndex((it) => !isUid(it))
  if (wrong >= 0) throw badRequest(`sopInstanceUIDs[${wrong}]: expected a UID`)
  return instances as Uid[]
}

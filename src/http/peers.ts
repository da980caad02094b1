import type { Context } from 'hono'
import type { Config } from '../config/schema.ts'
import { badRequest, LinkError } from '../core/errors.ts'
import { LineFull, Slots } from '../core/slots.ts'
import type { Log } from '../core/telemetry.ts'
import { parseUid } from '../dicom/uid.ts'
import { noticeMediaType } from '../link/notice.ts'
import type { Receipt } from '../link/receipt.ts'
import type { DigestPage, DigestsRequest, PeersService, StudyDigest } from '../peers/service.ts'
import { linkPath, linkRoot } from './addresses.ts'
import { answerJson } from './answer.ts'
import { requireOpenHome } from './caller.ts'
import type { Env, Route } from './context.ts'
import { readBody } from './json-body.ts'
import { parseLimit, queryOf } from './parameters.ts'

export interface PeersRoutesDependencies {
  readonly config: Pick<Config, 'auth' | 'clusters' | 'limits' | 'publicUrl'>
  /** Absent when no cluster has a `link`. */
  readonly peers?: PeersService | undefined
  readonly log: Log
}

/** What other sites say to this one, and ask it: `docs/linking-specification.md`. */
export const peersRoutes = (deps: PeersRoutesDependencies): Route[] => {
  const places = new Slots(maxNotices, 0)
  return [
    { method: 'POST', path: `${linkPath}/study-updates`, scope: 'link', handle: (c) => receive(c, deps, places) },
    { method: 'GET', path: `${linkPath}/receipts/:notice`, scope: 'link', handle: (c) => receipt(c, deps) },
    { method: 'GET', path: `${linkPath}/digests`, scope: 'link', handle: (c) => digests(c, deps) },
  ]
}

/** Notices that are read at the same time: each may be in memory whole. */
const maxNotices = 8
const maxNoticeBytes = 16 * 1024 ** 2
const mediaTypes = [noticeMediaType, 'application/json']

/** Throws `not-found` where no other site is configured. */
export function linkingOf({ peers }: Pick<PeersRoutesDependencies, 'peers'>): PeersService {
  if (peers) return peers
  throw new LinkError('not-found', 'this site is linked with no other: no cluster has a "link"')
}

/** A name with a colon in it is that of no site: the service turns it away. */
function peerOf(c: Context<Env>, config: PeersRoutesDependencies['config']): string | undefined {
  if (config.auth === undefined) return undefined
  const { principal } = c.env.exchange
  if (principal) requireOpenHome(principal, config)
  return principal?.site ?? principal?.name ?? ''
}

async function receive(c: Context<Env>, deps: PeersRoutesDependencies, places: Slots): Promise<Response> {
  const peers = linkingOf(deps)
  const key = idempotencyKeyIn(c)
  const release = await places.take(c.env.exchange.signal).catch(refuseCrowd)
  try {
    const body = await readBody(c, { ...deps.config.limits, maxBodyBytes: maxNoticeBytes, mediaTypes })
    const { receipt, isNew } = await peers.receive(body, key, peerOf(c, deps.config))
    if (!isNew) return answerJson(c, describe(receipt))
    c.header('Location', `${linkRoot(c, deps.config)}/receipts/${receipt.noticeId}`)
    return answerJson(c, describe(receipt), 202)
  } finally {
    release()
  }
}

/** A key is a string in quotes, as the draft of the header has it, or the same without them. */
function idempotencyKeyIn(c: Context<Env>): string {
  const key = c.req.header('idempotency-key')?.replace(/^"(.*)"$/, '$1')
  if (key !== undefined && uuid.test(key)) return key
  throw badRequest('Idempotency-Key: expected the noticeId of the notice, a UUID in lower case')
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function refuseCrowd(thrown: unknown): never {
  if (!(thrown instanceof LineFull)) throw thrown
  throw new LinkError('too-many-requests', `${maxNotices} notices are being taken at the moment; send it again later`)
}

const describe = ({ noticeId, study, ...counts }: Receipt) => ({ noticeId, studyInstanceUID: study, ...counts })

async function receipt(c: Context<Env>, deps: PeersRoutesDependencies): Promise<Response> {
  const peers = linkingOf(deps)
  const notice = c.req.param('notice') ?? ''
  if (!uuid.test(notice)) throw badRequest('notice: expected the noticeId of a notice, a UUID in lower case')
  return answerJson(c, describe(await peers.receipt(notice, peerOf(c, deps.config))))
}

async function digests(c: Context<Env>, deps: PeersRoutesDependencies): Promise<Response> {
  const peers = linkingOf(deps)
  const { signal } = c.env.exchange
  const peer = peerOf(c, deps.config)
  const query = queryOf(c, ['since', 'cursor', 'limit', 'study'])
  const studies = query.get('study')
  const page: DigestPage =
    studies === undefined
      ? await peers.digests(requestIn(query), peer, signal)
      : { studies: await peers.digestsOf(studiesIn(studies, query), peer, signal) }
  return answerJson(c, { studies: page.studies.map(describeDigest), next: page.next ?? null })
}

const describeDigest = ({ study, ...digest }: StudyDigest) => ({ studyInstanceUID: study, ...digest })

const pageSize = { default: 100, max: 200 }
const maxCursorLength = 256

function requestIn(query: ReadonlyMap<string, string>): DigestsRequest {
  const [since, cursor] = [query.get('since'), query.get('cursor')]
  if (cursor !== undefined && (cursor === '' || cursor.length > maxCursorLength)) {
    throw badRequest('cursor: expected the "next" of the page before')
  }
  const limit = parseLimit(query.get('limit'), pageSize)
  return { since: since === undefined ? undefined : timeIn(since), cursor, limit }
}

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/

/** RFC 3339. */
function timeIn(text: string): Date {
  const at = new Date(time.test(text) ? text : Number.NaN)
  if (Number.isNaN(at.getTime())) throw badRequest('since: expected a time such as 2026-01-31T10:15:00Z')
  return at
}

const maxStudies = 50

function studiesIn(text: string, query: ReadonlyMap<string, string>) {
  const other = ['since', 'cursor', 'limit'].find((name) => query.has(name))
  if (other !== undefined) throw badRequest(`${other}: not together with study`)
  const studies = text.split(',', maxStudies + 1)
  if (studies.length > maxStudies) throw badRequest(`study: more than ${maxStudies} in one request`)
  return studies.map((study) => parseUid(study, 'study'))
}

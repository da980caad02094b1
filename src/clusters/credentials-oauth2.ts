import { readFileSync } from 'node:fs'
import { getCACertificates } from 'node:tls'
import { Agent, request } from 'undici'
import type { ClusterAuth, ClusterConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { deadline, ranOutOfTime } from '../core/deadline.ts'
import { ClusterError } from '../core/outcome.ts'
import { basicAuthorization, type Credentials } from './credentials-header.ts'

type OAuth2 = NonNullable<ClusterAuth['oauth2']>

interface Token {
  readonly value: string
  /** Milliseconds since the epoch from which a new one is asked for. */
  readonly renewAt: number
}

const maxAnswerBytes = 64 * 1024
/** Assumed when the token endpoint does not say how long its token lives (RFC 6749 5.1 only recommends to). */
const defaultLifetimeSeconds = 300
/** A token is renewed this long before its end, or a tenth of its life when that is shorter. */
const renewAheadMs = 60_000

/**
 * Client credentials grant, RFC 6749 4.4: one token for everybody, kept until shortly before it expires; however many
 * requests need one, the token endpoint is asked once.
 */
export function createTokenSource(config: ClusterConfig, oauth2: OAuth2, clock: Clock): Credentials {
  const agent = new Agent({
    connections: 1,
    connect: { timeout: config.timeoutMs, ...(config.ca !== undefined && { ca: authorities(config.ca) }) },
    headersTimeout: config.timeoutMs,
    bodyTimeout: config.timeoutMs,
  })
  let token: Token | undefined
  let asking: Promise<Token> | undefined

  const ask = (): Promise<Token> => {
    // Not under any caller's signal: others wait for the same answer.
    asking ??= requestToken(config, oauth2, agent, clock).finally(() => {
      asking = undefined
    })
    return asking
  }

  return {
    authorization: async (signal) => {
      if (!token || clock.now() >= token.renewAt) token = await abortable(ask(), signal)
      return `Bearer ${token.value}`
    },
    refused: (authorization) => {
      // A slower request may be refused with a token that another has replaced already.
      if (token && authorization === `Bearer ${token.value}`) token = undefined
      return true
    },
    close: () => agent.destroy(),
  }
}

/** The token endpoint is often somebody else's service: the cluster's own authority must not hide the known ones. */
const authorities = (file: string): string[] => [...getCACertificates('default'), readFileSync(file, 'utf8')]

async function requestToken(
  { id: cluster, timeoutMs }: ClusterConfig,
  oauth2: OAuth2,
  agent: Agent,
  clock: Clock,
): Promise<Token> {
  const begun = clock.now()
  // For the whole answer: one that drips would keep everybody waiting.
  using limit = deadline(clock, timeoutMs)
  try {
    const answer = await ways(oauth2, { agent, signal: limit.signal })
    return tokenOf(cluster, answer, begun)
  } catch (error) {
    if (error instanceof ClusterError) throw error
    if (ranOutOfTime(limit.signal)) {
      throw new ClusterError(cluster, 'timed-out', `no token within ${timeoutMs} ms`, { cause: error })
    }
    throw denied(cluster, 'the token endpoint cannot be reached', error)
  }
}

interface Answer {
  readonly status: number
  readonly text: string
}

interface Way {
  readonly agent: Agent
  readonly signal: AbortSignal
}

/** RFC 6749 2.3.1: every server takes the header; some that do not are content with the form. */
async function ways(oauth2: OAuth2, by: Way): Promise<Answer> {
  const { clientId, clientSecret } = oauth2
  const authorization = basicAuthorization(encodeURIComponent(clientId), encodeURIComponent(clientSecret))
  const answer = await post(oauth2, by, { authorization }, {})
  if (answer.status !== 401) return answer
  return post(oauth2, by, {}, { client_id: clientId, client_secret: clientSecret })
}

async function post(
  { tokenUrl, scope, audience }: OAuth2,
  { agent, signal }: Way,
  headers: Record<string, string>,
  identity: Record<string, string>,
): Promise<Answer> {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    ...(scope !== undefined && { scope }),
    ...(audience !== undefined && { audience }),
    ...identity,
  })
  const { statusCode, body } = await request(tokenUrl, {
    dispatcher: agent,
    signal,
    method: 'POST',
    headers: { ...headers, accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  })
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxAnswerBytes) break
    chunks.push(chunk)
  }
  return { status: statusCode, text: Buffer.concat(chunks).toString('utf8') }
}

function tokenOf(cluster: string, { status, text }: Answer, begun: number): Token {
  const answer = parseObject(text)
  if (status < 200 || status >= 300) {
    // RFC 6749 5.2 has a closed list of codes; anything else could be anything and is not repeated.
    const code = String(answer?.error)
    throw denied(cluster, `the token endpoint answers ${status}${knownErrors.has(code) ? ` (${code})` : ''}`)
  }
  const value = answer?.access_token
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw denied(cluster, 'the token endpoint answers without an access_token')
  }
  const seconds = Number(answer?.expires_in ?? defaultLifetimeSeconds)
  const lifeMs = 1000 * (Number.isFinite(seconds) && seconds > 0 ? seconds : defaultLifetimeSeconds)
  return { value, renewAt: begun + lifeMs - Math.min(renewAheadMs, lifeMs / 10) }
}

const knownErrors: ReadonlySet<string> = new Set([
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
])

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

const denied = (cluster: string, what: string, cause?: unknown): ClusterError =>
  new ClusterError(cluster, 'access-denied', `no OAuth2 token: ${what}; check auth.oauth2 of this cluster`, { cause })

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    if (signal.aborted) leave()
    signal.addEventListener('abort', leave, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
}

import { errors } from 'undici'
import { DeadlineExceeded } from '../core/deadline.ts'
import { ClusterError, type FailureReason } from '../core/outcome.ts'
import { LineFull } from '../core/slots.ts'

/** What an HTTP status says of the cluster, or of the object asked for; `undefined` for success. */
export function reasonOfStatus(status: number): FailureReason | undefined {
  if (status >= 200 && status < 300) return undefined
  const exact = exactReasons.get(status)
  if (exact) return exact
  if (status >= 500) return 'failed'
  if (status >= 400) return 'rejected'
  // 1xx never gets here, and a redirection could lead to an address nobody configured.
  return 'malformed'
}

const exactReasons: ReadonlyMap<number, FailureReason> = new Map([
  [401, 'access-denied'],
  [403, 'access-denied'],
  [404, 'not-found'],
  [406, 'unsupported'],
  [410, 'gone'],
  [415, 'unsupported'],
  [429, 'failed'],
  [501, 'unsupported'],
  // Made by whoever sent the hops; it says nothing of the peer.
  [508, 'rejected'],
])

/** A sentence for a status that was no success; for clients and administrators alike. */
export function statusText(status: number): string {
  if (status >= 300 && status < 400) {
    return `answers with a redirection (${status}), which is not followed; configure the address it points to`
  }
  const text = statusTexts.get(status)
  return text ? `answers ${status}: ${text}` : `answers ${status}`
}

const statusTexts: ReadonlyMap<number, string> = new Map([
  [401, 'it does not accept the configured credentials'],
  [403, 'the configured credentials do not allow this'],
  [404, 'it does not have this'],
  [406, 'it cannot give this representation'],
  [410, 'this is gone for good'],
  [413, 'what was sent is too large for it'],
  [415, 'it does not take this media type'],
  [429, 'it is asked too often'],
  [501, 'it does not offer this'],
  [503, 'it is not available at the moment'],
  [508, 'the request has come through it before'],
])

/**
 * What a call throws for anything thrown on the way: a `ClusterError` when the cluster or the way to it is to
 * blame, and the thing itself when it is not (a defect of our own, or something a caller's own stream threw).
 * `status` is that of the answer, when its status line had arrived.
 */
export function explain(cluster: string, thrown: unknown, status?: number): unknown {
  if (thrown instanceof ClusterError) return thrown
  const found = reasonOfError(thrown, status === undefined ? 'request' : 'body')
  if (!found) return thrown
  return new ClusterError(cluster, found[0], found[1], { cause: thrown, ...(status !== undefined && { status }) })
}

/** Where in a call something went wrong: before the status line of the answer had arrived, or in its body. */
type Phase = 'request' | 'body'

type Finding = readonly [FailureReason, string]

function reasonOfError(thrown: unknown, phase: Phase): Finding | undefined {
  if (thrown instanceof LineFull) return ['overloaded', 'all connections are busy and too many requests wait for one']
  if (thrown instanceof DeadlineExceeded) return ['timed-out', thrown.message]
  if (!(thrown instanceof Error)) return undefined
  if (thrown instanceof errors.HTTPParserError) return notHttp(thrown, phase)
  const kind = (thrown as { kind?: unknown }).kind
  if (kind === 'truncated') return ['truncated', 'its answer ended before it was complete']
  if (kind === 'malformed') return ['malformed', `its answer is not what the standard says: ${thrown.message}`]
  if (kind === 'too-large') return ['too-large', `its answer exceeds a limit: ${thrown.message}`]
  const code = (thrown as { code?: unknown }).code
  return typeof code === 'string' ? reasonOfCode(code, phase) : undefined
}

/** The parser of HTTP stopped, most often in the body at a connection closed inside a chunk. It has codes for neither. */
function notHttp({ message }: Error, phase: Phase): Finding {
  if (/EOF/.test(message)) return phase === 'body' ? truncated : closed
  return ['malformed', 'its answer is not HTTP']
}

function reasonOfCode(code: string, phase: Phase): Finding | undefined {
  const exact = codes.get(code)
  if (exact) return exact
  if (code.startsWith('ERR_INVALID_') || code.startsWith('UND_ERR_INVALID')) return undefined
  if (code === 'Z_BUF_ERROR') return truncated
  if (code.startsWith('Z_')) return ['malformed', 'its answer is not compressed the way it says']
  if (phase === 'body' && broken.has(code)) return truncated
  if (broken.has(code)) return closed
  return ['unreachable', `no connection (${code})`]
}

const truncated = ['truncated', 'the connection was lost in the middle of its answer'] as const
const closed = ['unreachable', 'it closed the connection without an answer'] as const

const broken: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNABORTED'])

const codes: ReadonlyMap<string, Finding> = new Map<string, Finding>([
  ['UND_ERR_CONNECT_TIMEOUT', ['timed-out', 'no connection within the time it has']],
  ['UND_ERR_HEADERS_TIMEOUT', ['timed-out', 'no answer within the time it has']],
  ['UND_ERR_BODY_TIMEOUT', ['timed-out', 'it fell silent in the middle of its answer']],
  ['UND_ERR_HEADERS_OVERFLOW', ['too-large', 'the header of its answer exceeds the limit']],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', truncated],
  ['UND_ERR_CLOSED', ['unreachable', 'its connections are being closed']],
  ['UND_ERR_DESTROYED', ['unreachable', 'its connections are being closed']],
  ['ECONNREFUSED', ['unreachable', 'the connection is refused']],
  ['ENOTFOUND', ['unreachable', 'its host name is unknown']],
  ['EAI_AGAIN', ['unreachable', 'its host name cannot be looked up at the moment']],
])

/** Whether a call failed because a kept-alive connection was closed under it: asking again is safe for reads. */
export const lostConnection = (thrown: unknown): boolean =>
  thrown instanceof Error && broken.has(String((thrown as { code?: unknown }).code))

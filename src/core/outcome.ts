import { LinkError } from './errors.ts'

/** Why a cluster gave no answer. Stable: it reaches clients in `Warning`, metrics and the explain endpoint. */
export type FailureReason =
  /** No answer within the cluster's deadline, or silence longer than the idle timeout. */
  | 'timed-out'
  /** Connection refused, reset, unknown host, TLS failure. */
  | 'unreachable'
  /** The breaker is open: recent failures, asked again in the background. */
  | 'circuit-open'
  /** All connections of the pool are busy, and its waiting line is full or none became free in time. */
  | 'overloaded'
  /** 401 or 403: the credentials configured for this cluster are not accepted. */
  | 'access-denied'
  /** The cluster does not have what was asked for (404). Not a fault of the cluster. */
  | 'not-found'
  /** Its holder says it is gone for good (410). Not a fault of the cluster. */
  | 'gone'
  /** It cannot give the representation or does not offer the service (406 and its disguises, 501). */
  | 'unsupported'
  /** Any other 4xx. */
  | 'rejected'
  /** 5xx. */
  | 'failed'
  /** The answer was not what the standard says: not JSON, not multipart, an HTML error page. */
  | 'malformed'
  /** The answer ended before its closing boundary or its announced length. */
  | 'truncated'
  /** The answer exceeded a configured limit. */
  | 'too-large'

/** Reasons that are facts about the object asked for, not symptoms of an ill cluster. */
const innocent: ReadonlySet<FailureReason> = new Set(['not-found', 'gone', 'unsupported', 'rejected', 'too-large'])

/** Whether a failure for this reason counts against the cluster's health. */
export const countsAgainstHealth = (reason: FailureReason): boolean => !innocent.has(reason)

/** A cluster did not do what it was asked. `message` names the cluster's id and the reason, never its host. */
export class ClusterError extends LinkError {
  override readonly name = 'ClusterError'
  readonly cluster: string
  readonly reason: FailureReason
  /** The HTTP status the cluster answered with, when it answered. */
  readonly status: number | undefined

  constructor(
    cluster: string,
    reason: FailureReason,
    message: string,
    options: { cause?: unknown; status?: number } = {},
  ) {
    super(codeOf(reason), `cluster ${cluster}: ${message}`, options)
    this.cluster = cluster
    this.reason = reason
    this.status = options.status
  }
}

const codeOf = (reason: FailureReason) => {
  switch (reason) {
    case 'timed-out':
      return 'timed-out'
    case 'not-found':
      return 'not-found'
    case 'gone':
      return 'gone'
    case 'unsupported':
      return 'not-acceptable'
    case 'malformed':
    case 'truncated':
    case 'too-large':
    case 'rejected':
    case 'failed':
    case 'access-denied':
      return 'bad-gateway'
    case 'unreachable':
    case 'circuit-open':
    case 'overloaded':
      return 'unavailable'
  }
}

/** What came of asking one cluster. A failure is never an empty answer. */
export type Outcome<T> =
  | { readonly status: 'ok'; readonly cluster: string; readonly value: T; readonly durationMs: number }
  | {
      readonly status: 'failed'
      readonly cluster: string
      readonly reason: FailureReason
      readonly error: ClusterError
      readonly durationMs: number
    }
  | { readonly status: 'skipped'; readonly cluster: string; readonly why: string }

/** What may go better with less of it: a question that is too large, or takes too long, is cut into several. */
export const mayDoWithLess = (reason: FailureReason): boolean => reason === 'too-large' || reason === 'timed-out'

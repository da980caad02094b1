import { STATUS_CODES } from 'node:http'
import { type ErrorCode, LinkError } from '../core/errors.ts'

/** The one mapping of stable codes to statuses. 499 is never seen: its client has left. */
const statusOf: Readonly<Record<ErrorCode, number>> = {
  'bad-request': 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  'not-acceptable': 406,
  conflict: 409,
  'precondition-failed': 412,
  gone: 410,
  'too-large': 413,
  'unsupported-media-type': 415,
  unprocessable: 422,
  'too-many-requests': 429,
  cancelled: 499,
  internal: 500,
  config: 500,
  'bad-gateway': 502,
  unavailable: 503,
  'timed-out': 504,
  loop: 508,
}

/** Seconds after which asking again makes sense: about what a breaker needs to try a cluster again. */
const retryAfterSeconds = 10

/** An error that needs more of HTTP than its code: another status, headers such as `Allow`. */
export class ProblemError extends LinkError {
  override readonly name = 'ProblemError'
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; status?: number; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(code, message, options)
    this.status = options.status
    this.headers = options.headers ?? {}
  }
}

/** RFC 9457, `application/problem+json`. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  readonly requestId: string
}

export interface ProblemAnswer {
  readonly problem: Problem
  readonly headers: Readonly<Record<string, string>>
}

/** Errors of this product speak for themselves; anything else is a defect and tells the client nothing. */
export function describeProblem(error: unknown, requestId: string): ProblemAnswer {
  const known = error instanceof LinkError && error.code !== 'internal' && error.code !== 'config'
  const code = known ? error.code : 'internal'
  const detail = known
    ? error.message
    : `an unexpected error; the log of the service says more under request ${requestId}`
  const status = (error instanceof ProblemError ? error.status : undefined) ?? statusOf[code]
  const title = STATUS_CODES[status] ?? 'Client Closed Request'
  return {
    problem: { type: 'about:blank', title, status, detail, code, requestId },
    headers: {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      ...(code === 'unavailable' || code === 'too-many-requests' ? { 'Retry-After': String(retryAfterSeconds) } : {}),
      ...(error instanceof ProblemError ? error.headers : {}),
    },
  }
}

export function problemResponse(error: unknown, requestId: string): Response {
  const { problem, headers } = describeProblem(error, requestId)
  return new Response(JSON.stringify(problem), { status: problem.status, headers })
}

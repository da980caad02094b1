/**
 * The one base of every error this product raises on purpose.
 *
 * `code` is stable and machine-readable; `message` says what was attempted and what to do about it and is
 * safe to show to a client: it names clusters by their configured id and objects by their UIDs, never hosts,
 * credentials, patient names or patient ids. Details for the log travel in `cause`.
 */
export class LinkError extends Error {
  override readonly name: string = 'LinkError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.code = code
  }
}

/** Stable codes; `http/problem.ts` is the one place that maps them to a status. */
export type ErrorCode =
  | 'bad-request'
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'not-acceptable'
  | 'conflict'
  | 'precondition-failed'
  | 'gone'
  | 'too-large'
  | 'loop'
  | 'unsupported-media-type'
  | 'unprocessable'
  | 'too-many-requests'
  | 'bad-gateway'
  | 'unavailable'
  | 'timed-out'
  | 'cancelled'
  | 'config'
  | 'internal'

/** Bad input: the text names the part, the value and what is allowed. */
export const badRequest = (message: string, cause?: unknown): LinkError =>
  new LinkError('bad-request', message, { cause })

/** Turns anything thrown into an `Error`, so that a `cause` is never a bare string. */
export const toError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))

import type { Clock } from '../../core/clock.ts'
import { DeadlineExceeded, deadline } from '../../core/deadline.ts'
import { type ErrorCode, LinkError } from '../../core/errors.ts'
import { ClusterError, type FailureReason } from '../../core/outcome.ts'
import { DatabaseError } from '../../db/errors.ts'

/** What a call throws for anything thrown on the way; the signal's own reason when the caller left. */
export function explain(cluster: string, thrown: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (thrown instanceof ClusterError) return thrown
  const failed = (reason: FailureReason, text: string) => new ClusterError(cluster, reason, text, { cause: thrown })
  if (thrown instanceof DeadlineExceeded) return failed('timed-out', thrown.message)
  if (thrown instanceof DatabaseError) return failed('failed', `its index failed: ${thrown.message}`)
  if (thrown instanceof LinkError) return failed(reasons[thrown.code] ?? 'failed', thrown.message)
  return failed('failed', `its files cannot be read or written (${codeOf(thrown)}); check the data directory`)
}

const reasons: Partial<Record<ErrorCode, FailureReason>> = {
  'not-found': 'not-found',
  'not-acceptable': 'unsupported',
  'too-large': 'too-large',
  'timed-out': 'timed-out',
}

const codeOf = (thrown: unknown): string =>
  thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'unexpected error'

export interface Call {
  readonly cluster: string
  readonly clock: Clock
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Work that ends, one way or the other, when the deadline does or the caller leaves, even if the database or the
 * disk hangs; `work` gets the signal that says so.
 */
export async function inTime<T>(call: Call, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  using limit = deadline(call.clock, call.timeoutMs, call.signal)
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const end = () => reject(limit.signal.reason)
  limit.signal.addEventListener('abort', end)
  try {
    limit.signal.throwIfAborted()
    return await Promise.race([work(limit.signal), ended])
  } catch (error) {
    throw explain(call.cluster, error, call.signal)
  } finally {
    limit.signal.removeEventListener('abort', end)
  }
}

/** A stream whose errors are explained. */
export async function* explained<T>(
  cluster: string,
  items: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  try {
    for await (const item of items) {
      signal.throwIfAborted()
      yield item
    }
  } catch (error) {
    throw explain(cluster, error, signal)
  }
}

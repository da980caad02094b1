import { DeadlineExceeded } from '../../core/deadline.ts'
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

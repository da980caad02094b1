import type { Clock } from './clock.ts'

/** Reason of a signal that fired because time ran out, as opposed to a caller that went away. */
export class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded'
}

/** A signal that fires when `parent` does or after `ms`. Dispose of it when the work is done. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal
}

/** Nobody sees it; without one, every abort would make an error with its stack. */
const inTime = 'in time'

/**
 * Bounds a piece of work in time: the returned signal aborts with `DeadlineExceeded` after `ms`, or with the
 * parent's own reason when that aborts first.
 */
export function deadline(clock: Clock, ms: number, parent?: AbortSignal): Deadline {
  const timer = new AbortController()
  const idle = new AbortController()
  clock.sleep(ms, idle.signal).then(
    () => timer.abort(new DeadlineExceeded(`no answer within ${ms} ms`)),
    () => undefined,
  )
  return {
    signal: parent ? AbortSignal.any([parent, timer.signal]) : timer.signal,
    [Symbol.dispose]: () => idle.abort(inTime),
  }
}

/** True when `signal` fired because its deadline passed rather than because its caller left. */
export const ranOutOfTime = (signal: AbortSignal): boolean =>
  signal.aborted && signal.reason instanceof DeadlineExceeded

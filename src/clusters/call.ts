import type { FailureReason } from '../core/outcome.ts'
import type { Permit } from './breaker.ts'

export type CallResult = 'ok' | 'cancelled' | FailureReason

/** How a call ended, and what that says of the cluster. */
export interface Verdict {
  readonly result: CallResult
  readonly health: 'good' | 'bad' | 'unknown'
}

export interface CallHooks {
  answered(): void
  verdictOf(thrown: unknown, answered: boolean): Verdict
  heard(reason: FailureReason | undefined): void
  finish(result: CallResult): void
}

/** One call on its way; the first of `ended`, `failed` and `left` settles it. */
export class Call {
  /** Of this call alone; it fires with that of the caller. */
  readonly signal: AbortSignal
  readonly #permit: Permit
  readonly #hooks: CallHooks
  #answered = false
  #settled = false

  constructor(permit: Permit, signal: AbortSignal, hooks: CallHooks) {
    this.#permit = permit
    this.signal = signal
    this.#hooks = hooks
  }

  /** The first byte has arrived. */
  answered(): void {
    if (this.#answered) return
    this.#answered = true
    this.#hooks.answered()
    // All others wait for a trial; they shall not wait until somebody has read all of a study.
    if (!this.#permit.trial) return
    this.#permit.succeeded()
    this.#hooks.heard(undefined)
  }

  ended(): void {
    this.#settle({ result: 'ok', health: 'good' })
  }

  failed(thrown: unknown): void {
    this.#settle(this.#hooks.verdictOf(thrown, this.#answered))
  }

  /** The reader has had enough. */
  left(): void {
    this.#settle({ result: 'cancelled', health: this.signal.aborted || !this.#answered ? 'unknown' : 'good' })
  }

  #settle({ result, health }: Verdict): void {
    if (this.#settled) return
    this.#settled = true
    this.#hooks.finish(result)
    if (health === 'good') this.#permit.succeeded()
    else if (health === 'bad') this.#permit.failed()
    else this.#permit.abandoned()
    if (health === 'good') this.#hooks.heard(undefined)
    if (health === 'bad' && result !== 'ok' && result !== 'cancelled') this.#hooks.heard(result)
  }
}

import type { Clock } from '../core/clock.ts'

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failuresInRow: number
  /** Of the last so many calls … */
  readonly window: number
  /** … this share failed: that opens it too. */
  readonly failureRate: number
  /** Wait before the first trial; doubled after each that fails. */
  readonly backoffMs: number
  readonly maxBackoffMs: number
}

export const defaultBreakerOptions: BreakerOptions = {
  failuresInRow: 5,
  window: 20,
  failureRate: 0.5,
  backoffMs: 1000,
  maxBackoffMs: 60_000,
}

/** Leave to make one call; say how it ended, once. */
export interface Permit {
  /** It is the one call that decides whether the breaker closes. */
  readonly trial: boolean
  succeeded(): void
  failed(): void
  /** It says nothing of the cluster: the caller left. */
  abandoned(): void
}

/**
 * Keeps calls from a cluster that fails them. No timers and no I/O of its own:
 *
 *     closed ──failures──► open ──backoff passed──► half-open ──one success──► closed
 *                           ▲                           │
 *                           └──────one failure──────────┘ (backoff doubled)
 */
export class Breaker {
  readonly #clock: Clock
  readonly #options: BreakerOptions
  #state: 'closed' | 'open' = 'closed'
  #row = 0
  /** Of the last calls, true for a failure. */
  #recent: boolean[] = []
  #backoffMs: number
  #retryAt = 0
  #trialRunning = false

  constructor(clock: Clock, options: BreakerOptions = defaultBreakerOptions) {
    this.#clock = clock
    this.#options = options
    this.#backoffMs = options.backoffMs
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.#state === 'closed') return 'closed'
    return this.#trialRunning || this.retryInMs === 0 ? 'half-open' : 'open'
  }

  /** Milliseconds until a trial is let through. */
  get retryInMs(): number {
    return this.#state === 'closed' ? 0 : Math.max(0, this.#retryAt - this.#clock.now())
  }

  /** `undefined` when the call must not be made. `mayTry` is false of one that must not be the trial. */
  enter(mayTry = true): Permit | undefined {
    if (this.#state === 'closed') return this.#permit(false)
    if (!mayTry || this.#trialRunning || this.retryInMs > 0) return undefined
    this.#trialRunning = true
    return this.#permit(true)
  }

  #permit(trial: boolean): Permit {
    let open = true
    const ending = (record: () => void) => () => {
      if (!open) return
      open = false
      if (trial) this.#trialRunning = false
      record()
    }
    return {
      trial,
      succeeded: ending(() => this.#succeeded()),
      failed: ending(() => this.#failed(trial)),
      abandoned: ending(() => undefined),
    }
  }

  /** Also of a call that began before it opened: the cluster answers. */
  #succeeded(): void {
    this.#row = 0
    if (this.#state === 'closed') this.#remember(false)
    else this.#close()
  }

  #failed(trial: boolean): void {
    const { backoffMs, maxBackoffMs } = this.#options
    if (trial) this.#open(Math.min(this.#backoffMs * 2, maxBackoffMs))
    // Stragglers from before it opened do not make it wait longer.
    if (this.#state === 'open') return
    this.#row++
    this.#remember(true)
    if (this.#row >= this.#options.failuresInRow || this.#failsTooOften()) this.#open(backoffMs)
  }

  #failsTooOften(): boolean {
    const { window, failureRate } = this.#options
    return this.#recent.length >= window && this.#recent.filter(Boolean).length >= window * failureRate
  }

  #remember(failure: boolean): void {
    this.#recent.push(failure)
    if (this.#recent.length > this.#options.window) this.#recent.shift()
  }

  #open(backoffMs: number): void {
    this.#state = 'open'
    this.#backoffMs = backoffMs
    this.#retryAt = this.#clock.now() + backoffMs
  }

  #close(): void {
    this.#state = 'closed'
    this.#row = 0
    this.#recent = []
    this.#backoffMs = this.#options.backoffMs
  }
}

import type { Clock } from '../../core/clock.ts'
import { DeadlineExceeded, deadline } from '../../core/deadline.ts'
import { untilAborted } from '../fan-out.ts'
import { explain } from './explain.ts'

/*
 * A disk or a database that hangs cannot be told to stop. Whoever waits for it here is let go in time; what hangs is
 * left behind and ends, if ever, with nobody listening.
 */

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
  try {
    limit.signal.throwIfAborted()
    return await untilAborted(work(limit.signal), limit.signal)
  } catch (error) {
    throw explain(call.cluster, error, call.signal)
  }
}

/** Work that ends by itself when the caller leaves, or is left behind when that takes longer than the timeout. */
export async function withGrace<T>({ clock, timeoutMs, signal }: Call, work: Promise<T>): Promise<T> {
  const late = new AbortController()
  const settled = new AbortController()
  const leave = () => {
    const letGo = () => late.abort(signal.reason)
    clock.sleep(timeoutMs, settled.signal).then(letGo, () => undefined)
  }
  signal.addEventListener('abort', leave)
  if (signal.aborted) leave()
  try {
    return await untilAborted(work, late.signal)
  } finally {
    settled.abort()
    signal.removeEventListener('abort', leave)
  }
}

/**
 * A stream whose errors are explained, and of which no item is waited for longer than the timeout or after the caller
 * left. The time its reader takes does not count.
 */
export async function* inTimeEach<T>(call: Call, items: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  const iterator = items[Symbol.asyncIterator]()
  using watch = new Watch(call)
  let waiting = false
  try {
    for (;;) {
      call.signal.throwIfAborted()
      waiting = true
      const next = await watch.over(iterator.next())
      waiting = false
      if (next.done === true) return
      yield next.value
    }
  } catch (error) {
    throw explain(call.cluster, error, call.signal)
  } finally {
    const returned = Promise.resolve(iterator.return?.())
    // What hangs does not answer this either.
    if (waiting) returned.catch(() => undefined)
    else await returned
  }
}

/** Watches one wait after the other with one timer for all of them. */
class Watch implements Disposable {
  readonly #call: Call
  readonly #over = new AbortController()
  #since: number | undefined
  #giveUp: ((reason: unknown) => void) | undefined

  constructor(call: Call) {
    this.#call = call
    call.signal.addEventListener('abort', this.#abort)
    this.#run().catch(() => undefined)
  }

  /** Not by `Promise.race`: a promise that lives as long as the stream would keep something of every wait. */
  over<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#giveUp = reject
      this.#since = this.#call.clock.now()
      work.then(resolve, reject).finally(() => {
        this.#since = undefined
      })
    })
  }

  [Symbol.dispose](): void {
    this.#over.abort()
    this.#call.signal.removeEventListener('abort', this.#abort)
  }

  readonly #abort = () => this.#giveUp?.(this.#call.signal.reason)

  async #run(): Promise<void> {
    const { clock, timeoutMs } = this.#call
    for (let rest = timeoutMs; ; ) {
      await clock.sleep(rest, this.#over.signal)
      const waited = this.#since === undefined ? 0 : clock.now() - this.#since
      if (waited >= timeoutMs) this.#giveUp?.(new DeadlineExceeded(`no answer within ${timeoutMs} ms`))
      rest = waited >= timeoutMs ? timeoutMs : timeoutMs - waited
    }
  }
}

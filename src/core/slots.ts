/** Thrown when the waiting line is full. */
export class LineFull extends Error {
  override readonly name = 'LineFull'
}

/**
 * A counted number of places and a bounded line of those who wait for one, first come, first served.
 * It stands before what is scarce, the connections of a cluster or the threads that render, so that what waits can be
 * counted, refused and cancelled.
 */
export class Slots {
  readonly #places: number
  readonly #maxWaiting: number
  readonly #line = new Set<() => void>()
  #running = 0

  constructor(places: number, maxWaiting: number) {
    this.#places = places
    this.#maxWaiting = maxWaiting
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#line.size
  }

  /**
   * Resolves with the function that gives the place back (calling it again does nothing). Throws `LineFull`, or the
   * signal's reason when it fires while waiting.
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#running < this.#places) this.#running++
    else await this.#wait(signal)
    let held = true
    return () => {
      if (held) this.#pass()
      held = false
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#line.size >= this.#maxWaiting) throw new LineFull('the waiting line is full')
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#line.delete(enter)
        reject(signal.reason)
      }
      const enter = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#line.add(enter)
    })
  }

  /** Hands the place to the next in line, or frees it. */
  #pass(): void {
    const [next] = this.#line
    if (!next) {
      this.#running--
      return
    }
    this.#line.delete(next)
    next()
  }
}

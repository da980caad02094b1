import type { Clock } from '../core/clock.ts'
import type { RetrieveRequest } from './cluster.ts'
import type { Meter } from './watched.ts'

/** Weight of the newest measurement in a decaying average. */
const newestWeight = 0.2

/** The average after another measurement. */
export const decayed = (before: number | undefined, measured: number): number =>
  before === undefined ? measured : before + newestWeight * (measured - before)

/** What was measured this long ago says nothing any more: who was slow then deserves to be tried. In milliseconds. */
const forgottenMs = 600_000

/**
 * A decaying average that is told anew only when it has moved by a factor of √2, so that what is decided by it does not
 * change with every measurement. Values below 1 are taken for 1.
 */
class SteadyAverage {
  readonly #clock: Clock
  #average: number | undefined
  #told: number | undefined
  #measuredAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `undefined` before the first measurement, and when the last one was long ago. */
  get value(): number | undefined {
    return this.#isForgotten() ? undefined : this.#told
  }

  add(measured: number): void {
    if (this.#isForgotten()) this.#average = this.#told = undefined
    const average = Math.max(1, decayed(this.#average, measured))
    this.#average = average
    this.#measuredAt = this.#clock.now()
    if (this.#told === undefined || Math.abs(Math.log2(average / this.#told)) >= 0.5) this.#told = average
  }

  #isForgotten(): boolean {
    return this.#clock.now() - this.#measuredAt > forgottenMs
  }
}

const tailWindow = 128
/** Of fewer there is no tail to speak of. */
const tailAtLeast = 20
/** The window is sorted anew after so many measurements. */
const tailEvery = 8

/** The 95th percentile of the last 128 measurements, as it was at most eight measurements ago. */
class Tail {
  readonly #window = new Float64Array(tailWindow)
  #count = 0
  #value: number | undefined

  get value(): number | undefined {
    return this.#value
  }

  add(measured: number): void {
    this.#window[this.#count++ % tailWindow] = measured
    const isDue = this.#count % tailEvery === 0 || this.#count === tailAtLeast
    if (isDue && this.#count >= tailAtLeast) this.#value = this.#percentile()
  }

  #percentile(): number | undefined {
    const sorted = this.#window.slice(0, Math.min(this.#count, tailWindow)).sort()
    return sorted[Math.ceil(sorted.length * 0.95) - 1]
  }
}

/** Bytes that make one measurement of throughput: fewer would measure how their chunks happened to come. */
const throughputSample = 4 * 1024 * 1024

/** What retrievals tell of the speed of one cluster. Cheap enough for every chunk of every answer. */
export class RetrievalSpeed implements Meter {
  readonly #clock: Clock
  readonly #firstByteMs: SteadyAverage
  readonly #bytesPerSecond: SteadyAverage
  readonly #tail = new Tail()
  #bytes = 0
  #waitedMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#firstByteMs = new SteadyAverage(clock)
    this.#bytesPerSecond = new SteadyAverage(clock)
  }

  /** As `ClusterStatus` has them; what was not measured is left out. */
  get figures(): { firstByteMs?: number; bytesPerSecond?: number; firstByteP95Ms?: number } {
    const [firstByteMs, bytesPerSecond, firstByteP95Ms] = [
      this.#firstByteMs.value,
      this.#bytesPerSecond.value,
      this.#tail.value,
    ]
    return {
      ...(firstByteMs !== undefined && { firstByteMs }),
      ...(bytesPerSecond !== undefined && { bytesPerSecond }),
      ...(firstByteP95Ms !== undefined && { firstByteP95Ms }),
    }
  }

  now(): number {
    return this.#clock.now()
  }

  /** The first byte came after `ms`, of which `inLineMs` went by before a connection was free. */
  answered(request: RetrieveRequest, ms: number, inLineMs: number): void {
    this.#firstByteMs.add(ms - inLineMs)
    if (isOneObject(request)) this.#tail.add(ms)
  }

  /**
   * There was none until the call ended after `ms`. One that lasted longer than most belongs to the tail: without those
   * that are given up for being slow, it would seem ever shorter.
   */
  unanswered(request: RetrieveRequest, ms: number): void {
    const tail = this.#tail.value
    if (tail !== undefined && ms > tail && isOneObject(request)) this.#tail.add(ms)
  }

  received(bytes: number, waitedMs: number): void {
    this.#bytes += bytes
    this.#waitedMs += waitedMs
    if (this.#bytes < throughputSample) return
    this.#bytesPerSecond.add((this.#bytes * 1000) / Math.max(1, this.#waitedMs))
    this.#bytes = this.#waitedMs = 0
  }
}

/** An instance or frames of one: what a whole study takes to begin is another matter. */
const isOneObject = (request: RetrieveRequest): boolean =>
  request.kind === 'frames' || (request.kind === 'instances' && request.target.instance !== undefined)

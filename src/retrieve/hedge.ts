import type { Cluster } from '../clusters/cluster.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'

/** Requests that may be asked of a second holder too, of all requests; and as many at once as were saved up. */
const share = 0.05
const mostSaved = 10

/** Sooner nothing is gained: a second request takes some time as well. */
const leastMs = 10

export interface HedgingDependencies {
  readonly clock: Clock
  /** The time to the first byte in which a cluster begins 95 of 100 answers, in milliseconds, when it is known. */
  readonly usualMs: (cluster: Cluster) => number | undefined
}

/**
 * When a holder takes longer than it does in 95 of 100 cases, the next one is asked as well and the first to deliver is
 * taken. Bounded, so that archives that are all slow do not get twice the load.
 */
export class Hedging {
  readonly #deps: HedgingDependencies
  #saved = 1

  constructor(deps: HedgingDependencies) {
    this.#deps = deps
  }

  /**
   * The first of the attempts to succeed; they begin one after the other, each when the one before has failed, or is
   * late.
   */
  async first<T>(
    clusters: readonly Cluster[],
    { attempt, leave }: Attempts<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    this.#saved = Math.min(mostSaved, this.#saved + share)
    const waiting = [...clusters]
    const running = new Map<Promise<Ended<T>>, AbortController>()
    const start = (cluster: Cluster) => {
      const own = new AbortController()
      const ended = attempt(cluster, AbortSignal.any([signal, own.signal])).then(
        (value): Ended<T> => ({ value, ended }),
      )
      running.set(ended, own)
    }
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      start(next)
      // Another one begins when none is left, or all that are left are late.
      for (;;) {
        const step = await this.#step(next, [...running.keys()], waiting.length > 0)
        if (step === 'late') break
        const own = running.get(step.ended)
        running.delete(step.ended)
        if (step.value !== undefined) {
          for (const [loser, controller] of running) {
            controller.abort(fasterElsewhere)
            loser.then(({ value }) => value && leave(value)).catch(() => undefined)
          }
          return step.value
        }
        own?.abort(fasterElsewhere)
        if (running.size === 0) break
      }
    }
    return undefined
  }

  /** What ends first: an attempt, or the time after which another cluster may be asked too. */
  async #step<T>(
    cluster: Cluster,
    running: readonly Promise<Ended<T>>[],
    hasOthers: boolean,
  ): Promise<Ended<T> | 'late'> {
    const usualMs = hasOthers && running.length === 1 ? this.#deps.usualMs(cluster) : undefined
    if (usualMs === undefined || this.#saved < 1) return Promise.race(running)
    using patience = deadline(this.#deps.clock, Math.max(leastMs, usualMs))
    const late = new Promise<'late'>((resolve) => {
      patience.signal.addEventListener('abort', () => resolve('late'), { once: true })
    })
    const step = await Promise.race([...running, late])
    if (step === 'late') this.#saved -= 1
    return step
  }
}

export interface Attempts<T> {
  /**
   * Must not throw for what another cluster may do better but resolve with `undefined`; its signal fires when another
   * was faster.
   */
  readonly attempt: (cluster: Cluster, signal: AbortSignal) => Promise<T | undefined>
  /** Told of what came although another was faster. */
  readonly leave: (late: T) => Promise<void>
}

interface Ended<T> {
  readonly value: T | undefined
  readonly ended: Promise<Ended<T>>
}

/** Nobody sees it. */
const fasterElsewhere = 'another cluster was faster'

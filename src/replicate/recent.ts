import type { Clock } from '../core/clock.ts'
import type { Telemetry } from '../core/telemetry.ts'

const spanMs = 60_000
const stepMs = 5000

/** How many instances were brought to each cluster in the last minute, to five seconds. */
export class Recent {
  readonly #clock: Clock
  /** By cluster, the instances of each step of time. */
  readonly #steps = new Map<string, Map<number, number>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The same telemetry, out of which runs of replication are counted here too. */
  counting<T extends Telemetry>(telemetry: T): T {
    const convergeRun: Telemetry['convergeRun'] = (cluster, result, sent) => {
      this.#note(cluster, sent)
      telemetry.convergeRun(cluster, result, sent)
    }
    return { ...telemetry, convergeRun }
  }

  of(cluster: string): number {
    const oldest = this.#now() - spanMs / stepMs
    const steps = this.#steps.get(cluster) ?? new Map<number, number>()
    return steps.entries().reduce((sum, [step, count]) => (step > oldest ? sum + count : sum), 0)
  }

  #note(cluster: string, count: number): void {
    const now = this.#now()
    const steps = this.#steps.get(cluster) ?? new Map<number, number>()
    for (const step of steps.keys()) if (step <= now - spanMs / stepMs) steps.delete(step)
    this.#steps.set(cluster, steps.set(now, (steps.get(now) ?? 0) + count))
  }

  #now(): number {
    return Math.floor(this.#clock.now() / stepMs)
  }
}

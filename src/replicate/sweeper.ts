import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { Swept } from './sweep.ts'

/** The turn to sweep: where the sweep before it left off. */
export interface Turn {
  readonly since: Date
  readonly before?: string | undefined
}

export interface SweeperDependencies {
  readonly everyMs: number
  /** The turn, when it is due and no other proxy has it. */
  readonly claim: (everyMs: number) => Promise<Turn | undefined>
  /** Where the next sweep goes on; `isComplete`: all have answered to this one. */
  readonly finish: (next: string | undefined, isComplete: boolean) => Promise<void>
  readonly sweep: (turn: Turn, signal: AbortSignal) => Promise<Swept>
  readonly clock: Clock
  readonly log: Log
}

/** How often it is looked whether a sweep is due, at least. */
const lookEveryMs = 60_000

/** Sweeps now and then; of all proxies on one database, one does. */
export function createSweeper({ everyMs, claim, finish, sweep, clock, log }: SweeperDependencies) {
  const stopping = new AbortController()
  let loop = Promise.resolve()

  async function once(): Promise<void> {
    const turn = await claim(everyMs)
    if (!turn) return
    const { next, ...swept } = await sweep(turn, stopping.signal)
    await finish(next, swept.failed.length === 0)
    log.info(swept, 'swept')
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      await once().catch((thrown: unknown) => {
        if (!stopping.signal.aborted) log.warn({ error: toError(thrown).message }, 'sweep broken off')
      })
      await clock.sleep(Math.min(everyMs, lookEveryMs), stopping.signal).catch(() => undefined)
    }
  }

  return {
    start() {
      loop = work()
    },
    /** Ends a sweep under way; it is not gone on with. */
    async stop() {
      stopping.abort()
      await loop
    },
  }
}

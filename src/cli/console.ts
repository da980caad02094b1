import type { Output } from './progress.ts'

/** What commands need of the process they run in. */
export interface Console {
  /** Writes a line of the answer. */
  readonly say: (line: string) => void
  /** Where progress is shown. */
  readonly progress: Output
  /** Fires when the person at the console has enough. */
  readonly interrupted: () => AbortSignal
  /** Sets the status with which the process ends. */
  readonly end: (status: number) => void
}

import type { Table } from './support/measure.ts'

/** One question that is answered by measuring. */
export interface Scenario {
  readonly name: string
  /** What is measured, in a sentence. */
  readonly about: string
  /** Tells its progress to `say`; the tables are its result. */
  run(say: (line: string) => void): Promise<Table[]>
}

/** OHIF's worklist as it asks for it, unfiltered. */
export const worklist =
  '/studies?limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030'

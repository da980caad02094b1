import type { Table } from './support/measure.ts'

/** One question that is answered by measuring. */
export interface Scenario {
  readonly name: string
  /** What is measured, in a sentence. */
  readonly about: string
  /** What it needs that is not here, and how to get it; it is left out then. */
  readonly missing?: string | false
  /** Tells its progress to `say`; the tables are its result. */
  run(say: (line: string) => void): Promise<Table[]>
}

/** OHIF's worklist as it asks for it, unfiltered. */
export const worklist =
  '/studies?limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030'

/** OHIF asks for frames so. */
export const framesAccept = 'multipart/related; type=application/octet-stream; transfer-syntax=*'

/** Studies, series and instances as they are stored. */
export const storedAccept = 'multipart/related; type="application/dicom"; transfer-syntax=*'

/** `BENCH_LONG=1`: more rounds and larger amounts than a first look needs. */
export const isLong = process.env.BENCH_LONG === '1'

import type { Tag } from './dataset.ts'

/** A matching key as the client wrote it, decoded: the path into sequences and the raw value. */
export interface Constraint {
  readonly path: readonly Tag[]
  readonly value: string
}

/** The parsed query part of a QIDO-RS URL, PS3.18 8.3.4. */
export interface Query {
  readonly constraints: readonly Constraint[]
  /** Tags asked for with `includefield`, or `all`. */
  readonly includeFields: readonly Tag[] | 'all'
  readonly limit: number | undefined
  readonly offset: number
  readonly fuzzyMatching: boolean
}

import type { FailureReason } from '../core/outcome.ts'

/** What one cluster had to do with an answer. Keys are written as in a query: `StudyDate=20240101-20241231`. */
export interface SourceReport {
  readonly cluster: string
  readonly role: string
  /** `ok`, why it failed, or that it was not asked. */
  readonly outcome: 'ok' | 'skipped' | FailureReason
  /** Why it was not asked. */
  readonly why?: string
  /** Constraints as they were sent to it, relaxed to what no archive gets wrong when it is asked. */
  readonly pushed: readonly string[]
  /** Constraints it does not take as keys: its rows are matched by them here. */
  readonly withheld: readonly string[]
  /** Constraints its rows say nothing about, so that they were left out. */
  readonly unhonoured: readonly string[]
  /** Requests made to it for this answer, rows it gave that matched, and milliseconds spent on them. */
  readonly requests: number
  readonly rows: number
  readonly durationMs: number
  /** Of a cluster that did not answer: studies known to be there. */
  readonly known?: number
}

/** One question asked of several clusters: `whole`, a range of study dates (`-` where it is open), `undated`. */
export interface RoundReport {
  readonly asked: string
  readonly clusters: readonly string[]
  readonly rows: number
  readonly durationMs: number
}

/** How an answer came about: for `Link-Sources`, the explain resource and the search page. */
export interface QueryReport {
  readonly sources: readonly SourceReport[]
  readonly rounds: readonly RoundReport[]
  /** Whether earlier pages of the same search were gone on from. */
  readonly resumed: boolean
  /** Rows known to come after the page, and whether there may be more of them. */
  readonly remaining: { readonly atLeast: number; readonly exact: boolean }
  readonly durationMs: number
}

import type { Dataset } from '../dicom/dataset.ts'
import type { Query } from '../dicom/query.ts'
import type { Uid } from '../dicom/uid.ts'

/** One of the six QIDO-RS resources, PS3.18 10.6: rows of a level, all of them or below a study or series. */
export interface QueryRequest {
  readonly level: 'study' | 'series' | 'instance'
  readonly study?: Uid
  readonly series?: Uid
  readonly query: Query
  /** Absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  readonly base: string
}

export interface QueryAnswer {
  readonly rows: readonly Dataset[]
  /** Texts for `Warning: 299`, without code and agent. */
  readonly warnings: readonly string[]
}

export interface QueryService {
  /**
   * Throws `LinkError`: `timed-out` when every cluster asked ran out of time, `unavailable` when all failed;
   * one answer is enough for success, with a warning for each cluster that is missing from it.
   */
  search(request: QueryRequest, signal: AbortSignal): Promise<QueryAnswer>
}

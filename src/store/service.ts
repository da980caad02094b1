import type { Dataset } from '../dicom/dataset.ts'
import type { Parts } from '../dicom/multipart.ts'
import type { Uid } from '../dicom/uid.ts'

export interface StoreRequest {
  /** From the path: instances of any other study are refused one by one. */
  readonly study?: Uid
  /** The parts of the request's body as they arrive. */
  readonly parts: Parts
  /** Absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  readonly base: string
}

export interface StoreAnswer {
  /** 200 all stored, 202 some failed or were stored with warnings, 409 none stored (PS3.18 table 10.5.3-1). */
  readonly status: 200 | 202 | 409
  /** Store Instances Response Module, PS3.18 I.2: Referenced and Failed SOP Sequence. */
  readonly response: Dataset
}

export interface StoreService {
  /**
   * Streams to the home cluster and returns once the intent to replicate is durable. Throws `LinkError`:
   * `unavailable` when home is down, `bad-request` when the multipart body is malformed.
   */
  store(request: StoreRequest, signal: AbortSignal): Promise<StoreAnswer>
}

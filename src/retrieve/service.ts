import type { FramesRequest, ObjectRequest, RenderedRequest, Target } from '../clusters/cluster.ts'
import type { Dataset } from '../dicom/dataset.ts'
import type { Parts } from '../dicom/multipart.ts'

/** Known before the first byte: 206 when something of the union cannot be had or a cluster is silent. */
export interface RetrieveAnswer<Body> {
  readonly status: 200 | 206
  /** Texts for `Warning: 299`, without code and agent. */
  readonly warnings: readonly string[]
  /**
   * Its first item is ready when the answer is returned: a holder that fails before its first part has been replaced
   * already. Throws in the middle when nothing can complete it; the connection is then aborted, never closed well.
   */
  readonly body: Body
}

export interface RetrieveService {
  /** Study, series or instance as `application/dicom`, each SOP Instance UID of the union once. */
  instances(request: Omit<ObjectRequest, 'kind'>, signal: AbortSignal): Promise<RetrieveAnswer<Parts>>
  frames(request: Omit<FramesRequest, 'kind'>, signal: AbortSignal): Promise<RetrieveAnswer<Parts>>
  /** `base`: absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  metadata(target: Target, base: string, signal: AbortSignal): Promise<RetrieveAnswer<AsyncIterable<Dataset>>>
  /** `token`: the last path segment of a BulkDataURI this service wrote. */
  bulkdata(target: Required<Target>, token: string, signal: AbortSignal): Promise<RetrieveAnswer<Parts>>
  rendered(request: RenderedRequest, signal: AbortSignal): Promise<RetrieveAnswer<Parts>>
}

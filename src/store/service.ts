import type { Cluster, InstanceUpload } from '../clusters/cluster.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Dataset } from '../dicom/dataset.ts'
import type { Parts } from '../dicom/multipart.ts'
import type { Uid } from '../dicom/uid.ts'
import { type AssembleOptions, assemble } from './assemble.ts'
import { receive } from './receive.ts'
import { type Refusal, storeResponse } from './response.ts'

export interface StoreRequest {
  /** From the path: instances of any other study are refused one by one. */
  readonly study?: Uid
  /** The parts of the request's body as they arrive. */
  readonly parts: Parts
  /** What they are: whole instances, or metadata in JSON followed by the bulk data it names. */
  readonly representation: 'instances' | 'metadata'
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

export interface StoreDependencies extends AssembleOptions {
  readonly home: Cluster
  readonly maxBufferedPartBytes: number
  /** Makes the intent to bring these studies to every linked cluster durable; resolves when a crash cannot lose it. */
  readonly replicate: (studies: readonly Uid[]) => Promise<void>
}

/** Receive → home → make replication durable → acknowledge. */
export function createStoreService(deps: StoreDependencies): StoreService {
  const { home, maxBufferedPartBytes, replicate } = deps

  async function storeAtHome(uploads: AsyncIterable<InstanceUpload>, touched: Set<Uid>, signal: AbortSignal) {
    try {
      return await home.store(noting(uploads, touched), signal)
    } catch (thrown) {
      throw isSilence(thrown) ? homeIsSilent(thrown) : thrown
    } finally {
      // Also when it failed: home may have kept some of it. What it has not, converging finds out and leaves alone.
      await replicate([...touched])
    }
  }

  return {
    async store({ study, parts, representation, base }, signal) {
      const refusals: Refusal[] = []
      const touched = new Set<Uid>()
      const instances = representation === 'metadata' ? assemble(parts, deps) : parts
      const received = receive(instances, { study, maxBufferedPartBytes, refuse: (refusal) => refusals.push(refusal) })
      const results = await storeAtHome(received, touched, signal)
      return storeResponse(results, refusals, base)
    },
  }
}

const isSilence = (thrown: unknown): thrown is ClusterError =>
  thrown instanceof ClusterError && thrown.reason === 'timed-out'

/** To a sender, a home cluster that hangs is one that is down: nothing is acknowledged, and it may send again. */
const homeIsSilent = (cause: ClusterError) =>
  new LinkError('unavailable', `${cause.message}; nothing of this request is acknowledged, send it again later`, {
    cause,
  })

/** Notes the study of each upload before home sees it. */
async function* noting(uploads: AsyncIterable<InstanceUpload>, touched: Set<Uid>): AsyncGenerator<InstanceUpload> {
  for await (const upload of uploads) {
    touched.add(upload.header.studyInstanceUID)
    yield upload
  }
}

import type { Cluster, InstanceUpload, StoreResult } from '../clusters/cluster.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Log } from '../core/telemetry.ts'
import type { Dataset } from '../dicom/dataset.ts'
import type { Parts } from '../dicom/multipart.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import { type AssembleOptions, assemble } from './assemble.ts'
import type { HomeWatch } from './home-watch.ts'
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
  /** What was stored is in the spool, and not at home yet; the status is never 200 then. */
  readonly isSpooled?: boolean
}

export interface StoreService {
  /**
   * Streams to the home cluster, or to the spool while home is not reachable, and returns once the intent to bring it
   * to the clusters that are to have it is durable. Throws `LinkError`: `unavailable` when there is no spool and home is
   * down, or when it fails in the middle of the request; `bad-request` when the multipart body is malformed.
   */
  store(request: StoreRequest, signal: AbortSignal): Promise<StoreAnswer>
}

/** Where instances are kept durably while home is not reachable. */
export interface Spool {
  readonly cluster: Cluster
  readonly home: HomeWatch
  readonly log: Log
}

export interface StoreDependencies extends AssembleOptions {
  readonly home: Cluster
  /** Absent: while home is not reachable, nothing is taken. */
  readonly spool?: Spool | undefined
  readonly maxBufferedPartBytes: number
  /**
   * Makes the intent durable to bring these studies from where they are stored now to every cluster that is to have
   * them; resolves when a crash cannot lose it. `stored`: instances of them that were acknowledged.
   */
  readonly replicate: (studies: readonly Uid[], storedAt: Cluster, stored: readonly InstanceHeader[]) => Promise<void>
}

/** Receive → home, or the spool → make replication durable → acknowledge. */
export function createStoreService(deps: StoreDependencies): StoreService {
  const { home, spool, maxBufferedPartBytes, replicate } = deps

  async function storeAt(cluster: Cluster, uploads: Uploads, signal: AbortSignal): Promise<Stored> {
    let results: readonly StoreResult[] = []
    try {
      results = await cluster.store(uploads, signal)
      return { results, cluster }
    } finally {
      // Also when it failed: some may have been kept. What was not, converging finds out and leaves alone.
      const stored = results.filter(({ outcome }) => outcome.status === 'stored').map(({ header }) => header)
      await replicate([...uploads.touched], cluster, stored)
    }
  }

  async function storeAtHome(uploads: Uploads, signal: AbortSignal): Promise<Stored> {
    try {
      return await storeAt(home, uploads, signal)
    } catch (thrown) {
      if (spool && !signal.aborted && isAway(thrown)) {
        spool.home.storeFailed()
        if (!uploads.begun) return storeInSpool(spool, uploads, signal)
      }
      throw isSilence(thrown) ? homeIsSilent(thrown) : thrown
    }
  }

  async function storeInSpool({ cluster, log }: Spool, uploads: Uploads, signal: AbortSignal): Promise<Stored> {
    const stored = await storeAt(cluster, uploads, signal)
    if (stored.results.some(isOutOfResources)) throw spoolIsFull()
    log.info({ studies: uploads.touched.size, instances: stored.results.length }, 'spooled')
    return stored
  }

  return {
    async store({ study, parts, representation, base }, signal) {
      const refusals: Refusal[] = []
      const instances = representation === 'metadata' ? assemble(parts, deps) : parts
      const refuse = (refusal: Refusal) => refusals.push(refusal)
      const uploads = new Uploads(receive(instances, { study, maxBufferedPartBytes, refuse }))
      const isAbsent = spool !== undefined && !(await spool.home.isReachable(signal))
      const stored = isAbsent ? await storeInSpool(spool, uploads, signal) : await storeAtHome(uploads, signal)
      const isSpooled = stored.cluster !== home
      const { status, response } = storeResponse(stored.results, refusals, base)
      return { status: isSpooled && status === 200 ? 202 : status, response, isSpooled: isSpooled && status !== 409 }
    },
  }
}

interface Stored {
  readonly results: readonly StoreResult[]
  readonly cluster: Cluster
}

/** What says that home is not there, rather than that it does not want what it was given. */
const isAway = (thrown: unknown): boolean =>
  thrown instanceof ClusterError && ['unreachable', 'timed-out', 'circuit-open'].includes(thrown.reason)

/** A7xxH, PS3.4 table B.2-1. */
const isOutOfResources = ({ outcome }: StoreResult): boolean =>
  outcome.status === 'failed' && (outcome.failureReason & 0xff00) === 0xa700

const spoolIsFull = () =>
  new LinkError(
    'unavailable',
    'home is not reachable, and there is no room to keep all of this until it is back; ' +
      'nothing of this request is acknowledged, send it again later',
  )

const isSilence = (thrown: unknown): thrown is ClusterError =>
  thrown instanceof ClusterError && thrown.reason === 'timed-out'

/** To a sender, a home cluster that hangs is one that is down: nothing is acknowledged, and it may send again. */
const homeIsSilent = (cause: ClusterError) =>
  new LinkError('unavailable', `${cause.message}; nothing of this request is acknowledged, send it again later`, {
    cause,
  })

/** The uploads of one request, to be read once; the study of each is noted before a cluster sees it. */
class Uploads implements AsyncIterable<InstanceUpload> {
  readonly touched = new Set<Uid>()
  /** Something of the request was read, and cannot be read again. */
  begun = false
  readonly #received: AsyncIterable<InstanceUpload>

  constructor(received: AsyncIterable<InstanceUpload>) {
    this.#received = received
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<InstanceUpload> {
    this.begun = true
    for await (const upload of this.#received) {
      this.touched.add(upload.header.studyInstanceUID)
      yield upload
    }
  }
}

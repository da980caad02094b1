import type { Limits } from '../config/schema.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError, countsAgainstHealth } from '../core/outcome.ts'
import { datasetDigest } from '../dicom/digest.ts'
import { newBoundary, type Part, writeMultipart } from '../dicom/multipart.ts'
import { type InstanceHeader, sniffInstance } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { InstanceUpload, StoreResult, Target } from './cluster.ts'
import type { DicomwebClient } from './dicomweb-client.ts'
import type { DicomwebRetriever } from './dicomweb-retrieve.ts'
import { type Acknowledgements, outcomeOf, processingFailure, readAcknowledgements } from './dicomweb-store-answer.ts'

/** A lost connection costs the acknowledgement of no more than these, which are then compared one by one. */
const maxInstancesPerRequest = 200
/** Studies whose inventory is remembered during one call. */
const maxInventories = 32
const maxHeaderBytes = 4 * 1024 ** 2

/** Duplicate SOP Instance: PS3.18 table I.2-2. */
const duplicate = 0x0111

export interface StorerDeps {
  readonly client: DicomwebClient
  readonly retriever: DicomwebRetriever
  readonly limits: Limits
  readonly inventoryOf: (study: Uid, signal: AbortSignal) => Promise<ReadonlyMap<Uid, Uid>>
  readonly sent: (bytes: number) => void
}

/** STOW-RS of one client's uploads, in as few requests as the rule about duplicates allows. */
export class DicomwebStorer {
  readonly #deps: StorerDeps

  constructor(deps: StorerDeps) {
    this.#deps = deps
  }

  async store(uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal): Promise<StoreResult[]> {
    const run = new StoreRun(this.#deps, uploads[Symbol.asyncIterator](), signal)
    try {
      return await run.toEnd()
    } finally {
      await run.leave()
    }
  }
}

/**
 * One call of `store`. Archives silently discard other content under a UID they have, so what they have is looked up
 * before: an upload is *sent* when its UID is new, and *compared* with the stored copy when it is not. A request
 * ends where a look at the archive is needed: it would otherwise hang open meanwhile, and hold the connection that
 * look may need.
 */
class StoreRun {
  readonly #deps: StorerDeps
  readonly #source: AsyncIterator<InstanceUpload>
  readonly #signal: AbortSignal
  /** By study: what the archive has and, as we go on, what it was sent. SOP → Series Instance UID. */
  readonly #inventories = new Map<Uid, Map<Uid, Uid>>()
  readonly #results: StoreResult[] = []
  #upload: InstanceUpload | undefined
  #exhausted = false

  constructor(deps: StorerDeps, source: AsyncIterator<InstanceUpload>, signal: AbortSignal) {
    this.#deps = deps
    this.#source = source
    this.#signal = signal
  }

  async toEnd(): Promise<StoreResult[]> {
    await this.#advance()
    while (this.#upload) {
      const upload = this.#upload
      const known = await this.#knownSeries(upload)
      if (known !== undefined && (await this.#compare(upload, known))) await this.#advance()
      else await this.#send()
    }
    return this.#results
  }

  /** Tells the source that no more is read, unless it has ended. */
  async leave(): Promise<void> {
    if (!this.#exhausted) await this.#source.return?.()
  }

  async #advance(): Promise<void> {
    const next = await this.#source.next()
    this.#exhausted = next.done === true
    this.#upload = next.done === true ? undefined : next.value
  }

  async #knownSeries({ header }: InstanceUpload): Promise<Uid | undefined> {
    const study = header.studyInstanceUID
    let inventory = this.#inventories.get(study)
    if (!inventory) {
      inventory = new Map(await this.#deps.inventoryOf(study, this.#signal))
      const [oldest] = this.#inventories.keys()
      if (oldest && this.#inventories.size >= maxInventories) this.#inventories.delete(oldest)
      this.#inventories.set(study, inventory)
    }
    return inventory.get(header.sopInstanceUID)
  }

  /** False, with the upload untouched, when the archive does not have it after all. */
  async #compare(upload: InstanceUpload, series: Uid): Promise<boolean> {
    const { header } = upload
    const target = { study: header.studyInstanceUID, series, instance: header.sopInstanceUID }
    const stored = await this.#storedDigest(target)
    if (stored === 'absent') return false
    const digest = await datasetDigest(upload.body, header.datasetOffset)
    const outcome: StoreResult['outcome'] =
      stored === digest
        ? { status: 'stored' }
        : { status: 'failed', failureReason: stored === 'unreadable' ? processingFailure : duplicate }
    this.#results.push({ header, outcome })
    return true
  }

  async #storedDigest(target: Required<Target>): Promise<string | 'absent' | 'unreadable'> {
    try {
      const request = { kind: 'instances', target, transferSyntax: '*', patient: true } as const
      const parts = await this.#deps.retriever.retrieve(request, this.#signal)
      let digest = 'absent'
      for await (const part of parts) digest = await digestOf(part)
      return digest
    } catch (error) {
      if (!(error instanceof ClusterError) || countsAgainstHealth(error.reason)) throw error
      return error.reason === 'not-found' || error.reason === 'gone' ? 'absent' : 'unreadable'
    }
  }

  /** Sends the current upload and those after it for which no look at the archive is needed, in one request. */
  async #send(): Promise<void> {
    const { client, limits } = this.#deps
    const request: Sending = { sent: [], complete: false, failure: undefined }
    const boundary = newBoundary()
    const content = {
      type: `multipart/related; type="application/dicom"; boundary="${boundary}"`,
      body: writeMultipart(this.#parts(request), boundary),
    }
    let answer: Acknowledgements
    try {
      const call = { method: 'POST', path: '/studies', accept: 'application/dicom+json', content } as const
      const exchange = await client.exchange({ ...call, signal: this.#signal })
      answer = await readAcknowledgements(client, exchange, limits.maxJsonBytes)
    } catch (error) {
      // What the caller's own stream threw is no failure of the cluster.
      throw request.failure ?? error
    }
    if (!request.complete) throw client.error('malformed', 'answers before it was sent everything')
    for (const header of request.sent) this.#results.push({ header, outcome: outcomeOf(answer, header) })
  }

  async *#parts(request: Sending): AsyncGenerator<Part, void, undefined> {
    for (let upload = this.#upload; upload; upload = this.#following(request)) {
      const { header } = upload
      this.#inventories.get(header.studyInstanceUID)?.set(header.sopInstanceUID, header.seriesInstanceUID)
      request.sent.push(header)
      yield { contentType: 'application/dicom', body: this.#watched(upload.body, request) }
      await this.#advance().catch(blame(request))
    }
    request.complete = true
  }

  /** The current upload, unless the request has to end before it. */
  #following(request: Sending): InstanceUpload | undefined {
    if (!this.#upload || request.sent.length >= maxInstancesPerRequest) return undefined
    const { studyInstanceUID, sopInstanceUID } = this.#upload.header
    return this.#inventories.get(studyInstanceUID)?.has(sopInstanceUID) === false ? this.#upload : undefined
  }

  async *#watched(body: AsyncIterable<Uint8Array>, request: Sending): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of body) {
        this.#deps.sent(chunk.length)
        yield chunk
      }
    } catch (thrown) {
      blame(request)(thrown)
    }
  }
}

/** A request on its way. */
interface Sending {
  readonly sent: InstanceHeader[]
  /** Its body was written to its end. */
  complete: boolean
  /** What the caller's own stream threw. */
  failure: unknown
}

const blame =
  (request: Sending) =>
  (thrown: unknown): never => {
    request.failure = thrown
    throw thrown
  }

async function digestOf(part: Part): Promise<string | 'unreadable'> {
  try {
    const { header, body } = await sniffInstance(part.body, { maxHeaderBytes })
    return await datasetDigest(body, header.datasetOffset)
  } catch (error) {
    if (error instanceof ClusterError || !(error instanceof LinkError)) throw error
    return 'unreadable'
  }
}

import type { Limits } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError, countsAgainstHealth } from '../core/outcome.ts'
import { datasetDigest } from '../dicom/digest.ts'
import { newBoundary, type Part, writeMultipart } from '../dicom/multipart.ts'
import { type InstanceHeader, sniffInstance } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { InstanceUpload, StoreResult, Target } from './cluster.ts'
import type { DicomwebClient } from './dicomweb-client.ts'
import type { DicomwebRetriever } from './dicomweb-retrieve.ts'
import { type Acknowledgements, outcomeOf, post, processingFailure } from './dicomweb-store-answer.ts'
import { type Claimant, Claims } from './dicomweb-store-claims.ts'
import { Known } from './dicomweb-store-known.ts'
import { asSmall, type SmallUpload, type StoreTogether } from './dicomweb-store-together.ts'
import { untilAborted } from './fan-out.ts'
import type { Inventory } from './inventory.ts'

/** A lost connection costs the acknowledgement of no more than these, which are then compared one by one. */
const maxInstancesPerRequest = 200
/** How long a call waits for another that is storing the same UID, whose sender may be slow. */
const maxClaimWaitMs = 60_000
const maxHeaderBytes = 4 * 1024 ** 2

/** Duplicate SOP Instance: PS3.18 table I.2-2. */
const duplicate = 0x0111

export interface StorerDeps {
  readonly client: DicomwebClient
  readonly retriever: DicomwebRetriever
  readonly limits: Limits
  readonly clock: Clock
  readonly together: StoreTogether
  readonly inventoryOf: (target: Target, signal: AbortSignal) => Promise<Inventory>
  readonly sent: (bytes: number) => void
}

/** STOW-RS of one client's uploads, in as few requests as the rule about duplicates allows. */
export class DicomwebStorer {
  readonly #deps: StorerDeps
  readonly #claims = new Claims()
  readonly #known: Known

  constructor(deps: StorerDeps) {
    this.#deps = deps
    this.#known = new Known(deps.clock)
  }

  async store(uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal): Promise<StoreResult[]> {
    const run = new StoreRun({ ...this.#deps, claims: this.#claims, known: this.#known }, uploads, signal)
    try {
      return await run.toEnd()
    } finally {
      await run.leave()
    }
  }
}

interface RunDeps extends StorerDeps {
  readonly claims: Claims
  /** Shared by all calls of the cluster. */
  readonly known: Known
}

/**
 * One call of `store`. Archives silently discard other content under a UID they have, so what they have is looked up
 * before: an upload is *sent* when its UID is new, and *compared* with the stored copy when it is not. A request
 * ends where a look at the archive is needed: it would otherwise hang open meanwhile, and hold the connection that
 * look may need. It also ends where another call is storing the next UID or waits for one of its own: whoever waits
 * has claimed nothing, so two calls with the same UIDs in another order do not wait for each other.
 */
class StoreRun {
  readonly #deps: RunDeps
  readonly #source: AsyncIterator<InstanceUpload>
  readonly #signal: AbortSignal
  readonly #results: StoreResult[] = []
  readonly #claimant: Claimant = { wanted: false }
  readonly #claimed = new Set<Uid>()
  #upload: InstanceUpload | undefined
  #exhausted = false

  constructor(deps: RunDeps, uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal) {
    this.#deps = deps
    this.#source = uploads[Symbol.asyncIterator]()
    this.#signal = signal
  }

  async toEnd(): Promise<StoreResult[]> {
    await this.#advance()
    while (this.#upload) {
      const upload = this.#upload
      try {
        await this.#store(upload)
      } finally {
        this.#giveUpClaims()
      }
      if (this.#upload === upload) await this.#advance()
    }
    return this.#results
  }

  /** Compares an upload, or sends it and some of those after it. */
  async #store(upload: InstanceUpload): Promise<void> {
    const { header } = upload
    if (!(await this.#claim(header))) {
      this.#results.push({ header, outcome: { status: 'failed', failureReason: processingFailure } })
      return
    }
    if (await this.#compareIfHeld(upload)) return
    // What follows the first one goes in requests of this call's own.
    const small = this.#results.length === 0 ? asSmall(upload) : undefined
    if (small && (await this.#storeTogether(small))) return
    if (small && (await this.#compareIfHeld(upload))) return
    await this.#send()
  }

  /** False, with the upload untouched, when the archive does not have it. */
  async #compareIfHeld(upload: InstanceUpload): Promise<boolean> {
    const { known, inventoryOf } = this.#deps
    const series = await known.seriesOf(upload.header, (target) => inventoryOf(target, this.#signal))
    return series !== undefined && this.#compare(upload, series)
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

  /** False when another call has been storing the same UID for too long. */
  async #claim(header: InstanceHeader): Promise<boolean> {
    if (this.#claimNow(header)) return true
    using wait = deadline(this.#deps.clock, maxClaimWaitMs, this.#signal)
    try {
      while (!this.#claimNow(header)) await this.#deps.claims.given(header.sopInstanceUID, wait.signal)
      return true
    } catch {
      this.#signal.throwIfAborted()
      return false
    }
  }

  #claimNow(header: InstanceHeader): boolean {
    const claimed = this.#deps.claims.take(header.sopInstanceUID, this.#claimant)
    if (claimed) this.#claimed.add(header.sopInstanceUID)
    return claimed
  }

  #giveUpClaims(): void {
    for (const uid of this.#claimed) this.#deps.claims.give(uid)
    this.#claimed.clear()
    this.#claimant.wanted = false
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

  /** Sends one instance with those of other calls; false when it is not clear what became of it. */
  async #storeTogether(upload: SmallUpload): Promise<boolean> {
    const { together, known } = this.#deps
    const { header } = upload
    try {
      const became = await together.store(upload, this.#signal)
      if (became.status !== 'unclear') this.#results.push({ header, outcome: became })
      return became.status !== 'unclear'
    } finally {
      // Whatever became of it, it has to be looked at before it is sent again.
      known.sent(header)
    }
  }

  /** Sends the current upload and those after it for which no look at the archive is needed, in one request. */
  async #send(): Promise<void> {
    const { client, limits } = this.#deps
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const request: Sending = { sent: [], complete: false, answered: false, failure: undefined, ended, end }
    const boundary = newBoundary()
    let answer: Acknowledgements
    try {
      const body = writeMultipart(this.#parts(request), boundary)
      answer = await post(client, { boundary, body }, limits.maxJsonBytes, this.#signal)
    } catch (error) {
      // What the caller's own stream threw is no failure of the cluster.
      throw request.failure ?? error
    } finally {
      request.answered = true
      // Whatever became of it, it has to be looked at before it is sent again.
      for (const header of request.sent) this.#deps.known.sent(header)
    }
    const complete = request.complete
    if (!complete && !answer.refused) throw client.error('malformed', 'answers before it was sent everything')
    for (const header of request.sent) this.#results.push({ header, outcome: outcomeOf(answer, header) })
    if (!complete) await this.#passOver(request)
  }

  /** What was refused before it was sent to its end has to be left before the next can be read. */
  async #passOver(request: Sending): Promise<void> {
    await untilAborted(request.ended, this.#signal)
    if (request.failure !== undefined) throw request.failure
    if (this.#upload?.header === request.sent.at(-1)) await this.#advance()
  }

  async *#parts(request: Sending): AsyncGenerator<Part, void, undefined> {
    try {
      for (let upload = this.#upload; upload; upload = this.#following(request)) {
        this.#deps.known.sent(upload.header)
        request.sent.push(upload.header)
        yield { contentType: 'application/dicom', body: this.#watched(upload.body, request) }
        await this.#advance().catch(blame(request))
      }
      request.complete = true
    } finally {
      request.end()
    }
  }

  /** The current upload, unless the request has to end before it. */
  #following(request: Sending): InstanceUpload | undefined {
    if (!this.#upload || request.answered || request.sent.length >= maxInstancesPerRequest) return undefined
    if (this.#claimant.wanted || !this.#deps.known.lacks(this.#upload.header)) return undefined
    return this.#claimNow(this.#upload.header) ? this.#upload : undefined
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
  /** It was answered, or failed: it takes nothing more. */
  answered: boolean
  /** What the caller's own stream threw. */
  failure: unknown
  /** Resolves when it has begun to be written and will not read any upload any more. */
  readonly ended: Promise<void>
  readonly end: () => void
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

import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { newBoundary } from '../dicom/multipart.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { InstanceUpload, StoreResult } from './cluster.ts'
import type { DicomwebClient } from './dicomweb-client.ts'
import { type Acknowledgements, outcomeOf, post } from './dicomweb-store-answer.ts'

/** Instances in one request, and bytes of them. */
const maxTogether = 16
const maxBytes = 4 * 1024 ** 2
/** A larger instance goes alone: it gains nothing by company. */
const maxInstanceBytes = 1024 ** 2

/** Instances that wait for the requests before them; more are not taken. */
const maxWaiting = 512

/** What became of an instance; `unclear`: the request it was in does not tell, and another one's fault may be why. */
export type Became = StoreResult['outcome'] | { readonly status: 'unclear' }

export interface TogetherDeps {
  readonly client: DicomwebClient
  readonly clock: Clock
  /** For a request with its answer, in milliseconds. */
  readonly limitMs: number
  readonly maxJsonBytes: number
  /** Requests on their way at the same time. */
  readonly atOnce: number
  readonly sent: (bytes: number) => void
}

/** An upload that is small and in memory. */
export interface SmallUpload {
  readonly header: InstanceHeader
  readonly held: readonly Uint8Array[]
  readonly bytes: number
}

interface Waiting extends PromiseWithResolvers<Became> {
  readonly upload: SmallUpload
}

/** The upload as one that may go together with others, if it may. */
export function asSmall({ header, held }: InstanceUpload): SmallUpload | undefined {
  const bytes = held?.reduce((sum, { byteLength }) => sum + byteLength, 0) ?? Number.POSITIVE_INFINITY
  return held && bytes <= maxInstanceBytes ? { header, held, bytes } : undefined
}

/**
 * STOW-RS of instances that come singly, by many calls at once: while some requests are on their way, those that come
 * gather for the next one, which costs an archive much less than a request of each. What an archive holds against one
 * of them does not fail the others: of what it does not list as stored or failed, each caller finds out by itself.
 */
export class StoreTogether {
  readonly #deps: TogetherDeps
  readonly #waiting: Waiting[] = []
  /** Requests on their way, and the instances in them. */
  #running = 0
  #underWay = 0

  constructor(deps: TogetherDeps) {
    this.#deps = deps
  }

  /**
   * Whoever leaves before its turn takes its instance back; once it is on its way it is waited for, for a minute or so at
   * most, since nobody else may send that UID meanwhile. Throws `ClusterError` for one that was alone in its request.
   */
  async store(upload: SmallUpload, signal: AbortSignal): Promise<Became> {
    signal.throwIfAborted()
    if (this.#waiting.length >= maxWaiting)
      throw this.#deps.client.error('overloaded', 'too many instances wait for it')
    const waiting: Waiting = { upload, ...Promise.withResolvers<Became>() }
    const takeBack = () => {
      const index = this.#waiting.indexOf(waiting)
      if (index < 0) return
      this.#waiting.splice(index, 1)
      waiting.reject(signal.reason)
    }
    signal.addEventListener('abort', takeBack, { once: true })
    this.#waiting.push(waiting)
    this.#next()
    try {
      return await waiting.promise
    } finally {
      signal.removeEventListener('abort', takeBack)
    }
  }

  #next(): void {
    while (this.#isTime()) void this.#deliver(this.#take())
  }

  /** One never waits for company alone; of many, each request gets its share. */
  #isTime(): boolean {
    const waiting = this.#waiting.length
    if (waiting === 0 || this.#running >= this.#deps.atOnce) return false
    return this.#running === 0 || waiting >= (waiting + this.#underWay) / this.#deps.atOnce
  }

  #take(): Waiting[] {
    let size = 0
    const isTooMuch = ({ upload }: Waiting, index: number) => {
      size += upload.bytes
      return index > 0 && (index >= maxTogether || size > maxBytes)
    }
    const end = this.#waiting.findIndex(isTooMuch)
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
  }

  async #deliver(batch: readonly Waiting[]): Promise<void> {
    this.#running++
    this.#underWay += batch.length
    await this.#post(batch)
    this.#running--
    this.#underWay -= batch.length
    this.#next()
  }

  async #post(batch: readonly Waiting[]): Promise<void> {
    const isAlone = batch.length === 1
    try {
      const answer = await this.#exchange(batch.map(({ upload }) => upload))
      for (const { upload, resolve } of batch) {
        const isTold = isAlone || answer.listed.has(upload.header.sopInstanceUID)
        resolve(isTold ? outcomeOf(answer, upload.header) : { status: 'unclear' })
      }
    } catch (thrown) {
      for (const { resolve, reject } of batch) isAlone ? reject(thrown) : resolve({ status: 'unclear' })
    }
  }

  async #exchange(uploads: readonly SmallUpload[]): Promise<Acknowledgements> {
    const { client, clock, limitMs, maxJsonBytes } = this.#deps
    const boundary = newBoundary()
    using limit = deadline(clock, limitMs)
    const { signal } = limit
    try {
      return await post(client, { boundary, body: this.#bodyOf(uploads, boundary) }, maxJsonBytes, signal)
    } catch (thrown) {
      if (thrown !== signal.reason) throw thrown
      throw client.error('timed-out', `no answer within ${limitMs} ms`, { cause: thrown })
    }
  }

  /** A stream, which is not sent again by itself: whether the archive has it has to be looked at first. */
  async *#bodyOf(uploads: readonly SmallUpload[], boundary: string): AsyncGenerator<Uint8Array, void, undefined> {
    const delimiter = Buffer.from(`\r\n--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`)
    const parts = uploads.flatMap(({ held }) => [delimiter, ...held])
    yield Buffer.concat([...parts, Buffer.from(`\r\n--${boundary}--\r\n`)])
    this.#deps.sent(uploads.reduce((sum, { bytes }) => sum + bytes, 0))
  }
}

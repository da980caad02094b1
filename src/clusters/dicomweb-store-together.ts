import { ClusterError, type FailureReason } from '../core/outcome.ts'
import { newBoundary } from '../dicom/multipart.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { InstanceUpload, StoreResult } from './cluster.ts'
import type { DicomwebClient } from './dicomweb-client.ts'
import { type Acknowledgements, outcomeOf, readAcknowledgements } from './dicomweb-store-answer.ts'

/** Instances in one request, and bytes of them. */
const maxTogether = 16
const maxBytes = 4 * 1024 ** 2
/** A larger instance goes alone: it gains nothing by company. */
const maxInstanceBytes = 1024 ** 2

/** Instances that wait for the requests before them; more are not taken. */
const maxWaiting = 512

type Outcome = StoreResult['outcome']

export interface TogetherDeps {
  readonly client: DicomwebClient
  readonly maxJsonBytes: number
  /** Requests on their way at the same time. */
  readonly atOnce: number
  readonly sent: (bytes: number) => void
}

interface Waiting extends PromiseWithResolvers<Outcome> {
  readonly header: InstanceHeader
  readonly bytes: Uint8Array
}

/**
 * STOW-RS of instances that come singly, by many calls at once: while some requests are on their way, those that come
 * gather for the next one, which costs an archive much less than a request of each. What an archive holds against one
 * of them does not fail the others: they are sent once more, each alone.
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

  /** The bytes of an upload that may be sent by {@link store}: those of a small one all of which is in memory. */
  smallBytesOf({ held }: InstanceUpload): Uint8Array | undefined {
    const size = held?.reduce((sum, { byteLength }) => sum + byteLength, 0) ?? Number.POSITIVE_INFINITY
    return held && size <= maxInstanceBytes ? Buffer.concat(held) : undefined
  }

  /**
   * What becomes of an instance. Whoever leaves before its turn takes it back; once it is on its way it is waited for.
   * Throws `ClusterError`.
   */
  async store(header: InstanceHeader, bytes: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    signal.throwIfAborted()
    if (this.#waiting.length >= maxWaiting)
      throw this.#deps.client.error('overloaded', 'too many instances wait for it')
    const waiting: Waiting = { header, bytes, ...Promise.withResolvers<Outcome>() }
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
    const isTooMuch = ({ bytes }: Waiting, index: number) => {
      size += bytes.byteLength
      return index > 0 && (index >= maxTogether || size > maxBytes)
    }
    const end = this.#waiting.findIndex(isTooMuch)
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
  }

  async #deliver(batch: readonly Waiting[]): Promise<void> {
    this.#running++
    this.#underWay += batch.length
    const unclear = await this.#post(batch)
    for (const it of unclear) await this.#post([it])
    this.#running--
    this.#underWay -= batch.length
    this.#next()
  }

  /** Settles what the answer tells of; gives back what it may have refused for the sake of another one. */
  async #post(batch: readonly Waiting[]): Promise<readonly Waiting[]> {
    try {
      const answer = await this.#exchange(batch)
      const isClear = ({ header }: Waiting) =>
        batch.length === 1 || !answer.refused || answer.listed.has(header.sopInstanceUID)
      for (const { header, resolve } of batch.filter(isClear)) resolve(outcomeOf(answer, header))
      return batch.filter((it) => !isClear(it))
    } catch (thrown) {
      if (batch.length > 1 && thrown instanceof ClusterError && mayBeAboutOne.has(thrown.reason)) return batch
      for (const { reject } of batch) reject(thrown)
      return []
    }
  }

  async #exchange(batch: readonly Waiting[]): Promise<Acknowledgements> {
    const { client, maxJsonBytes, sent } = this.#deps
    const boundary = newBoundary()
    const delimiter = Buffer.from(`\r\n--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`)
    const parts = batch.flatMap(({ bytes }) => [delimiter, bytes])
    const body = Buffer.concat([...parts, Buffer.from(`\r\n--${boundary}--\r\n`)])
    const content = { type: `multipart/related; type="application/dicom"; boundary="${boundary}"`, body }
    const call = { method: 'POST', path: '/studies', accept: 'application/dicom+json', content } as const
    const exchange = await client.exchange({ ...call, signal: nobodys })
    sent(batch.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
    return readAcknowledgements(client, exchange, maxJsonBytes)
  }
}

/** Several wait for a request; the time limits of the client end it. */
const nobodys = new AbortController().signal

const mayBeAboutOne: ReadonlySet<FailureReason> = new Set([
  ...(['rejected', 'failed', 'malformed', 'truncated'] as const),
  ...(['too-large', 'unsupported', 'not-found', 'gone'] as const),
])

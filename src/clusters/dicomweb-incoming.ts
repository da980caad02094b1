import type { Dispatcher } from 'undici'
import { slabs } from '../core/slabs.ts'

/** Of an answer, held before its connection is made to wait for the reader. */
const readAheadBytes = 256 * 1024
/** What is read of an answer nobody wants, and for how long, so that its connection can be used again. */
const maxDiscardBytes = 64 * 1024
const maxDiscardMs = 500

type Controller = Dispatcher.DispatchController
type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]

export interface Head {
  readonly status: number
  readonly headers: Headers
}

/**
 * One answer as it comes: the connection pushes it, one reader pulls it, with backpressure in between. What the reader
 * gets is a view of memory that {@link slabs} lends.
 */
export class Incoming implements Dispatcher.DispatchHandler, AsyncIterableIterator<Buffer, undefined> {
  /** Rejects with what went wrong before the header of an answer had come. */
  readonly head: Promise<Head>
  readonly #head = Promise.withResolvers<Head>()
  readonly #closed: (() => void)[] = []
  readonly #reading = slabs.reading()
  readonly #queue: Buffer[] = []
  #queuedBytes = 0
  #aheadBytes = readAheadBytes
  #controller: Controller | undefined
  #isOpen = true
  #failure: { readonly reason: unknown } | undefined
  /** How much more is read for nobody; `undefined` while somebody reads. */
  #discarding: number | undefined
  #late: NodeJS.Timeout | undefined
  #wake: () => void = () => undefined

  /** Cancelled when `signal` fires, whenever that is. */
  constructor(signal: AbortSignal) {
    const cancel = () => this.cancel(signal.reason)
    signal.addEventListener('abort', cancel)
    this.whenClosed(() => signal.removeEventListener('abort', cancel))
    this.head = this.#head.promise
    // It is of no interest to whoever has turned away.
    this.head.catch(() => undefined)
  }

  /** Calls `then` once, when nothing will come any more. */
  whenClosed(then: () => void): void {
    if (this.#isOpen) this.#closed.push(then)
    else then()
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#failure) controller.abort(this.#failure.reason as Error)
  }

  onResponseStart(_controller: Controller, status: number, headers: Headers): void {
    if (status >= 200) this.#head.resolve({ status, headers })
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#reading.lent(chunk)
    if (this.#discarding === undefined) this.#keep(chunk)
    else this.#discard(this.#discarding, chunk)
    if (this.#queuedBytes > this.#aheadBytes) controller.pause()
  }

  onResponseEnd(): void {
    this.#reading.ended()
    this.#close()
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fail(error)
    this.#close()
  }

  /** Throws what broke the answer off, behind the last of what came before. */
  async next(): Promise<IteratorResult<Buffer, undefined>> {
    for (;;) {
      const chunk = this.#queue.shift()
      if (chunk) return { done: false, value: this.#taken(chunk) }
      if (this.#failure) throw this.#failure.reason
      if (!this.#isOpen) return { done: true, value: undefined }
      await this.#more()
    }
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.discard()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** All that is to be read, when it ends within so many bytes; else `undefined`, and nothing was taken. */
  async whole(maxBytes: number): Promise<Buffer[] | undefined> {
    this.#aheadBytes = maxBytes
    this.#readAhead()
    while (this.#isOpen && this.#queuedBytes <= maxBytes) await this.#more()
    this.#aheadBytes = readAheadBytes
    if (this.#failure || this.#queuedBytes > maxBytes) return undefined
    this.#queuedBytes = 0
    return this.#queue.splice(0)
  }

  /** Reads the little that may be left; closes the connection when it is more, or does not come. */
  discard(): void {
    if (!this.#isOpen || this.#discarding !== undefined) return
    this.#discarding = maxDiscardBytes
    this.#late = setTimeout(() => this.cancel(), maxDiscardMs)
    this.#queuedBytes = 0
    for (const chunk of this.#queue.splice(0)) this.#discard(this.#discarding, chunk)
    this.#controller?.resume()
  }

  /** Gives up what has not come, and closes the connection. */
  cancel(reason: unknown = unwanted): void {
    if (!this.#isOpen) return
    this.#queue.length = 0
    this.#fail(reason)
    this.#controller?.abort(reason as Error)
  }

  #keep(chunk: Buffer): void {
    this.#queue.push(chunk)
    this.#queuedBytes += chunk.length
    this.#wake()
  }

  #taken(chunk: Buffer): Buffer {
    this.#queuedBytes -= chunk.length
    this.#readAhead()
    return chunk
  }

  #readAhead(): void {
    if (this.#controller?.paused && this.#queuedBytes <= this.#aheadBytes) this.#controller.resume()
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #discard(left: number, chunk: Buffer): void {
    slabs.release(chunk)
    this.#discarding = left - chunk.length
    if (this.#discarding < 0) this.cancel()
  }

  #fail(reason: unknown): void {
    this.#failure ??= { reason }
    this.#head.reject(this.#failure.reason)
    this.#wake()
  }

  #close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    clearTimeout(this.#late)
    this.#wake()
    for (const then of this.#closed) then()
  }
}

/** Nobody sees it: nobody reads what is cancelled. */
const unwanted = new Error('the answer is not wanted any more')

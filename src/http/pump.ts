import type { IncomingMessage, ServerResponse } from 'node:http'
import { LinkError } from '../core/errors.ts'
import { slabs } from '../core/slabs.ts'
import type { Stream } from './context.ts'

/** Takes the first chunk, so that what fails before anything is sent can still become an error answer. */
export async function begin(body: AsyncIterable<Uint8Array>, length?: number): Promise<Stream> {
  const rest = body[Symbol.asyncIterator]()
  const first = await rest.next()
  return length === undefined ? { first, rest } : { first, rest, length }
}

/** A body that is there already. */
export const inHand = (bytes: Uint8Array): Stream => ({
  first: { done: false, value: bytes },
  rest: { next: async () => ({ done: true, value: undefined }) },
  length: bytes.byteLength,
})

/** Lets go of a body that nobody will read to its end; whoever makes it may take its time to notice. */
export function abandon({ rest }: { readonly rest: AsyncIterator<unknown> }): void {
  rest.return?.().catch(() => undefined)
}

export interface PumpOptions {
  readonly signal: AbortSignal
  /** Longest time the client may take nothing. */
  readonly idleMs: number
}

/**
 * Writes a body as fast as the client takes it, to its last byte: what comes next is asked for while the client takes
 * what came last, so a slow client slows the cluster and memory does not grow. Throws when the body fails, when its
 * length is not what was announced or when the client leaves or takes nothing; the caller then cuts the connection.
 */
export async function pump(stream: Stream, outgoing: ServerResponse, options: PumpOptions): Promise<void> {
  using client = new Client(outgoing, options)
  let sent = 0
  try {
    for (let step = stream.first; !step.done; ) {
      options.signal.throwIfAborted()
      sent += step.value.byteLength
      if (sent > (stream.length ?? sent)) break
      const isFull = !write(outgoing, step.value)
      const next = stream.rest.next()
      // Should the client be gone, how this ends is of no interest.
      next.catch(() => undefined)
      if (isFull) await client.until('drain')
      step = await next
    }
    if (stream.length !== undefined && sent !== stream.length) {
      throw new LinkError('bad-gateway', `a body of ${stream.length} bytes was announced, its source gave another`)
    }
    outgoing.end()
    await client.until('finish')
  } catch (error) {
    abandon(stream)
    throw error
  }
}

/** Chunks of a stream are nobody else's: their memory is given back when it has gone out. */
const write = (outgoing: ServerResponse, chunk: Uint8Array): boolean =>
  outgoing.write(chunk, () => slabs.release(chunk))

/** Ends an answer and waits until all of it has gone out. Throws as {@link pump} does. */
export async function finish(outgoing: ServerResponse, options: PumpOptions): Promise<void> {
  using client = new Client(outgoing, options)
  outgoing.end()
  await client.until('finish')
}

/** Who takes an answer, or does not. */
class Client implements Disposable {
  readonly #outgoing: ServerResponse
  readonly #options: PumpOptions
  #waiting: { event: 'drain' | 'finish'; resolve: () => void; reject: (reason: unknown) => void } | undefined
  #failure: { readonly reason: unknown } | undefined

  constructor(outgoing: ServerResponse, options: PumpOptions) {
    this.#outgoing = outgoing
    this.#options = options
    outgoing.on('drain', this.#took).on('finish', this.#took).on('close', this.#left).on('timeout', this.#idled)
    options.signal.addEventListener('abort', this.#aborted)
    // What has happened already is not told again.
    if (options.signal.aborted) this.#aborted()
    if (outgoing.destroyed) this.#left()
  }

  /** Resolves when it has taken so much that more may be written, or all. */
  async until(event: 'drain' | 'finish'): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting = { event, resolve, reject }
    // Of the connection: it knows how much of what was written last is still to go, so that a slow client is no stuck
    // one. Each time: when it ran out while the source was silent, it does not start again by itself.
    this.#outgoing.setTimeout(this.#options.idleMs)
    if (this.#failure) reject(this.#failure.reason)
    else this.#took()
    await promise.finally(() => {
      this.#waiting = undefined
    })
  }

  [Symbol.dispose](): void {
    const { signal } = this.#options
    this.#outgoing
      .off('drain', this.#took)
      .off('finish', this.#took)
      .off('close', this.#left)
      .off('timeout', this.#idled)
    signal.removeEventListener('abort', this.#aborted)
  }

  readonly #took = () => {
    const { writableFinished, writableNeedDrain } = this.#outgoing
    const waiting = this.#waiting
    if (waiting && (waiting.event === 'finish' ? writableFinished : !writableNeedDrain)) waiting.resolve()
  }

  readonly #left = () => {
    if (this.#outgoing.writableFinished) return
    this.#fail(new LinkError('cancelled', 'the client left before its answer was complete'))
  }

  /** Also when nothing is written because the source is silent, which is not the client's fault. */
  readonly #idled = () => {
    if (!this.#waiting) return
    const { idleMs } = this.#options
    this.#fail(new LinkError('cancelled', `the client took nothing of its answer for ${idleMs} ms`))
  }

  readonly #aborted = () => this.#fail(this.#options.signal.reason)

  #fail(reason: unknown): void {
    this.#failure ??= { reason }
    this.#waiting?.reject(reason)
  }
}

/**
 * Ends a connection so that no client takes what it got for complete: with a reset, because to an HTTP/1.0 client
 * a plain close is the end of the body.
 */
export function cut(incoming: IncomingMessage): void {
  incoming.socket.resetAndDestroy()
}

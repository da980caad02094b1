import { pipeline, type Readable, type Transform } from 'node:stream'
import { createGunzip, createInflate } from 'node:zlib'
import { slabs } from '../core/slabs.ts'

/** What is read of an answer nobody wants, and for how long, so that its connection can be used again. */
const maxDiscardBytes = 64 * 1024
const maxDiscardMs = 500

export interface BodyHooks {
  /** Bytes as they came from the wire. */
  received(bytes: number): void
  /** What to throw for what was thrown while reading. */
  explain(thrown: unknown): unknown
}

/**
 * The body of an answer, decompressed when the cluster compressed it although or because it was asked to. Whoever
 * reads it bounds its size. Leaving the loop early discards the rest.
 */
export class Body implements AsyncIterable<Uint8Array> {
  readonly #wire: Readable
  readonly #encoding: string
  readonly #hooks: BodyHooks

  constructor(wire: Readable, encoding: string, hooks: BodyHooks) {
    this.#wire = wire
    this.#encoding = encoding.trim().toLowerCase()
    this.#hooks = hooks
    // An answer may fail before anybody reads it or after all have left; readers get the error from their loop.
    wire.on('error', () => undefined)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      const decoder = this.#decoder()
      if (decoder) return yield* this.#through(decoder)
      const chunks: AsyncIterable<Buffer> = this.#wire.iterator({ destroyOnReturn: false })
      const reading = slabs.reading()
      for await (const chunk of chunks) {
        this.#hooks.received(chunk.length)
        reading.lent(chunk)
        yield chunk
      }
      reading.ended()
    } catch (thrown) {
      // It may have been refused before it was looked at.
      this.#wire.destroy()
      throw this.#hooks.explain(thrown)
    } finally {
      this.discard()
    }
  }

  /** Reads the little that may be left; closes the connection when it is more, or does not come. */
  discard(): void {
    const wire = this.#wire
    if (wire.destroyed || wire.readableEnded) return
    let left = maxDiscardBytes
    const late = setTimeout(() => wire.destroy(), maxDiscardMs)
    wire.once('close', () => clearTimeout(late))
    wire.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left < 0) wire.destroy()
    })
    wire.resume()
  }

  /** Gives up what has not been read. */
  cancel(): void {
    this.#wire.destroy()
  }

  #through(decoder: Transform): AsyncIterable<Uint8Array> {
    this.#wire.on('data', (chunk: Buffer) => this.#hooks.received(chunk.length))
    return pipeline(this.#wire, decoder, () => undefined)
  }

  #decoder(): Transform | undefined {
    switch (this.#encoding) {
      case '':
      case 'identity':
        return undefined
      case 'gzip':
      case 'x-gzip':
        return createGunzip()
      case 'deflate':
        return createInflate()
      default:
        throw Object.assign(new Error('it is compressed in a way that was not asked for'), { kind: 'malformed' })
    }
  }
}

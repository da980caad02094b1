import { pipeline, Readable, type Transform } from 'node:stream'
import { createGunzip, createInflate } from 'node:zlib'
import { joined } from '../core/blocks.ts'
import type { Incoming } from './dicomweb-incoming.ts'

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
  readonly #wire: Incoming
  readonly #encoding: string
  readonly #hooks: BodyHooks

  constructor(wire: Incoming, encoding: string, hooks: BodyHooks) {
    this.#wire = wire
    this.#encoding = encoding.trim().toLowerCase()
    this.#hooks = hooks
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const source = this.#source()
    return {
      next: () => source.next().catch((thrown: unknown) => this.#failed(thrown)),
      return: async () => {
        this.discard()
        await source.return?.()
        return { done: true, value: undefined }
      },
    }
  }

  /** All of it, when it is no more than so many bytes and not compressed; else `undefined`, and nothing was read. */
  async whole(maxBytes: number): Promise<Buffer | undefined> {
    const chunks = this.#isPlain ? await this.#wire.whole(maxBytes) : undefined
    if (!chunks) return undefined
    const bytes = joined(chunks)
    this.#hooks.received(bytes.length)
    return bytes
  }

  /** Reads the little that may be left; closes the connection when it is more, or does not come. */
  discard(): void {
    this.#wire.discard()
  }

  /** Gives up what has not been read. */
  cancel(): void {
    this.#wire.cancel()
  }

  get #isPlain(): boolean {
    return this.#encoding === '' || this.#encoding === 'identity'
  }

  #failed(thrown: unknown): never {
    this.#wire.cancel()
    throw this.#hooks.explain(thrown)
  }

  #source(): AsyncIterator<Uint8Array> {
    if (this.#isPlain) return this.#fromWire()
    return this.#decoded()
  }

  #fromWire(): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        const step = await this.#wire.next()
        if (!step.done) this.#hooks.received(step.value.length)
        return step
      },
    }
  }

  async *#decoded(): AsyncGenerator<Uint8Array> {
    const decoder = this.#decoder()
    const wire = { [Symbol.asyncIterator]: () => this.#fromWire() }
    yield* pipeline(Readable.from(wire, { objectMode: false }), decoder, () => undefined)
  }

  #decoder(): Transform {
    switch (this.#encoding) {
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

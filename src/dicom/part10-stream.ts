import { headerTooLarge } from './part10-window.ts'

/**
 * The beginning of a stream, kept while it is looked at, so that the whole stream can be handed on afterwards as if
 * nobody had read from it.
 */
export class Recording {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #kept: Uint8Array[] = []
  readonly #limit: number
  #size = 0

  /** Keeps no more than `limit` bytes and a chunk: a deflated stream can go on for ever without becoming anything. */
  constructor(body: AsyncIterable<Uint8Array>, limit: number) {
    this.#source = body[Symbol.asyncIterator]()
    this.#limit = limit
  }

  /** The next chunk of the source, `undefined` at its end. */
  async pull(): Promise<Uint8Array | undefined> {
    if (this.#size > this.#limit) throw headerTooLarge(this.#limit)
    const next = await this.#source.next()
    if (next.done === true) return undefined
    this.#kept.push(next.value)
    this.#size += next.value.byteLength
    return next.value
  }

  /** From byte `offset` on: what is kept, then what is pulled, which is kept as well. */
  async *from(offset: number): AsyncGenerator<Uint8Array, void, undefined> {
    let skip = offset
    for (let index = 0; ; index++) {
      const chunk = this.#kept[index] ?? (await this.pull())
      if (chunk === undefined) return
      if (skip < chunk.length) yield chunk.subarray(skip)
      skip = Math.max(0, skip - chunk.length)
    }
  }

  /** The whole stream; to be used once, after looking. Leaving it early cancels the source, even before it is read. */
  replay(): AsyncIterableIterator<Uint8Array> {
    const kept = this.#kept.values()
    return {
      [Symbol.asyncIterator]() {
        return this
      },
      next: () => {
        const next = kept.next()
        return next.done === true ? this.#source.next() : Promise.resolve(next)
      },
      return: async () => {
        await this.cancel()
        return { done: true, value: undefined }
      },
    }
  }

  async cancel(): Promise<void> {
    await this.#source.return?.()
  }
}

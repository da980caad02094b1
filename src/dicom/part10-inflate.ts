import { createInflateRaw, type InflateRaw } from 'node:zlib'
import { notDicom } from './part10-element.ts'

/** Deflate makes at most 1032 bytes of one: what one slice can become stays near a megabyte. */
const sliceBytes = 1024

/**
 * Inflates the dataset of a deflated file (PS3.5 A.5) as it is asked for: what is not read is not inflated. Leaving
 * early cancels `chunks`. Throws `bad-request` for bytes that are not deflated or stop early.
 */
export async function* inflating(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  const inflater = new Inflater()
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length && !inflater.ended; at += sliceBytes) {
        yield* await inflater.write(chunk.subarray(at, at + sliceBytes))
      }
      if (inflater.ended) return
    }
    yield* await inflater.finish()
  } finally {
    inflater.close()
  }
}

/** zlib's stream with answers: each write resolves with what came out of it. */
class Inflater {
  ended = false
  readonly #stream: InflateRaw = createInflateRaw()
  #output: Buffer[] = []
  #wake: () => void = () => undefined
  #failure: Error | undefined

  constructor() {
    this.#stream.on('data', (chunk: Buffer) => this.#output.push(chunk))
    this.#stream.on('end', () => this.#settle())
    this.#stream.on('close', () => this.#settle())
    this.#stream.on('error', (error) => {
      this.#failure = error
      this.#settle()
    })
  }

  /** After the last deflate block zlib ends and answers no further write: `end` has to wake the writer too. */
  write(slice: Uint8Array): Promise<Buffer[]> {
    return this.#wait((done) => this.#stream.write(slice, done))
  }

  finish(): Promise<Buffer[]> {
    return this.#wait(() => this.#stream.end())
  }

  close(): void {
    this.#stream.destroy()
  }

  async #wait(start: (done: () => void) => void): Promise<Buffer[]> {
    if (!this.ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        start(resolve)
      })
    }
    if (this.#failure !== undefined) throw notDicom('its deflated dataset cannot be inflated', this.#failure)
    return this.#output.splice(0)
  }

  #settle(): void {
    this.ended = true
    this.#wake()
  }
}

import { LinkError } from '../core/errors.ts'

/** Random access to the bytes of one file. */
export interface ByteReader {
  /** Bytes in the file. */
  readonly size: number
  /** The bytes from `offset` on: `length` of them, fewer only at the end of the file. */
  read(offset: number, length: number): Promise<Buffer>
}

/**
 * The part of a file that is in memory at the moment. The walk over elements looks here first, and awaits only what
 * is not there: most elements cost no turn of the event loop.
 */
export interface Window {
  /** The bytes present; the first of them is byte `start` of the file. */
  readonly bytes: Buffer
  readonly start: number
  has(offset: number, length: number): boolean
  /** Makes the range present, or as much of it as the file has. */
  load(offset: number, length: number): Promise<void>
}

/** How many bytes a file is read at a time: the header of a usual instance in one read. */
const blockBytes = 64 * 1024

/** A window that slides over a file. */
export class FileWindow implements Window {
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  readonly #file: ByteReader
  readonly #blockBytes: number

  /** `readAhead`: how many bytes are read at a time. */
  constructor(file: ByteReader, readAhead = blockBytes) {
    this.#file = file
    this.#blockBytes = readAhead
  }

  has(offset: number, length: number): boolean {
    return offset >= this.start && offset + length <= this.start + this.bytes.length
  }

  async load(offset: number, length: number): Promise<void> {
    const wanted = Math.min(Math.max(length, this.#blockBytes), Math.max(this.#file.size - offset, 0))
    this.bytes = wanted > 0 ? await this.#file.read(offset, wanted) : Buffer.alloc(0)
    this.start = offset
  }
}

/** A window over the beginning of a stream: it only grows, up to `limit` bytes. */
export class PrefixWindow implements Window {
  readonly start = 0
  #store: Buffer = Buffer.alloc(0)
  #used = 0
  readonly #pull: () => Promise<Uint8Array | undefined>
  readonly #limit: number

  /** `pull` gives the next chunk of the stream, `undefined` at its end. */
  constructor(pull: () => Promise<Uint8Array | undefined>, limit: number) {
    this.#pull = pull
    this.#limit = limit
  }

  get bytes(): Buffer {
    return this.#used === this.#store.length ? this.#store : this.#store.subarray(0, this.#used)
  }

  has(offset: number, length: number): boolean {
    return offset + length <= this.#used
  }

  /** Throws `too-large` only when the stream really goes on past the limit. */
  async load(offset: number, length: number): Promise<void> {
    while (!this.has(offset, length)) {
      if (this.#used > this.#limit) throw headerTooLarge(this.#limit)
      const chunk = await this.#pull()
      if (chunk === undefined) return
      this.#append(chunk)
    }
  }

  #append(chunk: Uint8Array): void {
    if (this.#used === 0) {
      this.#store = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    } else {
      this.#grow(this.#used + chunk.length)
      this.#store.set(chunk, this.#used)
    }
    this.#used += chunk.length
  }

  /** Doubles, so that a stream of tiny chunks is not copied once a chunk. */
  #grow(needed: number): void {
    if (needed <= this.#store.length) return
    const roomy = Buffer.allocUnsafe(Math.max(needed, this.#store.length * 2, 1024))
    roomy.set(this.#store.subarray(0, this.#used))
    this.#store = roomy
  }
}

export const headerTooLarge = (limit: number): LinkError =>
  new LinkError(
    'too-large',
    `the object does not name its study, series and instance within its first ${limit} bytes, the most that is read ` +
      'of a header',
  )

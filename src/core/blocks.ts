import { slabs } from './slabs.ts'

/** Sizes of blocks are multiples of this: images of one series are of one size. */
const stepBytes = 16 * 1024
/** What is smaller is not worth it, what is larger too much to keep for nothing. */
const minBytes = 32 * 1024
const maxBytes = 1024 * 1024
/** Kept for the next answers. */
const maxFreeBytes = 16 * 1024 * 1024

/**
 * Memory for answers that stay in memory for a while, used over and over: new memory costs several times what it takes
 * to fill it. What nobody gives back is garbage as any buffer is.
 */
export class Blocks {
  readonly #free = new Map<number, ArrayBufferLike[]>()
  readonly #own = new WeakSet<ArrayBufferLike>()
  #freeBytes = 0

  /** Memory that holds whatever it held before. */
  take(length: number): Buffer {
    if (length < minBytes || length > maxBytes) return Buffer.allocUnsafeSlow(length)
    const size = Math.ceil(length / stepBytes) * stepBytes
    const free = this.#free.get(size)?.pop()
    if (free) this.#freeBytes -= size
    return Buffer.from(free ?? this.#made(size), 0, length)
  }

  /** Gives back all that is in these chunks, at which nobody will look again. Other memory than blocks is ignored. */
  give(chunks: readonly Uint8Array[]): void {
    for (const block of new Set(chunks.map(({ buffer }) => buffer))) {
      if (this.#own.has(block) && this.#freeBytes + block.byteLength <= maxFreeBytes) this.#keep(block)
    }
  }

  #made(size: number): ArrayBufferLike {
    const { buffer } = Buffer.allocUnsafeSlow(size)
    this.#own.add(buffer)
    return buffer
  }

  #keep(block: ArrayBufferLike): void {
    this.#freeBytes += block.byteLength
    const free = this.#free.get(block.byteLength)
    if (free) free.push(block)
    else this.#free.set(block.byteLength, [block])
  }
}

/** Of this process: answers of clusters are put into them, and the cache gives them back. */
export const blocks = new Blocks()

/** What is in chunks that nobody else reads, in memory of its own; the chunks are given back. */
export function joined(chunks: readonly Uint8Array[]): Buffer {
  const bytes = blocks.take(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
    slabs.release(chunk)
  }
  return bytes
}

import { crc32 } from 'node:zlib'
import { chained } from '../core/chained.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Part, Parts } from '../dicom/multipart.ts'

/**
 * Bodies of copies of the same object, one after the other. Asked for only when a body has broken off, with why it did;
 * a copy that is left unread is given up when the next one is asked for.
 */
export type Copies = (broken: ClusterError) => AsyncIterable<AsyncIterable<Uint8Array>>

/**
 * A part that is too large to be held back goes out as it comes. When it breaks off, it goes on from another copy that
 * has been the same so far; archives may store an instance differently, and half of each would be neither.
 * Throws what the first copy broke off with when no copy is the same.
 */
export function resumable(part: Part, copies: Copies): Part {
  return part.held ? part : { ...part, body: resuming(part.body, copies) }
}

/** The same for each part of an answer of one object. */
export async function* resumableParts(parts: Parts, copies: Copies): AsyncGenerator<Part> {
  for await (const part of parts) yield resumable(part, copies)
}

async function* resuming(body: AsyncIterable<Uint8Array>, copies: Copies): AsyncGenerator<Uint8Array> {
  const sent = new Prefix()
  const broken = yield* pass(body, sent)
  if (!broken) return
  for await (const copy of copies(broken)) {
    const rest = await behind(sent, copy)
    if (rest && !(yield* pass(rest, sent))) return
  }
  throw broken
}

/** Passes a body on; returns why it broke off, if it did. */
async function* pass(
  body: AsyncIterable<Uint8Array>,
  sent: Prefix,
): AsyncGenerator<Uint8Array, ClusterError | undefined> {
  try {
    for await (const chunk of body) {
      sent.add(chunk)
      yield chunk
    }
    return undefined
  } catch (thrown) {
    if (thrown instanceof ClusterError) return thrown
    throw thrown
  }
}

/** What follows in a copy; `undefined` when it begins in another way, or ends or breaks off before. */
async function behind(sent: Prefix, copy: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array> | undefined> {
  const source = copy[Symbol.asyncIterator]()
  const read = new Prefix()
  try {
    for (;;) {
      const next = await source.next()
      if (next.done) return undefined
      const known = next.value.subarray(0, sent.bytes - read.bytes)
      read.add(known)
      if (read.bytes < sent.bytes) continue
      const further = next.value.subarray(known.byteLength)
      if (read.equals(sent)) return chained(further.byteLength > 0 ? [further] : [], source)
      await source.return?.()
      return undefined
    }
  } catch (thrown) {
    if (thrown instanceof ClusterError) return undefined
    throw thrown
  }
}

/** Where copies of an instance differ if they do: in the attributes before the pixels. */
const headBytes = 64 * 1024

/**
 * The beginning of an object: its head byte for byte, all of it by length and CRC-32, which costs a tenth of what a
 * cryptographic digest would; nobody who could make another object of it is to be feared here.
 */
class Prefix {
  bytes = 0
  #head = Buffer.alloc(0)
  #crc = 0

  add(chunk: Uint8Array): void {
    const missing = headBytes - this.#head.length
    if (missing > 0) this.#head = Buffer.concat([this.#head, chunk.subarray(0, missing)])
    this.#crc = crc32(chunk, this.#crc)
    this.bytes += chunk.byteLength
  }

  equals(other: Prefix): boolean {
    return this.bytes === other.bytes && this.#crc === other.#crc && this.#head.equals(other.#head)
  }
}

import { chained } from '../core/chained.ts'
import type { Part } from './multipart.ts'

/**
 * Holds a part back until it is whole, so that nobody downstream ever sees half of it. A part larger than `maxBytes`
 * is passed on as it comes instead; if its source breaks off, its body throws.
 */
export async function holdBack(part: Part, maxBytes: number): Promise<Part> {
  if (part.held) return part
  const chunks: Uint8Array[] = []
  let size = 0
  const source = part.body[Symbol.asyncIterator]()
  for (;;) {
    const next = await source.next()
    if (next.done) return { ...part, length: size, held: chunks, body: chained(chunks) }
    chunks.push(next.value)
    size += next.value.byteLength
    if (size > maxBytes) return { ...part, body: chained(chunks, source) }
  }
}

/** Passes a body over, so that the part after it can be read. */
export async function readToEnd(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of body);
}

import { createHash } from 'node:crypto'
import type { Uid } from './uid.ts'

/**
 * SHA-256, in lower-case hexadecimal, over the dataset of a Part 10 file as it is encoded: everything from
 * `datasetOffset` on, so that copies whose file meta information was rewritten on the way still compare equal.
 */
export async function datasetDigest(body: AsyncIterable<Uint8Array>, datasetOffset: number): Promise<string> {
  const hashed = hashing(body, datasetOffset)
  for await (const _ of hashed.body);
  return hashed.digest()
}

export interface Hashing {
  /** The bytes as they came. */
  readonly body: AsyncIterable<Uint8Array>
  /** Of all that has been read of `body`; to be called once, after its end. */
  digest(): string
}

/** {@link datasetDigest} of a file on its way to somewhere else. */
export function hashing(body: AsyncIterable<Uint8Array>, datasetOffset: number): Hashing {
  const hash = createHash('sha256')
  return { body: observed(body, datasetOffset, (chunk) => hash.update(chunk)), digest: () => hash.digest('hex') }
}

async function* observed(body: AsyncIterable<Uint8Array>, offset: number, see: (chunk: Uint8Array) => void) {
  let skip = offset
  for await (const chunk of body) {
    if (skip < chunk.length) see(chunk.subarray(skip))
    skip = Math.max(0, skip - chunk.length)
    yield chunk
  }
}

/** By which two sites compare what they hold of a study: SHA-256 in hex over the sorted UIDs, joined by line feeds. */
export const uidsDigest = (instances: Iterable<Uid>): string =>
  createHash('sha256')
    .update([...instances].sort().join('\n'))
    .digest('hex')

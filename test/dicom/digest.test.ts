import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { datasetDigest, hashing } from '../../src/dicom/digest.ts'

const bytes = Buffer.from('preamble and meta|the dataset')
const offset = bytes.indexOf('the')
const expected = createHash('sha256').update('the dataset').digest('hex')

async function* pieces(size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe('the digest of a dataset', () => {
  it.each([1, 5, 18, 100])('leaves out what stands before the dataset, in pieces of %i bytes', async (size) => {
    expect(await datasetDigest(pieces(size), offset)).toBe(expected)
  })

  it('is made of a stream on its way, which it does not change', async () => {
    const { body, digest } = hashing(pieces(4), offset)
    const passed: Uint8Array[] = []
    for await (const chunk of body) passed.push(chunk)
    expect(Buffer.concat(passed)).toEqual(bytes)
    expect(digest()).toBe(expected)
  })
})

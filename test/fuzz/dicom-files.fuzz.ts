import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import type { Attribute, Dataset } from '../../src/dicom/dataset.ts'
import { readMetadata } from '../../src/dicom/metadata.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { locateFrames, openBulkdata } from '../../src/dicom/pixel-data.ts'
import { datasetOf, image, readerOf, values, whole, written } from '../dicom/files.ts'
import { madeInstance } from '../support/made-instance.ts'
import { samples } from '../support/samples.ts'

/** How long the whole of one property may take: what hangs ends here. */
const timeout = 120_000
const maxHeaderBytes = 16 * 1024

const seeds: readonly Buffer[] = [
  Buffer.from(madeInstance({ frames: 3 }).bytes),
  await written(
    { ...image(2, 2, 8, 2), '00400275': { vr: 'SQ', Value: [{ '00400007': { vr: 'LO', Value: ['x'] } }, {}] } },
    { transferSyntaxUID: '1.2.840.10008.1.2.4.50' as never, pixelData: values(Buffer.alloc(20), Buffer.alloc(30)) },
  ),
  ...samples()
    .map((path) => readFileSync(path))
    .filter((bytes) => bytes.length < 50_000),
]

/** A file with some bytes replaced, a piece taken out and another one cut off or doubled. */
const damaged = fc
  .tuple(
    fc.constantFrom(...seeds),
    fc.array(fc.tuple(fc.nat(6_000), fc.oneof(fc.constantFrom(0, 0xff, 0xfe, 0x80), fc.nat(255))), { maxLength: 8 }),
    fc.option(fc.tuple(fc.nat(6_000), fc.nat(40))),
    fc.option(fc.nat(8_000)),
  )
  .map(([seed, changes, hole, end]) => {
    const bytes = Buffer.from(seed)
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
    const holed = hole ? Buffer.concat([bytes.subarray(0, hole[0]), bytes.subarray(hole[0] + hole[1])]) : bytes
    return end === null ? holed : holed.subarray(0, end)
  })

const anything = fc.oneof(
  fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
  fc
    .uint8Array({ maxLength: 600 })
    .map((bytes) => Buffer.concat([seeds[0]?.subarray(0, 300) ?? Buffer.alloc(0), bytes])),
)

async function onlyLinkErrors(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof LinkError && error.code !== 'internal') return
    throw error
  }
}

async function* pieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe('readers of DICOM files take anything', () => {
  const input = fc.oneof({ weight: 4, arbitrary: damaged }, { weight: 1, arbitrary: anything })

  it('sniffInstance names what is wrong, or hands on every byte', { timeout }, async () => {
    const property = fc.asyncProperty(input, fc.integer({ min: 1, max: 5_000 }), (bytes, size) =>
      onlyLinkErrors(async () => {
        const { body } = await sniffInstance(pieces(bytes, size), { maxHeaderBytes })
        expect((await whole(body)).equals(bytes)).toBe(true)
      }),
    )
    await fc.assert(property, { numRuns: 1_500 })
  })

  it('readMetadata, locateFrames and openBulkdata name what is wrong', { timeout }, async () => {
    const property = fc.asyncProperty(input, async (bytes) => {
      const file = readerOf(bytes)
      await onlyLinkErrors(async () => JSON.stringify(await readMetadata(file)))
      await onlyLinkErrors(async () => whole((await locateFrames(file)).open(1).body))
      for (const path of ['00400275.1.00400007', '7FE00010']) {
        await onlyLinkErrors(async () => {
          for (const { body } of await openBulkdata(file, path)) await whole(body)
        })
      }
    })
    await fc.assert(property, { numRuns: 1_500 })
  })
})

const text = fc.string({ unit: fc.constantFrom('a', 'Z', ' ', 'ü', '山', 'Ω', '7', '.', '😀'), maxLength: 12 })
const trimmedText = text.map((value) => value.trim()).filter((value) => value !== '')

const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.array(trimmedText, { minLength: 1, maxLength: 3 }).map((Value) => ({ vr: 'LO', Value })),
  trimmedText.map((value) => ({ vr: 'UT', Value: [value] })),
  trimmedText.map((Alphabetic) => ({ vr: 'PN', Value: [{ Alphabetic }] })),
  fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 5 }).map((Value) => ({ vr: 'US', Value })),
  fc.array(fc.integer(), { minLength: 1, maxLength: 5 }).map((Value) => ({ vr: 'SL', Value })),
  fc
    .array(fc.integer({ min: -99_999, max: 99_999 }), { minLength: 1, maxLength: 3 })
    .map((Value) => ({ vr: 'IS', Value })),
  fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => ({ vr: 'FD', Value: [value] })),
  fc.uint8Array({ minLength: 1, maxLength: 100 }).map((bytes) => ({
    vr: 'OB',
    InlineBinary: Buffer.from(bytes.length % 2 ? [...bytes, 0] : bytes).toString('base64'),
  })),
  fc.constantFrom('LO', 'SQ', 'US', 'OB', 'DS').map((vr) => ({ vr })),
)

const anyTag = fc
  .tuple(fc.integer({ min: 0x0009, max: 0x5fff }), fc.integer({ min: 0x0100, max: 0xfffe }))
  .map(([group, element]) =>
    [group, element]
      .map((part) => part.toString(16).padStart(4, '0'))
      .join('')
      .toUpperCase(),
  )
  .filter((tag) => !tag.startsWith('0020000') && tag !== '00280103')

const { dataset } = fc.letrec<{ dataset: Dataset; item: Attribute }>((tie) => ({
  dataset: fc.dictionary(anyTag, fc.oneof({ maxDepth: 3 }, attribute, tie('item')), { maxKeys: 6 }),
  item: fc.array(tie('dataset'), { minLength: 1, maxLength: 2 }).map((Value) => ({ vr: 'SQ', Value })),
}))

describe('what is written is read', () => {
  it('any dataset comes back as it was', { timeout }, async () => {
    const property = fc.asyncProperty(dataset, async (attributes) => {
      const read = await readMetadata(readerOf(await written(attributes)))
      expect(JSON.parse(JSON.stringify(read))).toMatchObject(JSON.parse(JSON.stringify(attributes)))
      expect(datasetOf(await written(read)).equals(datasetOf(await written(attributes)))).toBe(true)
    })
    await fc.assert(property, { numRuns: 500 })
  })
})

import { deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { readMetadata } from '../../src/dicom/metadata.ts'
import { frameMediaType, locateFrames, openBulkdata } from '../../src/dicom/pixel-data.ts'
import type { WriteOptions } from '../../src/dicom/write.ts'
import { datasetOf, fileOf, haveSamples, image, readerOf, sampleBytes, values, whole, written } from './files.ts'

const jpegLossless = '1.2.840.10008.1.2.4.70' as WriteOptions['transferSyntaxUID']
const mpeg4 = '1.2.840.10008.1.2.4.102' as WriteOptions['transferSyntaxUID']
const counting = (length: number) => Buffer.from(Uint8Array.from({ length }, (_, index) => index))
const bytes = (...numbers: number[]) => Buffer.from(numbers)

async function frame(file: Uint8Array, number: number): Promise<Buffer> {
  const { length, body } = (await locateFrames(readerOf(file))).open(number)
  const read = await whole(body)
  expect(read).toHaveLength(length)
  return read
}

async function bulkdata(file: Uint8Array, path: string) {
  const pieces = []
  for (const { length, body, mediaType } of await openBulkdata(readerOf(file), path)) {
    const read = await whole(body)
    expect(read).toHaveLength(length)
    pieces.push({ read, mediaType })
  }
  return pieces
}

/** Encapsulated pixel data of items as given, the first one the Basic Offset Table. */
function encapsulated(frames: number, items: readonly Buffer[], extended: Dataset = {}): Promise<Buffer> {
  const fragments = items.map((item) => Buffer.concat([bytes(0xfe, 0xff, 0, 0xe0, item.length, 0, 0, 0), item]))
  const value = Buffer.concat([...fragments, bytes(0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0)])
  const header = bytes(0xe0, 0x7f, 0x10, 0, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff)
  const head = written({ ...image(2, 2, 8, frames), ...extended }, { transferSyntaxUID: jpegLossless })
  return head.then((file) => Buffer.concat([file, header, value]))
}

const offsets = (...numbers: number[]) => Buffer.from(new Uint32Array(numbers).buffer)

/** Eight pixels of one bit a byte, the first one in the lowest bit. */
function packed(pixels: Uint8Array): Buffer {
  const bits = Buffer.alloc(Math.ceil(pixels.length / 8))
  for (const [index, bit] of pixels.entries()) bits[index >> 3] = (bits[index >> 3] ?? 0) | (bit << (index & 7))
  return bits
}

describe('locateFrames', () => {
  it('finds uncompressed frames by their size', async () => {
    const file = await written(image(2, 3, 16, 3), { pixelData: values(counting(36)) })
    const located = await locateFrames(readerOf(file))
    expect(located).toMatchObject({ transferSyntaxUID: '1.2.840.10008.1.2.1', mediaType: 'application/octet-stream' })
    expect(located.frames).toHaveLength(3)
    expect(await frame(file, 2)).toEqual(counting(36).subarray(12, 24))
    expect(() => located.open(0)).toThrow(/out of range/)
    expect(() => located.open(4)).toThrow(/3 frame/)
  })

  it('moves a frame of one-bit pixels that begins inside of a byte to its beginning', async () => {
    const file = await written(image(3, 4, 1, 3), { pixelData: values(bytes(0xff, 0x0f, 0xab, 0x3c, 0x0d)) })
    expect(await frame(file, 1)).toEqual(bytes(0xff, 0x0f))
    expect(await frame(file, 2)).toEqual(bytes(0xb0, 0x0a))
    expect(await frame(file, 3)).toEqual(bytes(0x3c, 0x0d))
  })

  it('moves large frames of one-bit pixels piece by piece', async () => {
    const rows = 1001
    const pixels = Uint8Array.from({ length: rows * rows * 2 }, (_, index) => ((index * index) >> 7) & 1)
    const file = await written(image(rows, rows, 1, 2), { pixelData: values(packed(pixels)) })
    expect((await frame(file, 2)).equals(packed(pixels.subarray(rows * rows)))).toBe(true)
  })

  it('knows that native 4:2:2 pixels store two samples of three', async () => {
    const ybr = { '00280002': { vr: 'US', Value: [3] }, '00280004': { vr: 'CS', Value: ['YBR_FULL_422'] } }
    const file = await written({ ...image(2, 2, 8, 2), ...ybr }, { pixelData: values(counting(16)) })
    expect(await frame(file, 2)).toEqual(counting(16).subarray(8))
  })

  it('takes all fragments of a single compressed frame', async () => {
    const file = await encapsulated(1, [bytes(), bytes(1, 2), bytes(3, 4), bytes(5, 6)])
    expect(await locateFrames(readerOf(file))).toMatchObject({
      transferSyntaxUID: jpegLossless,
      mediaType: 'image/jpeg',
    })
    expect(await frame(file, 1)).toEqual(bytes(1, 2, 3, 4, 5, 6))
  })

  it.each([
    ['the Basic Offset Table', [offsets(0, 10), bytes(1, 2), bytes(3, 4), bytes(5, 6)], bytes(3, 4, 5, 6)],
    ['one fragment each', [bytes(), bytes(1, 2), bytes(3, 4)], bytes(3, 4)],
    [
      'the end of each bit stream',
      [bytes(), bytes(1, 2), bytes(0xff, 0xd9), bytes(5, 0xff, 0xd9, 0)],
      bytes(5, 0xff, 0xd9, 0),
    ],
  ])('tells compressed frames apart by %s', async (_, items, second) => {
    expect(await frame(await encapsulated(2, items), 2)).toEqual(second)
  })

  it('finds frames by the Extended Offset Table', async () => {
    const wide = (...numbers: bigint[]) => Buffer.from(new BigUint64Array(numbers).buffer).toString('base64')
    const file = await encapsulated(2, [bytes(), bytes(1, 2), bytes(3, 4, 5, 0)], {
      '7FE00001': { vr: 'OV', InlineBinary: wide(0n, 10n) },
      '7FE00002': { vr: 'OV', InlineBinary: wide(2n, 3n) },
    })
    expect(await frame(file, 2)).toEqual(bytes(3, 4, 5))
  })

  it('takes a video as one frame, however many it shows', async () => {
    const file = await written(image(8, 8, 8, 100), { transferSyntaxUID: mpeg4, pixelData: values(bytes(1, 2, 3, 4)) })
    const { frames, mediaType } = await locateFrames(readerOf(file))
    expect([frames.length, mediaType]).toEqual([1, 'video/mp4'])
  })

  it('reads frames out of a deflated dataset, in any order', async () => {
    const pixels = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) >> 3))
    const plain = await written(image(300, 500, 8, 2), { pixelData: values(pixels) })
    const located = await locateFrames(readerOf(fileOf('1.2.840.10008.1.2.1.99', deflateRawSync(datasetOf(plain)))))
    expect(await whole(located.open(2).body)).toEqual(pixels.subarray(150_000))
    expect(await whole(located.open(1).body)).toEqual(pixels.subarray(0, 150_000))
  })

  it('says when there is no pixel data, or less than the frames it should hold', async () => {
    await expect(locateFrames(readerOf(await written({})))).rejects.toMatchObject({ code: 'not-found' })
    const short = await written(image(4, 4, 8, 2), { pixelData: values(Buffer.alloc(30)) })
    await expect(locateFrames(readerOf(short))).rejects.toMatchObject({ code: 'bad-request' })
    const unclear = await encapsulated(2, [bytes(), bytes(1, 2), bytes(3, 4), bytes(5, 6)])
    await expect(locateFrames(readerOf(unclear))).rejects.toThrow(/cannot be told apart/)
  })

  it.each([
    ['1.2.840.10008.1.2.5', 'image/dicom-rle'],
    ['1.2.840.10008.1.2.4.50', 'image/jpeg'],
    ['1.2.840.10008.1.2.4.81', 'image/jls'],
    ['1.2.840.10008.1.2.4.90', 'image/jp2'],
    ['1.2.840.10008.1.2.4.201', 'image/jphc'],
    ['1.2.840.10008.1.2.1', 'application/octet-stream'],
  ])('gives frames of %s as %s', (syntax, mediaType) => expect(frameMediaType(syntax)).toBe(mediaType))
})

describe('openBulkdata', () => {
  it('opens every BulkDataURI of the metadata, in sequences too', async () => {
    const large = (fill: number) => ({ vr: 'OW', InlineBinary: Buffer.alloc(2_000, fill).toString('base64') })
    const file = await written({
      '00431029': large(1),
      '00880200': {
        vr: 'SQ',
        Value: [{ '00431029': large(2) }, { '00880200': { vr: 'SQ', Value: [{ '00431029': large(3) }] } }],
      },
    })
    expect((await readMetadata(readerOf(file)))['00431029']?.BulkDataURI).toBe('bulkdata/00431029')
    for (const [path, fill] of Object.entries({
      'bulkdata/00431029': 1,
      'bulkdata/00880200.1.00431029': 2,
      '00880200.2.00880200.1.00431029': 3,
    })) {
      expect((await bulkdata(file, path)).map(({ read }) => read)).toEqual([Buffer.alloc(2_000, fill)])
    }
  })

  it.each(['', 'x', '0043102', '00431029.1', '00880200', '00880200.2.00431029', '00990099', '../../etc/passwd'])(
    'finds nothing at %j',
    async (path) => {
      const file = await written({ '00880200': { vr: 'SQ', Value: [{}] } })
      await expect(openBulkdata(readerOf(file), path)).rejects.toMatchObject({ code: 'not-found' })
    },
  )

  it('gives compressed pixel data frame by frame, uncompressed in one piece', async () => {
    const mediaType = `image/jpeg; transfer-syntax=${jpegLossless}`
    const single = await encapsulated(1, [bytes(), bytes(1, 2), bytes(3, 4)])
    expect(await bulkdata(single, '7FE00010')).toEqual([{ read: bytes(1, 2, 3, 4), mediaType }])
    const double = await encapsulated(2, [bytes(), bytes(1, 2), bytes(3, 4)])
    expect(await bulkdata(double, '7FE00010')).toEqual([
      { read: bytes(1, 2), mediaType },
      { read: bytes(3, 4), mediaType },
    ])
    const plain = await written(image(2, 2, 8, 2), { pixelData: values(counting(4), counting(4)) })
    expect(await bulkdata(plain, '7FE00010')).toEqual([
      { read: Buffer.concat([counting(4), counting(4)]), mediaType: 'application/octet-stream' },
    ])
  })
})

describe.skipIf(!haveSamples)('pixel data of files as they occur', () => {
  it('is little endian whatever the file is, as frame and as bulk data', async () => {
    const expected = await frame(sampleBytes('MR_small'), 1)
    expect(await frame(sampleBytes('MR_small_bigendian'), 1)).toEqual(expected)
    expect(await frame(sampleBytes('MR_small_implicit'), 1)).toEqual(expected)
    const [value] = await bulkdata(sampleBytes('MR_small_bigendian'), 'bulkdata/7FE00010')
    expect(value?.read).toEqual(expected)
  })

  it('holds as many frames as the file says', async () => {
    const cine = await locateFrames(readerOf(sampleBytes('examples_ybr_color')))
    expect([cine.frames.length, cine.mediaType]).toEqual([30, 'image/jpeg'])
    for (const number of [1, 15, 30]) {
      const jpeg = (await frame(sampleBytes('examples_ybr_color'), number)).toString('hex')
      expect(jpeg).toMatch(/^ffd8.*ffd9(00)?$/)
    }
    expect((await locateFrames(readerOf(sampleBytes('SC_rgb_rle_2frame')))).frames).toHaveLength(2)
    expect((await locateFrames(readerOf(sampleBytes('image_dfl')))).frames).toHaveLength(1)
  })

  it('opens the samples of a waveform, which lie in a sequence', async () => {
    const [samples] = await bulkdata(sampleBytes('waveform_ecg'), 'bulkdata/54000100.2.54001010')
    expect(samples?.read).toHaveLength(28_800)
  })
})

import codecs from 'dcmjs-codecs'
import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { render } from '../../src/render/render.ts'
import { sampleBytes } from '../dicom/files.ts'
import { sample } from '../support/samples.ts'
import { type MadeElement, uint16 } from './made-bytes.ts'
import { identifiers, type MadeImage, madeFile, madeImage, wedge } from './made-image.ts'
import { converted, haveDcmtk, limits } from './pictures.ts'

const grey: MadeImage = { rows: 16, columns: 16, pixels: Uint8Array.from(wedge(16, 16, 0, 255)) }
const us = (tag: string, value: number): MadeElement => ({ tag, vr: 'US', value: [value] })

async function refusal(file: Uint8Array, request: { frame?: number; mediaTypes?: string[] } = {}): Promise<LinkError> {
  const { frame = 1, mediaTypes = ['image/jpeg'] } = request
  const refused = await render({ file, frame, mediaTypes, parameters: {} }, limits).catch((error: unknown) => error)
  if (refused instanceof LinkError) return refused
  throw new Error('it was not refused', { cause: refused })
}

describe('what no picture is made of', () => {
  test.each([
    ['a report', madeFile(identifiers('1.2.840.10008.5.1.4.1.1.88.11')), /no pixel data/],
    ['pixels of four samples', madeImage({ ...grey, samplesPerPixel: 4, photometric: 'ARGB' }), /4 samples/],
    ['an unknown photometric interpretation', madeImage({ ...grey, photometric: 'HSV' }), /"HSV"/],
    ['samples of 12 bits', madeImage({ ...grey, bitsAllocated: 12 }), /12 bits/],
    ['a palette without colours', madeImage({ ...grey, photometric: 'PALETTE COLOR' }), /palette/],
    ['video', madeImage({ ...grey, syntax: '1.2.840.10008.1.2.4.102', pixels: [Buffer.alloc(8)] }), /1\.2\.4\.102/],
  ])('%s', async (_, file, text) => {
    const error = await refusal(file)
    expect(error).toMatchObject({ code: 'not-acceptable', message: expect.stringMatching(text) })
    expect(error.message).toContain('application/dicom')
  })

  test('a type of picture that is not offered', async () => {
    const error = await refusal(madeImage(grey), { mediaTypes: ['image/gif', 'video/mp4'] })
    expect(error).toMatchObject({ code: 'not-acceptable', message: expect.stringContaining('image/png') })
  })

  test('a frame that there is not', async () => {
    expect(await refusal(madeImage(grey), { frame: 2 })).toMatchObject({ code: 'not-found' })
  })

  const published = ['test-SR', 'rtstruct', 'waveform_ecg'].filter((name) => sample(`${name}.dcm`))

  test.skipIf(published.length === 0).each(published)('the published %s', async (name) => {
    expect(await refusal(sampleBytes(name))).toMatchObject({ code: 'not-acceptable' })
  })
})

const j2k = { ...grey, syntax: '1.2.840.10008.1.2.4.90' }
const jpeg = { ...grey, syntax: '1.2.840.10008.1.2.4.50' }
/** The beginning of a JPEG: start, and a frame of so many rows and columns. */
const jpegOf = (rows: number, columns: number) => {
  const frame = Buffer.from('ffd8ffc0000b0800000000010111000000', 'hex').subarray(0, 15)
  frame.writeUInt16BE(rows, 7)
  frame.writeUInt16BE(columns, 9)
  return Buffer.concat([frame, Buffer.from('ffda0008010100003f00ffd9', 'hex')])
}
const codestreamOf = (rows: number, columns: number, step = 1) => {
  const size = Buffer.alloc(49)
  size.writeUInt32BE(0xff4fff51)
  size.writeUInt16BE(41, 4)
  size.writeUInt32BE(columns, 8)
  size.writeUInt32BE(rows, 12)
  size.writeUInt16BE(1, 40)
  size.set([7, step, step], 42)
  return size
}

describe('bombs', () => {
  test('a frame of more pixels than there may be', async () => {
    const claims = { rows: 65_535, columns: 65_535 }
    for (const image of [
      { ...grey, ...claims },
      { ...jpeg, ...claims, pixels: [jpegOf(65_535, 65_535)] },
    ]) {
      expect(await refusal(madeImage(image))).toMatchObject({
        code: 'not-acceptable',
        message: expect.stringContaining('65535'),
      })
    }
  })

  test.each([
    ['a JPEG', { ...jpeg, pixels: [jpegOf(65_500, 65_500)] }],
    ['a JPEG-LS', { ...jpeg, syntax: '1.2.840.10008.1.2.4.80', pixels: [jpegOf(65_500, 65_500)] }],
    ['a JPEG 2000', { ...j2k, pixels: [codestreamOf(2 ** 31, 2 ** 31)] }],
    ['an HTJ2K', { ...j2k, syntax: '1.2.840.10008.1.2.4.201', pixels: [codestreamOf(60_000, 60_000)] }],
  ])('%s that is larger than its dataset says', async (_, image) => {
    expect(await refusal(madeImage(image))).toMatchObject({
      code: 'bad-gateway',
      message: expect.stringContaining('16 × 16'),
    })
  })

  test('an image of too many frames', async () => {
    const file = madeImage({ ...grey, elements: [{ tag: '00280008', vr: 'IS', value: '999999999' }] })
    expect(await refusal(file)).toMatchObject({ code: 'bad-gateway' })
  })

  test('run-length encoding that would write outside of its frame', async () => {
    const header = Buffer.alloc(64)
    header.writeUInt32LE(1)
    header.writeUInt32LE(64, 4)
    const runs = Buffer.alloc(2000, Buffer.from([0x81, 7]))
    const image = { ...grey, syntax: '1.2.840.10008.1.2.5', pixels: [Buffer.concat([header, runs])] }
    const { bytes } = await render(
      { file: madeImage(image), frame: 1, mediaTypes: ['image/png'], parameters: {} },
      limits,
    )
    expect(bytes.length).toBeGreaterThan(0)
    header.writeUInt32LE(1_000_000, 4)
    expect(await refusal(madeImage({ ...image, pixels: [Buffer.concat([header, runs])] }))).toMatchObject({
      code: 'bad-gateway',
    })
  })
})

describe('damage is told as such, and without what the file says of a patient', () => {
  test.each([
    ['no DICOM file', Buffer.from('hello')],
    ['a file that breaks off', madeImage(grey).subarray(0, -100)],
    ['fewer pixels than frames need', madeImage({ ...grey, rows: 17 })],
    ['no rows', madeImage({ ...grey, rows: 0 })],
    ['a JPEG that is none', madeImage({ ...jpeg, pixels: [Buffer.alloc(100, 7)] })],
    ['a JPEG without its scan', madeImage({ ...jpeg, pixels: [jpegOf(16, 16).subarray(0, 15)] })],
    ['a JPEG without tables', madeImage({ ...jpeg, pixels: [jpegOf(16, 16)] })],
    ['a JPEG 2000 that is nothing but its size', madeImage({ ...j2k, pixels: [codestreamOf(16, 16)] })],
    [
      'run-length encoding without segments',
      madeImage({ ...grey, syntax: '1.2.840.10008.1.2.5', pixels: [Buffer.alloc(70)] }),
    ],
    [
      'a lookup table without its end',
      madeImage({ ...grey, elements: [{ tag: '00283010', vr: 'SQ', value: [shortLut()] }] }),
    ],
  ])('%s', async (_, file) => {
    const error = await refusal(file)
    expect(error.code).toBe('bad-gateway')
    expect(`${error.message} ${error.cause}`).not.toMatch(/Made|MADE/)
  })

  function shortLut(): MadeElement[] {
    return [
      { tag: '00283002', vr: 'US', value: [256, 0, 8] },
      { tag: '00283006', vr: 'OW', value: uint16([1, 2, 3]) },
    ]
  }

  test.skipIf(!haveDcmtk).each([
    ['RLE', 'dcmcrle', []],
    ['JPEG', 'dcmcjpeg', ['+eb']],
    ['JPEG lossless', 'dcmcjpeg', ['+e1']],
    ['JPEG-LS', 'dcmcjpls', ['+el']],
  ] as const)('%s whose second half is missing', async (_, tool, args) => {
    const file = converted(
      tool,
      args,
      madeImage({ ...grey, rows: 64, columns: 64, pixels: Uint8Array.from(wedge(64, 64, 0, 255)) }),
    )
    const at = file.lastIndexOf(Buffer.from('feff00e0', 'hex'))
    const length = file.readUInt32LE(at + 4)
    const half = file.subarray(at + 8, at + 8 + Math.floor(length / 4) * 2)
    const head = Buffer.from('feff00e000000000', 'hex')
    head.writeUInt32LE(half.length, 4)
    const cut = Buffer.concat([file.subarray(0, at), head, half, Buffer.from('feffdde000000000', 'hex')])
    expect(await refusal(cut)).toMatchObject({ code: 'bad-gateway' })
  })

  test('decoders that failed are not used again', async () => {
    await refusal(madeImage({ ...jpeg, pixels: [jpegOf(16, 16)] }))
    expect(codecs.NativeCodecs.isInitialized()).toBe(false)
  })

  test('colours in fewer pixels than the image has are not guessed', async () => {
    const file = madeImage({ ...j2k, pixels: [codestreamOf(16, 16, 2)] })
    expect(await refusal(file)).toMatchObject({ code: 'not-acceptable' })
  })

  test('bits that contradict each other are read as far as they make sense', async () => {
    const file = madeImage({ ...grey, bitsStored: 77, elements: [us('00280120', 3)] })
    await expect(render({ file, frame: 1, mediaTypes: ['image/png'], parameters: {} }, limits)).resolves.toMatchObject({
      contentType: 'image/png',
    })
  })
})

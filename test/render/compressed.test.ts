import codecs from 'dcmjs-codecs'
import { beforeAll, describe, expect, test } from 'vitest'
import { locateFrames } from '../../src/dicom/pixel-data.ts'
import { readerOf, sampleBytes } from '../dicom/files.ts'
import { sample } from '../support/samples.ts'
import { int16, uint16 } from './made-bytes.ts'
import { type MadeImage, madeImage, wedge } from './made-image.ts'
import { converted, difference, haveDcmtk, meanDifference, shown, shownByDcmtk } from './pictures.ts'

const size = { rows: 48, columns: 64 }
const planes = [wedge(48, 64, 0, 255), wedge(48, 64, 200, 60), wedge(48, 64, 30, 200)]
const colours = Uint8Array.from({ length: 48 * 64 * 3 }, (_, at) => planes[at % 3]?.[Math.floor(at / 3)] ?? 0)

const grey8: MadeImage = { ...size, pixels: Uint8Array.from(wedge(48, 64, 10, 240)) }
const grey12: MadeImage = { ...size, bitsAllocated: 16, bitsStored: 12, pixels: uint16(wedge(48, 64, 100, 4000)) }
const grey16: MadeImage = { ...size, bitsAllocated: 16, pixels: uint16(wedge(48, 64, 100, 65_000)) }
const signed16: MadeImage = { ...size, bitsAllocated: 16, signed: true, pixels: int16(wedge(48, 64, -1000, 3000)) }
const rgb: MadeImage = { ...size, samplesPerPixel: 3, photometric: 'RGB', pixels: colours }

describe.skipIf(!haveDcmtk)('what dcmtk compressed looks as it does with dcmtk', () => {
  test.each([
    ['RLE, 8 bits', 'dcmcrle', [], grey8],
    ['RLE, 16 signed bits', 'dcmcrle', [], signed16],
    ['RLE, colours', 'dcmcrle', [], rgb],
    ['JPEG baseline', 'dcmcjpeg', ['+eb'], grey8],
    ['JPEG baseline, colours', 'dcmcjpeg', ['+eb', '+s4'], rgb],
    ['JPEG baseline, colours as they are', 'dcmcjpeg', ['+eb', '+cr'], rgb],
    ['JPEG extended, 12 bits', 'dcmcjpeg', ['+ee'], grey12],
    ['JPEG lossless, any predictor', 'dcmcjpeg', ['+el', '+sv', '4'], grey12],
    ['JPEG lossless, 8 bits', 'dcmcjpeg', ['+e1'], grey8],
    ['JPEG lossless, 16 bits', 'dcmcjpeg', ['+e1'], grey16],
    ['JPEG lossless, signed', 'dcmcjpeg', ['+e1'], signed16],
    ['JPEG lossless, colours', 'dcmcjpeg', ['+e1'], rgb],
  ] as const)('%s', async (_, tool, args, image) => {
    const file = converted(tool, args, madeImage(image))
    const range = image.samplesPerPixel === 3 ? [] : ['+Wm']
    expect(difference(await shown(file), shownByDcmtk(file, range))).toBeLessThanOrEqual(1)
  })

  test('JPEG baseline with colours in fewer pixels, spread out again a little differently', async () => {
    const file = converted('dcmcjpeg', ['+eb', '+s2'], madeImage(rgb))
    expect(meanDifference(await shown(file), shownByDcmtk(file, []))).toBeLessThan(2)
  })

  test.each([
    ['JPEG-LS, 8 bits', ['+el'], grey8],
    ['JPEG-LS, 12 bits', ['+el'], grey12],
    ['JPEG-LS near lossless', ['+en', '+md', '4'], grey12],
    ['JPEG-LS, colours by pixel', ['+el', '+is'], rgb],
    ['JPEG-LS, colours by line', ['+el', '+il'], rgb],
    ['JPEG-LS, colours by plane', ['+el', '+in'], rgb],
  ] as const)('%s', async (_, args, image) => {
    const file = converted('dcmcjpls', args, madeImage(image))
    const range = image.samplesPerPixel === 3 ? [] : ['+Wm']
    expect(difference(await shown(file), shownByDcmtk(file, range, 'dcml2pnm'))).toBeLessThanOrEqual(1)
  })

  const published = ['MR_small_RLE', 'JPEG-lossy', 'JPEGLSNearLossless_16'].filter((name) => sample(`${name}.dcm`))

  test.skipIf(published.length === 0).each(published)('the published %s', async (name) => {
    const file = sampleBytes(name)
    const tool = name.startsWith('JPEGLS') ? 'dcml2pnm' : 'dcmj2pnm'
    const range = name.startsWith('MR') ? ['+Wi', '1'] : ['+Wm']
    expect(difference(await shown(file), shownByDcmtk(file, range, tool))).toBeLessThanOrEqual(1)
  })
})

describe('JPEG 2000, which dcmtk does not read, looks as the image did before', () => {
  beforeAll(() => codecs.NativeCodecs.initializeAsync())

  type Encoder = 'encodeJpeg2000' | 'encodeHtJpeg2000'

  function compressed(image: MadeImage, syntax: string, encoder: Encoder, lossy: boolean): Buffer {
    const colours = lossy ? 'YBR_ICT' : 'YBR_RCT'
    const photometric = image.samplesPerPixel === 3 ? colours : 'MONOCHROME2'
    return madeImage({ ...image, photometric, syntax, pixels: [streamOf(image, encoder, lossy)] })
  }

  function streamOf(image: MadeImage, encoder: Encoder, lossy: boolean): Uint8Array {
    const { bitsAllocated = 8, bitsStored = bitsAllocated, samplesPerPixel = 1 } = image
    const context = new codecs.Context({
      width: image.columns,
      height: image.rows,
      bitsAllocated,
      bitsStored,
      samplesPerPixel,
      pixelRepresentation: image.signed ? 1 : 0,
      planarConfiguration: 0,
      photometricInterpretation: image.photometric ?? 'MONOCHROME2',
      decodedBuffer: image.pixels as Uint8Array,
    })
    return codecs.NativeCodecs[encoder](context, { lossy, rate: 3 }).getEncodedBuffer() ?? new Uint8Array()
  }

  const encoders = [
    ['JPEG 2000', '1.2.840.10008.1.2.4.90', 'encodeJpeg2000', false],
    ['JPEG 2000 with loss', '1.2.840.10008.1.2.4.91', 'encodeJpeg2000', true],
    ['HTJ2K', '1.2.840.10008.1.2.4.201', 'encodeHtJpeg2000', false],
    ['HTJ2K with loss', '1.2.840.10008.1.2.4.203', 'encodeHtJpeg2000', true],
  ] as const
  const images = [
    ['8 bits', grey8],
    ['12 bits', grey12],
    ['16 signed bits', signed16],
    ['colours', rgb],
  ] as const

  test.each(
    encoders.flatMap(([name, ...how]) => images.map(([what, image]) => [`${name}, ${what}`, how, image] as const)),
  )('%s', async (_, [syntax, encoder, lossy], image) => {
    const [before, after] = [await shown(madeImage(image)), await shown(compressed(image, syntax, encoder, lossy))]
    if (lossy) expect(meanDifference(before, after)).toBeLessThan(6)
    else expect(after).toEqual(before)
  })

  test('HTJ2K, 8 signed bits', async () => {
    const syntax = '1.2.840.10008.1.2.4.201'
    const greys = wedge(48, 64, -100, 120)
    const wide = { ...size, bitsAllocated: 16, signed: true, pixels: int16(greys) }
    const stream = streamOf(wide, 'encodeHtJpeg2000', false)
    // The depth in its header: the encoder knows no negative values in eight bits.
    stream[42] = 0x87
    const image = { ...size, signed: true }
    const native = madeImage({ ...image, pixels: Uint8Array.from(greys) })
    expect(await shown(madeImage({ ...image, syntax, pixels: [stream] }))).toEqual(await shown(native))
  })

  test('as a JP2 file', async () => {
    const file = compressed(grey8, '1.2.840.10008.1.2.4.90', 'encodeJpeg2000', false)
    const { frames } = await locateFrames(readerOf(file))
    const [{ offset, length } = { offset: 0, length: 0 }] = frames[0]?.fragments ?? []
    const boxes = Buffer.from('0000000c6a5020200d0a870a00000014667479706a703220000000006a703220000000006a703263', 'hex')
    const boxed = Buffer.concat([boxes, file.subarray(offset, offset + length)])
    const other = madeImage({ ...grey8, syntax: '1.2.840.10008.1.2.4.90', pixels: [boxed] })
    expect(await shown(other)).toEqual(await shown(madeImage(grey8)))
  })

  test.skipIf(!sample('MR_small_jp2klossless.dcm'))('the published MR_small_jp2klossless', async () => {
    expect(await shown(sampleBytes('MR_small_jp2klossless'))).toEqual(await shown(sampleBytes('MR_small')))
  })

  test.skipIf(!sample('JPEG2000.dcm'))('the published JPEG2000 shows what JPEG-lossy does', async () => {
    const parameters = { window: '130,260,linear' }
    const one = await shown(sampleBytes('JPEG2000'), { parameters })
    expect(meanDifference(one, await shown(sampleBytes('JPEG-lossy'), { parameters }))).toBeLessThan(4)
  })
})

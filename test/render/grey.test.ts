import { describe, expect, test } from 'vitest'
import { sampleBytes } from '../dicom/files.ts'
import { sample } from '../support/samples.ts'
import { int16, type MadeElement, uint16 } from './made-bytes.ts'
import { type MadeImage, madeImage, wedge } from './made-image.ts'
import { converted, difference, haveDcmtk, shown, shownByDcmtk } from './pictures.ts'

const window = (center: string, width: string, shape?: string): MadeElement[] => [
  { tag: '00281050', vr: 'DS', value: center },
  { tag: '00281051', vr: 'DS', value: width },
  ...(shape === undefined ? [] : [{ tag: '00281056', vr: 'CS', value: shape }]),
]
const rescale = (slope: string, intercept: string): MadeElement[] => [
  { tag: '00281052', vr: 'DS', value: intercept },
  { tag: '00281053', vr: 'DS', value: slope },
]

const size = { rows: 20, columns: 30 }
const deep = { ...size, bitsAllocated: 16, bitsStored: 12 }
const unsigned = uint16(wedge(20, 30, 0, 4000))
const signed = int16(wedge(20, 30, -1000, 1000))

const images: readonly (readonly [string, MadeImage])[] = [
  ['8 bits', { ...size, pixels: Uint8Array.from(wedge(20, 30, 10, 240)), elements: window('120', '100') }],
  ['12 of 16 bits', { ...deep, pixels: unsigned, elements: window('2000', '3000') }],
  ['16 signed bits', { ...deep, bitsStored: 16, signed: true, pixels: signed, elements: window('-100', '900') }],
  ['MONOCHROME1', { ...deep, photometric: 'MONOCHROME1', pixels: unsigned, elements: window('1500', '2000') }],
  ['rescaled', { ...deep, pixels: unsigned, elements: [...window('40', '400'), ...rescale('0.5', '-1024')] }],
  ['a window of one', { ...deep, pixels: unsigned, elements: window('2000', '1') }],
  ['SIGMOID', { ...deep, pixels: unsigned, elements: window('2000', '1500', 'SIGMOID') }],
]

describe.skipIf(!haveDcmtk)('a grey image looks as it does with dcmtk', () => {
  test.each(images)('%s', async (_, image) => {
    const file = madeImage(image)
    expect(difference(await shown(file), shownByDcmtk(file))).toBeLessThanOrEqual(1)
  })

  test('without a window: from its least to its greatest value', async () => {
    const file = madeImage({ ...deep, signed: true, bitsStored: 16, pixels: signed, elements: rescale('2', '7') })
    expect(difference(await shown(file), shownByDcmtk(file, ['+Wm']))).toBeLessThanOrEqual(1)
  })

  test.each(['300,800,linear', '-20.5,99.5,linear', '0,600,sigmoid'])(
    'with the window %s of the client',
    async (asked) => {
      const [center = '', width = '', shape = ''] = asked.split(',')
      const pixels = { ...deep, bitsStored: 16, signed: true, pixels: signed }
      const file = madeImage({ ...pixels, elements: window('0', '2000') })
      const named = madeImage({ ...pixels, elements: window(center, width, shape.toUpperCase()) })
      const picture = await shown(file, { parameters: { window: asked } })
      expect(difference(picture, shownByDcmtk(named))).toBeLessThanOrEqual(1)
      expect(difference(picture, await shown(file))).toBeGreaterThan(20)
    },
  )

  test.each([
    ['LUT of the modality', '00283000', ['+Wm']],
    ['VOI LUT', '00283010', ['+Wl', '1']],
  ] as const)('with a %s', async (_, tag, args) => {
    const curve = Array.from({ length: 4000 }, (_, at) => Math.round(4095 * (at / 3999) ** 2))
    const lut: MadeElement[] = [
      { tag: '00283002', vr: 'US', value: [4000, 100, 12] },
      { tag: '00283003', vr: 'LO', value: 'square' },
      { tag: '00283006', vr: 'US', value: curve },
    ]
    const file = madeImage({ ...deep, pixels: unsigned, elements: [{ tag, vr: 'SQ', value: [lut] }] })
    const picture = await shown(file)
    expect(difference(picture, shownByDcmtk(file, args))).toBeLessThanOrEqual(1)
    expect(difference(picture, await shown(madeImage({ ...deep, pixels: unsigned })))).toBeGreaterThan(20)
  })

  const frames = Uint8Array.from([...wedge(20, 30, 0, 100), ...wedge(20, 30, 90, 250)])

  test('each frame of several', async () => {
    const file = madeImage({ ...size, frames: 2, pixels: frames, elements: window('128', '256') })
    for (const frame of [1, 2]) {
      const other = shownByDcmtk(file, ['+Wi', '1', '+F', String(frame)])
      expect(difference(await shown(file, { frame }), other)).toBeLessThanOrEqual(1)
    }
  })

  test('in big endian', async () => {
    const file = madeImage({ ...deep, pixels: unsigned, elements: window('2000', '3000') })
    const turned = converted('dcmconv', ['+tb'], file)
    expect(difference(await shown(turned), shownByDcmtk(file))).toBeLessThanOrEqual(1)
  })

  test('implicit and deflated', async () => {
    const file = madeImage({ ...deep, pixels: unsigned, elements: window('2000', '3000') })
    for (const form of ['+ti', '+td'])
      expect(await shown(converted('dcmconv', [form], file))).toEqual(await shown(file))
  })

  const published = ['MR_small', 'MR_small_implicit', 'MR_small_bigendian'].filter((name) => sample(`${name}.dcm`))

  test.skipIf(published.length === 0).each(published)('the published %s', async (name) => {
    expect(difference(await shown(sampleBytes(name)), shownByDcmtk(sampleBytes(name)))).toBeLessThanOrEqual(1)
  })
})

describe('what dcmtk does not tell', () => {
  test('each frame has the rescaling and the window of its own functional groups', async () => {
    const group = (center: string, slope: string): MadeElement[] => [
      { tag: '00289132', vr: 'SQ', value: [window(center, '100', 'LINEAR_EXACT')] },
      { tag: '00289145', vr: 'SQ', value: [rescale(slope, '0')] },
    ]
    const groups = [group('50', '1'), group('500', '10')]
    const pixels = Uint8Array.from([0, 25, 50, 100, 40, 45, 50, 60])
    const image = { rows: 1, columns: 4, frames: 2, pixels }
    const file = madeImage({ ...image, elements: [{ tag: '52009230', vr: 'SQ', value: groups }] })
    expect([...(await shown(file, { frame: 1 })).pixels]).toEqual([0, 64, 128, 255])
    expect([...(await shown(file, { frame: 2 })).pixels]).toEqual([0, 0, 128, 255])
    const shared: MadeElement = { tag: '52009229', vr: 'SQ', value: [group('50', '0.5')] }
    const same = madeImage({ ...image, elements: [shared, ...window('1', '2')] })
    expect([...(await shown(same, { frame: 2 })).pixels]).toEqual([51, 57, 64, 76])
  })

  test('values between whole numbers stay what they are', async () => {
    const image = { rows: 1, columns: 4, bitsAllocated: 16, pixels: uint16([0, 1000, 2000, 4000]) }
    const file = madeImage({ ...image, elements: [...window('1.5', '3'), ...rescale('0.001', '0.25')] })
    expect([...(await shown(file)).pixels]).toEqual([32, 159, 255, 255])
  })

  test('padding has no part in the range of values', async () => {
    const image = { rows: 1, columns: 4, bitsAllocated: 16, signed: true, pixels: int16([-2000, 0, 50, 100]) }
    const padded = madeImage({ ...image, elements: [{ tag: '00280120', vr: 'SS', value: [-2000] }] })
    expect([...(await shown(padded)).pixels]).toEqual([0, 0, 128, 255])
    expect([...(await shown(madeImage(image))).pixels]).toEqual([0, 243, 249, 255])
  })

  test('bits beyond those stored are no part of a value', async () => {
    const image = {
      rows: 1,
      columns: 3,
      bitsAllocated: 16,
      bitsStored: 12,
      elements: window('2048', '4096', 'LINEAR_EXACT'),
    }
    const file = madeImage({ ...image, pixels: uint16([0xf000, 0xf800, 0x0fff]) })
    expect([...(await shown(file)).pixels]).toEqual([0, 128, 255])
  })

  test('an image of one grey keeps it', async () => {
    expect([...(await shown(madeImage({ rows: 1, columns: 2, pixels: Buffer.from([10, 10]) }))).pixels]).toEqual([
      10, 10,
    ])
  })

  test.each([
    ['one bit', { bitsAllocated: 1, pixels: Buffer.from([0b0101]) }, [255, 0, 255, 0]],
    ['32 bits', { bitsAllocated: 32, pixels: uint16([0, 0, 0, 0x4000, 0, 0x8000, 0xffff, 0xffff]) }, [0, 64, 128, 255]],
  ] as const)('pixels of %s', async (_, image, greys) => {
    expect([...(await shown(madeImage({ rows: 1, columns: 4, ...image }))).pixels]).toEqual(greys)
  })
})

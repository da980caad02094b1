import { describe, expect, test } from 'vitest'
import { sampleBytes } from '../dicom/files.ts'
import { sample } from '../support/samples.ts'
import { type MadeElement, uint16 } from './made-bytes.ts'
import { type MadeImage, madeImage, wedge } from './made-image.ts'
import { difference, haveDcmtk, shown, shownByDcmtk } from './pictures.ts'

const size = { rows: 16, columns: 24 }
const planes = [wedge(16, 24, 0, 255), wedge(16, 24, 255, 60), wedge(16, 24, 30, 200).reverse()]
const byPlane = Uint8Array.from(planes.flat())
const byPixel = Uint8Array.from({ length: byPlane.length }, (_, at) => planes[at % 3]?.[Math.floor(at / 3)] ?? 0)
/** Y Y Cb Cr for two pixels. */
const byPair = Uint8Array.from({ length: 16 * 24 * 2 }, (_, at) => {
  const pair = Math.floor(at / 4) * 2
  return planes[Math.max(0, (at % 4) - 1)]?.[pair + (at % 4 === 1 ? 1 : 0)] ?? 0
})

const palette = (bits: number, entry: (at: number) => number): MadeElement[] => {
  const data = (at: number) => Array.from({ length: 200 }, (_, index) => entry((index * (at + 1)) % 200))
  return [0, 1, 2].flatMap((colour) => [
    { tag: `0028110${colour + 1}`, vr: 'US', value: [200, 20, bits] },
    { tag: `0028120${colour + 1}`, vr: 'OW', value: uint16(data(colour)) },
  ])
}
const indexes = { ...size, photometric: 'PALETTE COLOR', pixels: Uint8Array.from(wedge(16, 24, 0, 255)) }

const three = { ...size, samplesPerPixel: 3 }
const images: readonly (readonly [string, MadeImage])[] = [
  ['RGB', { ...three, photometric: 'RGB', pixels: byPixel }],
  ['RGB by plane', { ...three, photometric: 'RGB', planar: true, pixels: byPlane }],
  ['YBR_FULL', { ...three, photometric: 'YBR_FULL', pixels: byPixel }],
  ['YBR_FULL by plane', { ...three, photometric: 'YBR_FULL', planar: true, pixels: byPlane }],
  ['YBR_FULL_422', { ...three, photometric: 'YBR_FULL_422', pixels: byPair }],
  ['a palette of 16 bits', { ...indexes, elements: palette(16, (at) => at * 327) }],
  ['a palette of 8 bits in words', { ...indexes, elements: palette(8, (at) => at) }],
]

describe.skipIf(!haveDcmtk)('a colour image looks as it does with dcmtk', () => {
  test.each(images)('%s', async (_, image) => {
    const file = madeImage(image)
    const picture = await shown(file)
    expect(picture.channels).toBe(3)
    // It computes colours from YBR in whole numbers.
    expect(difference(picture, shownByDcmtk(file, []))).toBeLessThanOrEqual(
      image.photometric?.startsWith('YBR') ? 2 : 0,
    )
  })

  const published = ['examples_palette', 'SC_rgb_rle_2frame', 'examples_ybr_color'].filter((it) => sample(`${it}.dcm`))

  test.skipIf(published.length === 0).each(published)('the published %s', async (name) => {
    const file = sampleBytes(name)
    expect(difference(await shown(file), shownByDcmtk(file, ['+F', '1']))).toBeLessThanOrEqual(1)
  })
})

test('colours of sixteen bits keep their eight highest', async () => {
  const pixels = uint16([0xffff, 0x8000, 0x0100])
  const file = madeImage({ rows: 1, columns: 1, samplesPerPixel: 3, photometric: 'RGB', bitsAllocated: 16, pixels })
  expect([...(await shown(file)).pixels]).toEqual([255, 128, 1])
})

test('a window does not touch colours', async () => {
  const file = madeImage({ ...three, photometric: 'RGB', pixels: byPixel })
  expect(await shown(file, { parameters: { window: '10,20,linear' } })).toEqual(await shown(file))
})

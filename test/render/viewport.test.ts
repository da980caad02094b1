import { describe, expect, test } from 'vitest'
import type { Picture } from '../../src/render/picture.ts'
import { parseViewport, throughViewport } from '../../src/render/viewport.ts'
import { madeImage } from './made-image.ts'
import { converted, haveDcmtk, meanDifference, shown, shownByDcmtk } from './pictures.ts'

const maxPixels = 10_000

/** 4 × 3 pixels, each its row and column as one number. */
const picture: Picture = {
  width: 4,
  height: 3,
  channels: 1,
  pixels: Uint8Array.from([11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 34]),
}

const rows = ({ width, height, channels, pixels }: Picture): number[][] =>
  Array.from({ length: height }, (_, row) => [...pixels.subarray(row * width * channels, (row + 1) * width * channels)])

const seen = (text: string, of = picture) => throughViewport(of, parseViewport(text), maxPixels)

describe('a viewport, PS3.18 8.3.5.1.3', () => {
  test.each([
    ['its own size', '4,3', picture.pixels],
    ['a region', '2,2,1,1,2,2', [22, 23, 32, 33]],
    ['a region up to the edges', '2,2,2,1', [23, 24, 33, 34]],
    ['a region with defaults left empty', '4,1,,2,,', [31, 32, 33, 34]],
    ['a region as far as there is an image', '2,1,2,2,9,9', [33, 34]],
    ['turned around from left to right', '4,3,,,-4,', [14, 13, 12, 11, 24, 23, 22, 21, 34, 33, 32, 31]],
    ['turned around from top to bottom', '2,2,0,0,2,-2', [21, 22, 11, 12]],
    ['turned both ways', '2,2,0,0,-2,-2', [22, 21, 12, 11]],
    ['a corner with a sign is one without', '1,1,-3,-2', [34]],
  ] as const)('%s', (_, text, pixels) => {
    expect([...seen(text).pixels]).toEqual([...pixels])
  })

  test.each([
    ['100,100', 100, 75],
    ['100,30', 40, 30],
    ['2,2', 2, 2],
    ['1,1', 1, 1],
    ['100,100,0,0,1,3', 33, 100],
  ] as const)('%s is filled as far as proportions allow: %i × %i', (text, width, height) => {
    expect(seen(text)).toMatchObject({ width, height })
  })

  test('a picture that grows goes from pixel to pixel evenly', () => {
    const two: Picture = { width: 2, height: 1, channels: 1, pixels: Uint8Array.from([0, 100]) }
    expect(rows(seen('8,4', two))).toEqual(Array.from({ length: 4 }, () => [0, 0, 12, 38, 62, 88, 100, 100]))
  })

  test('a picture that shrinks leaves nothing out: one white pixel in a hundred still shows', () => {
    const pixels = new Uint8Array(100 * 100)
    pixels[50 * 100 + 50] = 255
    const small = seen('10,10', { width: 100, height: 100, channels: 1, pixels })
    expect(Math.max(...small.pixels)).toBeGreaterThan(0)
  })

  test('an even picture stays even, in colours too', () => {
    const pixels = Uint8Array.from({ length: 7 * 5 * 3 }, (_, at) => [200, 100, 50][at % 3] ?? 0)
    for (const size of ['3,3', '20,20']) {
      const scaled = seen(size, { width: 7, height: 5, channels: 3, pixels })
      expect(scaled.pixels.every((value, at) => value === [200, 100, 50][at % 3])).toBe(true)
    }
  })

  test.each(['10,10,4,0', '10,10,0,7', '10,10,0,0,0,1'])('%s shows nothing of the image and is refused', (text) => {
    expect(() => seen(text)).toThrow(
      expect.objectContaining({ code: 'bad-request', message: expect.stringContaining('4 × 3') }),
    )
  })

  test('a picture larger than there may be is refused', () => {
    expect(() => seen('400,300')).toThrow(expect.objectContaining({ code: 'bad-request' }))
  })
})

describe.skipIf(!haveDcmtk)('scaled as dcmtk scales', () => {
  const slope = Uint8Array.from({ length: 60 * 90 }, (_, at) => (at % 90) * 2 + Math.floor(at / 90))
  const file = madeImage({ rows: 60, columns: 90, pixels: slope })

  test.each(['30,20', '45,30', '180,120'])('to %s', async (viewport) => {
    const [width = ''] = viewport.split(',')
    const other = shownByDcmtk(converted('dcmscale', ['+Sxv', width], file), ['+Wm'])
    expect(meanDifference(await shown(file, { parameters: { viewport } }), other)).toBeLessThan(2)
  })
})

import type { Attributes } from './attributes.ts'
import { damaged, unrenderable } from './refusals.ts'
import { tags } from './tags.ts'

/** How the samples of a frame lie and what they mean: Image Pixel module, PS3.3 C.7.6.3. */
export interface PixelLayout {
  readonly rows: number
  readonly columns: number
  readonly samplesPerPixel: 1 | 3
  readonly photometricInterpretation: string
  readonly bitsAllocated: number
  readonly bitsStored: number
  readonly highBit: number
  readonly signed: boolean
  /** Colour by plane: all of red, then all of green, then all of blue. */
  readonly planar: boolean
  /** Float or Double Float Pixel Data. */
  readonly float: boolean
}

/** What a sample can be kept in, once it is decoded. */
export type Samples = Uint8Array | Uint16Array | Uint32Array | Float32Array | Float64Array

/** One frame, decoded: a sample in each element, its bits still where High Bit says. */
export interface Frame {
  readonly layout: PixelLayout
  readonly samples: Samples
}

const pixelKinds = [tags.PixelData, tags.FloatPixelData, tags.DoubleFloatPixelData]

/**
 * Reads what the dataset says of its frames. Throws `not-acceptable` for an instance that has no pixels, has more than
 * `maxPixels` in a frame, or pixels of a kind that is not rendered; `bad-gateway` when it contradicts itself.
 */
export function readLayout(attributes: Attributes, maxPixels: number): PixelLayout {
  const kind = pixelKinds.find((tag) => attributes.has(tag))
  if (kind === undefined) throw unrenderable('it has no pixel data')
  const rows = attributes.word(tags.Rows) ?? 0
  const columns = attributes.word(tags.Columns) ?? 0
  if (rows === 0 || columns === 0) throw damaged('it has pixel data, and no Rows (0028,0010) or Columns (0028,0011)')
  if (rows * columns > maxPixels) {
    throw unrenderable(`it has ${columns} × ${rows} pixels, more than the ${maxPixels} that are rendered`)
  }
  const float = kind !== tags.PixelData
  return { rows, columns, float, ...colours(attributes), ...bits(attributes, float) }
}

function colours(attributes: Attributes) {
  const samplesPerPixel = attributes.word(tags.SamplesPerPixel) ?? 1
  if (samplesPerPixel !== 1 && samplesPerPixel !== 3) throw unrenderable(`its pixels have ${samplesPerPixel} samples`)
  const photometricInterpretation = attributes.text(tags.PhotometricInterpretation)
  const expected = samplesPerPixel === 1 ? /^(MONOCHROME[12]|PALETTE COLOR)$/ : /^(RGB|YBR_(FULL(_422)?|RCT|ICT))$/
  if (!expected.test(photometricInterpretation)) {
    const shown = JSON.stringify(photometricInterpretation.slice(0, 16))
    throw unrenderable(`its Photometric Interpretation is ${shown} with ${samplesPerPixel} sample(s) a pixel`)
  }
  return {
    samplesPerPixel,
    photometricInterpretation,
    planar: attributes.word(tags.PlanarConfiguration) === 1,
  } as const
}

function bits(attributes: Attributes, float: boolean) {
  const bitsAllocated = attributes.word(tags.BitsAllocated) ?? 0
  const allowed = float ? [32, 64] : [1, 8, 16, 32]
  if (!allowed.includes(bitsAllocated)) throw unrenderable(`its samples have ${bitsAllocated} bits`)
  // What contradicts itself is read as if it was not there.
  const stored = attributes.word(tags.BitsStored) ?? 0
  const bitsStored = stored >= 1 && stored <= bitsAllocated ? stored : bitsAllocated
  const high = attributes.word(tags.HighBit) ?? 0
  const highBit = high >= bitsStored - 1 && high < bitsAllocated ? high : bitsStored - 1
  return { bitsAllocated, bitsStored, highBit, signed: attributes.word(tags.PixelRepresentation) === 1 }
}

/** From a sample as it lies to the value it stands for: without the bits that are not its own, with its sign. */
export function storedValue({ bitsStored, highBit, signed, float }: PixelLayout): (sample: number) => number {
  if (float) return (sample) => sample
  const above = 31 - highBit
  const unused = 32 - bitsStored
  return signed ? (sample) => (sample << above) >> unused : (sample) => (sample << above) >>> unused
}

import type { Attributes } from './attributes.ts'
import { type Frame, type PixelLayout, type Samples, storedValue } from './layout.ts'
import { type Lut, lookUp, readLut } from './lut.ts'
import { tags } from './tags.ts'
import { greyOf, shapeOf, type Window } from './window.ts'

/** How stored values become greys, PS3.4 N.2: Modality LUT, then VOI LUT. */
export interface GreyTransform {
  readonly toModality: (stored: number) => number
  readonly window: Window | undefined
  readonly voiLut: Lut | undefined
  readonly isPadding: (stored: number) => boolean
}

const lutTags = { descriptor: tags.LUTDescriptor, data: tags.LUTData }

/** What of a frame stands in its own functional groups wins over the shared ones, and those over the dataset. */
export function readGreyTransform(attributes: Attributes, { signed }: PixelLayout): GreyTransform {
  const groups = [
    attributes.item(tags.PerFrameFunctionalGroupsSequence),
    attributes.item(tags.SharedFunctionalGroupsSequence),
  ]
  const inGroups = (tag: number) => groups.map((group) => group?.item(tag)).find((it) => it !== undefined)
  const modalityLut = attributes.item(tags.ModalityLUTSequence)
  const voiLut = attributes.item(tags.VOILUTSequence)
  return {
    toModality: modality(
      modalityLut && readLut(modalityLut, lutTags, signed),
      inGroups(tags.PixelValueTransformationSequence) ?? attributes,
    ),
    window: readWindow(inGroups(tags.FrameVOILUTSequence) ?? attributes),
    voiLut: voiLut && readLut(voiLut, lutTags, signed),
    isPadding: padding(attributes, signed),
  }
}

function modality(lut: Lut | undefined, rescale: Attributes): GreyTransform['toModality'] {
  if (lut !== undefined) return (stored) => lookUp(lut, stored)
  const slope = rescale.decimal(tags.RescaleSlope) || 1
  const intercept = rescale.decimal(tags.RescaleIntercept) ?? 0
  return (stored) => stored * slope + intercept
}

function readWindow(attributes: Attributes): Window | undefined {
  const center = attributes.decimal(tags.WindowCenter)
  const width = attributes.decimal(tags.WindowWidth)
  if (center === undefined || width === undefined || width <= 0) return undefined
  return { center, width, shape: shapeOf(attributes.text(tags.VOILUTFunction)) }
}

/** Pixel Padding Value, PS3.3 C.7.5.1.1.2: alone or the one end of a range. */
function padding(attributes: Attributes, signed: boolean): GreyTransform['isPadding'] {
  const [one, other = one] = [tags.PixelPaddingValue, tags.PixelPaddingRangeLimit].map((tag) => {
    const word = attributes.word(tag)
    return word !== undefined && signed ? (word << 16) >> 16 : word
  })
  if (one === undefined || other === undefined) return () => false
  return (stored) => stored >= Math.min(one, other) && stored <= Math.max(one, other)
}

/**
 * The greys of a frame, 0 is black: through `window` when the client names one, else the first window of the dataset,
 * else its VOI LUT, else from the least to the greatest value there is.
 */
export function toGrey({ layout, samples }: Frame, transform: GreyTransform, window: Window | undefined): Uint8Array {
  const storedOf = storedValue(layout)
  const show = presentation({ layout, samples }, transform, window)
  const sign = layout.photometricInterpretation === 'MONOCHROME1' ? -1 : 1
  const black = sign === 1 ? 0 : 255
  const greyOfSample = (sample: number) => black + sign * show(transform.toModality(storedOf(sample)))
  const greys = new Uint8ClampedArray(samples.length)
  const size = tableSize(samples)
  if (size === undefined) for (let at = 0; at < greys.length; at++) greys[at] = greyOfSample(samples[at] ?? 0)
  else {
    const table = Uint8ClampedArray.from({ length: size }, (_, sample) => greyOfSample(sample))
    for (let at = 0; at < greys.length; at++) greys[at] = table[samples[at] ?? 0] ?? 0
  }
  return new Uint8Array(greys.buffer)
}

/** How many different samples there can be, where they are few enough for a table. */
const tableSize = (samples: Samples): number | undefined =>
  samples.BYTES_PER_ELEMENT > 2 ? undefined : 256 ** samples.BYTES_PER_ELEMENT

function presentation(frame: Frame, transform: GreyTransform, named: Window | undefined): (value: number) => number {
  const window = named ?? transform.window
  if (window !== undefined) return greyOf(window)
  const { voiLut } = transform
  if (voiLut === undefined) return greyOf(wholeRange(frame, transform))
  const brightest = 2 ** voiLut.bits - 1
  return (value) => (255 * lookUp(voiLut, value)) / brightest
}

/** The window from the least to the greatest value of a frame; of what its bits can hold, when all are the same. */
function wholeRange({ layout, samples }: Frame, { toModality, isPadding }: GreyTransform): Window {
  const storedOf = storedValue(layout)
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const sample of distinct(samples)) {
    const stored = storedOf(sample)
    const value = toModality(stored)
    if (isPadding(stored) || !Number.isFinite(value)) continue
    least = Math.min(least, value)
    greatest = Math.max(greatest, value)
  }
  if (least >= greatest) [least, greatest] = possible(layout, toModality)
  return { center: (least + greatest) / 2, width: greatest - least, shape: 'linear-exact' }
}

/** Every sample that occurs, at most a few times. */
function* distinct(samples: Samples): Generator<number> {
  const size = tableSize(samples)
  if (size === undefined) return yield* samples
  const seen = new Uint8Array(size)
  for (const sample of samples) seen[sample] = 1
  for (let sample = 0; sample < size; sample++) if (seen[sample] === 1) yield sample
}

function possible({ bitsStored, signed }: PixelLayout, toModality: GreyTransform['toModality']): [number, number] {
  const lowest = signed ? -(2 ** (bitsStored - 1)) : 0
  const ends = [toModality(lowest), toModality(lowest + 2 ** bitsStored - 1)]
  return [Math.min(...ends), Math.max(...ends)]
}

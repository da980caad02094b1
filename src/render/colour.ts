import type { Attributes } from './attributes.ts'
import { type Frame, storedValue } from './layout.ts'
import { lookUp, readLut } from './lut.ts'
import { unrenderable } from './refusals.ts'
import { tags } from './tags.ts'

/** Red, green and blue of each pixel, eight bits each. Throws `not-acceptable` for samples beyond sixteen bits. */
export function toRgb({ layout, samples }: Frame): Uint8Array {
  if (layout.bitsAllocated > 16) throw unrenderable('its colours have more than 16 bits')
  const pixels = layout.rows * layout.columns
  const [step, plane] = layout.planar ? [1, pixels] : [3, 1]
  const shift = Math.max(layout.highBit - 7, 0)
  const rgb = new Uint8ClampedArray(pixels * 3)
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let sample = 0; sample < 3; sample++) {
      rgb[pixel * 3 + sample] = (samples[pixel * step + sample * plane] ?? 0) >> shift
    }
  }
  if (layout.photometricInterpretation.startsWith('YBR')) fromYbr(rgb)
  return new Uint8Array(rgb.buffer)
}

/** PS3.3 C.7.6.3.1.2, YBR_FULL. */
function fromYbr(pixels: Uint8ClampedArray): void {
  for (let at = 0; at < pixels.length; at += 3) {
    const y = pixels[at] ?? 0
    const cb = (pixels[at + 1] ?? 0) - 128
    const cr = (pixels[at + 2] ?? 0) - 128
    pixels[at] = y + 1.402 * cr
    pixels[at + 1] = y - 0.344136 * cb - 0.714136 * cr
    pixels[at + 2] = y + 1.772 * cb
  }
}

const palettes = [
  { descriptor: tags.RedPaletteColorLookupTableDescriptor, data: tags.RedPaletteColorLookupTableData },
  { descriptor: tags.GreenPaletteColorLookupTableDescriptor, data: tags.GreenPaletteColorLookupTableData },
  { descriptor: tags.BluePaletteColorLookupTableDescriptor, data: tags.BluePaletteColorLookupTableData },
]

/** The colours that the samples are numbers of. Throws `not-acceptable` for a palette that is missing or segmented. */
export function fromPalette({ layout, samples }: Frame, attributes: Attributes): Uint8Array {
  const luts = palettes.map((palette) => readLut(attributes, palette, layout.signed))
  const storedOf = storedValue(layout)
  const rgb = new Uint8Array(samples.length * 3)
  for (const [colour, lut] of luts.entries()) {
    if (lut === undefined) throw unrenderable('its palette is missing or segmented')
    const shift = Math.max(lut.bits - 8, 0)
    for (let pixel = 0; pixel < samples.length; pixel++) {
      rgb[pixel * 3 + colour] = lookUp(lut, storedOf(samples[pixel] ?? 0)) >> shift
    }
  }
  return rgb
}

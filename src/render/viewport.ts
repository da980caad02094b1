import { badRequest } from '../core/errors.ts'
import type { Picture } from './picture.ts'
import { resample } from './resample.ts'

/** The parameter `viewport` of a request, PS3.18 8.3.5.1.3. */
export interface Viewport {
  /** The picture is to be as large as fits into these, its proportions kept. */
  readonly width: number
  readonly height: number
  /** What is shown of the image, in its pixels. */
  readonly region: Region
}

interface Region {
  readonly left: number
  readonly top: number
  /** Up to the edge of the image when absent. Negative ones turn the picture around. */
  readonly width: number | undefined
  readonly height: number | undefined
}

/** Reads what was checked when the request came in: `vw,vh[,sx,sy,sw,sh]`, each of the last four optional. */
export function parseViewport(text: string): Viewport {
  const [width = 0, height = 0, left = 0, top = 0, regionWidth, regionHeight] = text
    .split(',')
    .map((part) => (part === '' ? undefined : Number(part)))
  const region = { left: Math.abs(left), top: Math.abs(top), width: regionWidth, height: regionHeight }
  return { width, height, region }
}

/** Crops, turns around and scales. Throws `bad-request` for a region outside of the image and more than `maxPixels`. */
export function throughViewport(picture: Picture, { width, height, region }: Viewport, maxPixels: number): Picture {
  const shown = crop(picture, region)
  const scale = Math.min(width / shown.width, height / shown.height)
  const size = {
    width: Math.max(1, Math.round(shown.width * scale)),
    height: Math.max(1, Math.round(shown.height * scale)),
  }
  if (size.width * size.height > maxPixels) {
    throw badRequest(`viewport: a picture of ${size.width} × ${size.height} pixels; at most ${maxPixels} are rendered`)
  }
  return resample(shown, size)
}

function crop(picture: Picture, region: Region): Picture {
  const across = span(region.left, region.width, picture.width)
  const down = span(region.top, region.height, picture.height)
  if (across.length < 1 || down.length < 1) {
    throw badRequest(
      `viewport: the region is outside of the image, which has ${picture.width} × ${picture.height} pixels`,
    )
  }
  if (across.length === picture.width && down.length === picture.height && !across.turned && !down.turned)
    return picture
  return cut(picture, across, down)
}

interface Span {
  readonly begin: number
  readonly length: number
  readonly turned: boolean
}

/** Whole pixels from `begin` on, as many of them as the image has. */
function span(begin: number, length: number | undefined, available: number): Span {
  const from = Math.round(begin)
  const to = length === undefined ? available : Math.round(begin + Math.abs(length))
  return { begin: from, length: Math.min(to, available) - from, turned: length !== undefined && length < 0 }
}

function cut(picture: Picture, across: Span, down: Span): Picture {
  const { channels } = picture
  const pixels = new Uint8Array(across.length * down.length * channels)
  let at = 0
  for (let row = 0; row < down.length; row++) {
    const sourceRow = placeIn(down, row) * picture.width
    for (let column = 0; column < across.length; column++) {
      const source = (sourceRow + placeIn(across, column)) * channels
      for (let channel = 0; channel < channels; channel++) pixels[at++] = picture.pixels[source + channel] ?? 0
    }
  }
  return { width: across.length, height: down.length, channels, pixels }
}

const placeIn = ({ begin, length, turned }: Span, index: number): number =>
  begin + (turned ? length - 1 - index : index)

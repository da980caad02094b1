import type { Picture } from './picture.ts'

/**
 * Scales a picture: between pixels when it grows, over all the pixels that become one when it shrinks, so that nothing
 * small is left out.
 */
export function resample(
  picture: Picture,
  { width, height }: { readonly width: number; readonly height: number },
): Picture {
  if (width === picture.width && height === picture.height) return picture
  const { channels } = picture
  const narrowed = scaleRows(picture, width)
  const pixels = scaleColumns({ ...picture, width, pixels: narrowed }, height)
  return { width, height, channels, pixels }
}

/** What becomes one pixel: how many old ones from `begin` on, each with its share. */
interface Share {
  readonly begin: number
  readonly weights: Float32Array
}

/** A triangle around each new pixel, two old ones wide or two new ones, whichever is wider. */
function shares(from: number, to: number): Share[] {
  const step = from / to
  const reach = Math.max(step, 1)
  return Array.from({ length: to }, (_, index) => {
    const center = (index + 0.5) * step - 0.5
    const begin = Math.max(0, Math.ceil(center - reach))
    const end = Math.min(from - 1, Math.floor(center + reach))
    const weights = Float32Array.from({ length: end - begin + 1 }, (_, at) =>
      Math.max(0, 1 - Math.abs(begin + at - center) / reach),
    )
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { begin, weights: weights.map((weight) => weight / sum) }
  })
}

function scaleRows({ width, height, channels, pixels }: Picture, newWidth: number): Float32Array {
  const scaled = new Float32Array(newWidth * height * channels)
  const columns = shares(width, newWidth)
  let at = 0
  for (let row = 0; row < height; row++) {
    for (const { begin, weights } of columns) {
      const first = (row * width + begin) * channels
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0
        for (let old = 0; old < weights.length; old++) {
          sum += (weights[old] ?? 0) * (pixels[first + old * channels + channel] ?? 0)
        }
        scaled[at++] = sum
      }
    }
  }
  return scaled
}

interface Narrowed extends Omit<Picture, 'pixels'> {
  readonly pixels: Float32Array
}

function scaleColumns({ width, height, channels, pixels }: Narrowed, newHeight: number): Uint8Array {
  const stride = width * channels
  const scaled = new Uint8ClampedArray(stride * newHeight)
  for (const [row, { begin, weights }] of shares(height, newHeight).entries()) {
    for (let at = 0; at < stride; at++) {
      let sum = 0
      for (let old = 0; old < weights.length; old++)
        sum += (weights[old] ?? 0) * (pixels[(begin + old) * stride + at] ?? 0)
      scaled[row * stride + at] = sum
    }
  }
  return new Uint8Array(scaled.buffer)
}

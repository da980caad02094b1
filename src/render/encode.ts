import { encode as encodePng } from 'fast-png'
import { LinkError } from '../core/errors.ts'
import { encodeJpeg } from './codecs.ts'
import type { Picture } from './picture.ts'

export type PictureType = 'image/jpeg' | 'image/png'

const offered: readonly string[] = ['image/jpeg', 'image/png'] satisfies PictureType[]
const defaultQuality = 90

/** The first of the media types that can be made. Throws `not-acceptable`. */
export function choosePictureType(mediaTypes: readonly string[]): PictureType {
  for (const type of mediaTypes) {
    if (offered.includes(type)) return type as PictureType
    if (type === '*/*' || type === 'image/*') return 'image/jpeg'
  }
  throw new LinkError('not-acceptable', `a picture of the instance can be had as ${offered.join(' or ')}`)
}

/** `quality`: 1 to 100, of a JPEG (PS3.18 8.3.5.1.2). */
export async function encodePicture(
  picture: Picture,
  type: PictureType,
  quality = defaultQuality,
): Promise<Uint8Array> {
  const { width, height, channels, pixels } = picture
  if (type === 'image/png') return encodePng({ width, height, channels, depth: 8, data: pixels })
  return encodeJpeg({ rows: height, columns: width, samplesPerPixel: channels, samples: pixels }, quality)
}

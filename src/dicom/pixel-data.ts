import { LinkError } from '../core/errors.ts'
import { findElement } from './part10-bulkdata.ts'
import { type Element, notDicom, pixelDataTag, undefinedLength } from './part10-element.ts'
import { encapsulatedFrames } from './part10-fragments.ts'
import { type ImageLayout, readImageLayout } from './part10-image.ts'
import { openPart10 } from './part10-open.ts'
import { type ByteRange, type OpenedValue, openBits, openRanges, openSwapped } from './part10-range.ts'
import { unitBytes } from './part10-value.ts'
import type { ByteReader } from './part10-window.ts'
import { isUid, type Uid } from './uid.ts'

/** The frames of one instance: where they lie, and how to read them. */
export interface LocatedFrames {
  /** Of the frames as `open` gives them: uncompressed ones are Explicit VR Little Endian, whatever the file is. */
  readonly transferSyntaxUID: Uid
  /** Of one frame. */
  readonly mediaType: string
  /** In their order; a video is one. Bytes of the file, or of what comes out of a deflated one. */
  readonly frames: readonly { readonly fragments: readonly ByteRange[] }[]
  /**
   * One frame by its number, counted from 1. Big endian pixels are turned to little endian; a frame of one-bit pixels
   * that begins inside of a byte is moved to its beginning. Throws `not-found` for a number out of range.
   */
  open(frame: number): OpenedValue
}

const explicitLittleEndian = '1.2.840.10008.1.2.1' as Uid
/** Transfer syntaxes without compression, the old private one of `part10-meta.ts` included. */
const uncompressed: ReadonlySet<string> = new Set([
  '1.2.840.10008.1.2',
  explicitLittleEndian,
  '1.2.840.10008.1.2.1.99',
  '1.2.840.10008.1.2.2',
  '1.2.840.113619.5.2',
])

/** Media types of one frame by transfer syntax, PS3.18 tables 8.7.3-2 to -5. */
const mediaTypes: readonly (readonly [pattern: RegExp, mediaType: string])[] = [
  [/^1\.2\.840\.10008\.1\.2\.5$/, 'image/dicom-rle'],
  [/^1\.2\.840\.10008\.1\.2\.4\.(5\d|6\d|70)$/, 'image/jpeg'],
  [/^1\.2\.840\.10008\.1\.2\.4\.8[01]$/, 'image/jls'],
  [/^1\.2\.840\.10008\.1\.2\.4\.9[01]$/, 'image/jp2'],
  [/^1\.2\.840\.10008\.1\.2\.4\.9[23]$/, 'image/jpx'],
  [/^1\.2\.840\.10008\.1\.2\.4\.10[01](\.1)?$/, 'video/mpeg'],
  [/^1\.2\.840\.10008\.1\.2\.4\.10[2-8](\.1)?$/, 'video/mp4'],
  [/^1\.2\.840\.10008\.1\.2\.4\.11[0-2]$/, 'image/jxl'],
  [/^1\.2\.840\.10008\.1\.2\.4\.20[1-3]$/, 'image/jphc'],
]

/** The media type of a frame in a transfer syntax; `application/octet-stream` when uncompressed or unknown. */
export const frameMediaType = (transferSyntaxUID: string): string =>
  mediaTypes.find(([pattern]) => pattern.test(transferSyntaxUID))?.[1] ?? 'application/octet-stream'

/**
 * Finds the frames of an instance without reading them: uncompressed ones by their size, compressed ones by offset
 * table, by fragment, or by the end of each bit stream. Throws `not-found` for an instance without pixel data,
 * `bad-request` for one whose pixel data does not hold the frames it should.
 */
export async function locateFrames(file: ByteReader): Promise<LocatedFrames> {
  const opened = await openPart10(file)
  const { content, meta } = opened
  const layout = await readImageLayout(opened)
  const { pixelData } = layout
  if (pixelData === undefined) throw new LinkError('not-found', 'the instance has no pixel data, and so no frames')
  if (pixelData.length !== undefinedLength) {
    return nativeFrames(content, pixelData, layout, meta.encoding.littleEndian ? 1 : unitBytes(pixelData.vr))
  }
  if (uncompressed.has(meta.transferSyntaxUID)) throw notDicom('its pixel data has no length, and is not compressed')
  if (!isUid(meta.transferSyntaxUID)) throw notDicom('its Transfer Syntax UID (0002,0010) is no UID')
  const mediaType = frameMediaType(meta.transferSyntaxUID)
  const ranges = await encapsulatedFrames(content, pixelData, layout, mediaType.startsWith('video/'))
  return {
    transferSyntaxUID: meta.transferSyntaxUID,
    mediaType,
    frames: ranges.map((fragments) => ({ fragments })),
    open: (frame) => openRanges(content, nth(ranges, frame)),
  }
}

/** Uncompressed frames follow each other without gaps, and without padding where pixels have one bit (PS3.5 8.1.1). */
function nativeFrames(content: ByteReader, pixelData: Element, layout: ImageLayout, unit: number): LocatedFrames {
  const bits = bitsOfFrame(layout)
  const { numberOfFrames } = layout
  if (bits === 0 || Math.ceil((bits * numberOfFrames) / 8) > pixelData.length) {
    throw notDicom(`its pixel data of ${pixelData.length} bytes does not hold ${numberOfFrames} frames of ${bits} bits`)
  }
  if (unit > 1 && bits % (unit * 8) !== 0) throw unaligned()
  const frames = Array.from({ length: numberOfFrames }, (_, index) => {
    const begin = Math.floor((index * bits) / 8)
    const end = Math.ceil(((index + 1) * bits) / 8)
    return { fragments: [{ offset: pixelData.valueOffset + begin, length: end - begin }] }
  })
  return {
    transferSyntaxUID: explicitLittleEndian,
    mediaType: 'application/octet-stream',
    frames,
    open: (frame) => {
      const [range = { offset: 0, length: 0 }] = nth(frames, frame).fragments
      if (bits % 8 !== 0) return openBits(content, range.offset, ((frame - 1) * bits) % 8, bits)
      return unit === 1 ? openRanges(content, [range]) : openSwapped(content, range, unit)
    },
  }
}

/** Big endian words cannot be turned around when a frame begins in the middle of one. */
const unaligned = () =>
  new LinkError('not-acceptable', 'frames of this big endian instance do not begin at whole words; retrieve it whole')

/** Of the samples a pixel has; 4:2:2 stores two of three, 4:2:0 half of them (PS3.3 C.7.6.3.1.2). */
function bitsOfFrame({
  rows,
  columns,
  samplesPerPixel,
  bitsAllocated,
  photometricInterpretation,
}: ImageLayout): number {
  const bits = rows * columns * samplesPerPixel * bitsAllocated
  if (photometricInterpretation.endsWith('_422')) return (bits * 2) / 3
  return photometricInterpretation.endsWith('_420') ? bits / 2 : bits
}

function nth<T>(frames: readonly T[], frame: number): T {
  const found = Number.isInteger(frame) ? frames[frame - 1] : undefined
  if (found !== undefined) return found
  throw new LinkError('not-found', `frame ${frame} is out of range: the instance has ${frames.length} frame(s), from 1`)
}

/** What is behind a BulkDataURI. */
export interface OpenedBulkdata extends OpenedValue {
  /** `application/octet-stream`, or that of the frame with its transfer syntax for compressed pixel data. */
  readonly mediaType: string
}

/**
 * Opens a value by its BulkDataURI as `readMetadata` gives it, with or without `bulkdata/`: as it is stored, binary
 * values in little endian. It is one piece, except for compressed pixel data, which is one for each frame, a video
 * being one (PS3.18 10.4.1.1.5). Throws `not-found` when there is no such value.
 */
export async function openBulkdata(file: ByteReader, path: string): Promise<readonly OpenedBulkdata[]> {
  const opened = await openPart10(file)
  const { element, vr, encoding } = await findElement(opened, path)
  const mediaType = 'application/octet-stream'
  if (element.length !== undefinedLength) {
    const range = { offset: element.valueOffset, length: element.length }
    const unit = encoding.littleEndian ? 1 : unitBytes(vr)
    const value = unit === 1 ? openRanges(opened.content, [range]) : openSwapped(opened.content, range, unit)
    return [{ mediaType, ...value }]
  }
  if (element.tag !== pixelDataTag) throw new LinkError('not-found', 'a sequence is no bulk data')
  const located = await locateFrames(file)
  const frameType = `${located.mediaType}; transfer-syntax=${located.transferSyntaxUID}`
  return located.frames.map((_, index) => ({ mediaType: frameType, ...located.open(index + 1) }))
}

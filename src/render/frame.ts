import type { ByteReader } from '../dicom/part10-window.ts'
import { frameMediaType, type LocatedFrames, locateFrames } from '../dicom/pixel-data.ts'
import { decodeStream, hasDecoder } from './codecs.ts'
import type { Frame, PixelLayout, Samples } from './layout.ts'
import { damaged, unrenderable } from './refusals.ts'
import { decodeRle } from './rle.ts'

const rleLossless = '1.2.840.10008.1.2.5'

/**
 * Finds and decodes one frame, counted from 1. Throws `not-found` for a frame that the instance does not have,
 * `not-acceptable` for a transfer syntax that is not rendered, `bad-gateway` or `bad-request` for damaged pixel data.
 */
export async function readFrame(file: ByteReader, number: number, layout: PixelLayout): Promise<Frame> {
  const located = await locateFrames(file)
  checkSyntax(located)
  const { body, length } = located.open(number)
  const bytes = Buffer.from(new ArrayBuffer(length))
  let filled = 0
  for await (const chunk of body) {
    bytes.set(chunk, filled)
    filled += chunk.length
  }
  if (located.mediaType === 'application/octet-stream') return nativeFrame(bytes, layout)
  if (located.transferSyntaxUID === rleLossless) return rleFrame(bytes, layout)
  return decodeStream(located.transferSyntaxUID, bytes, layout)
}

function checkSyntax({ transferSyntaxUID: syntax, mediaType }: LocatedFrames): void {
  const isNative = mediaType === 'application/octet-stream' && frameMediaType(syntax) === mediaType
  if (!isNative && syntax !== rleLossless && !hasDecoder(syntax)) {
    throw unrenderable(`its transfer syntax is ${syntax}`)
  }
}

function nativeFrame(bytes: Buffer, layout: PixelLayout): Frame {
  if (layout.bitsAllocated === 1) {
    return { layout: { ...layout, bitsAllocated: 8 }, samples: unpackedBits(bytes, layout.rows * layout.columns) }
  }
  if (layout.photometricInterpretation === 'YBR_FULL_422') return spreadColours(bytes, layout)
  return { layout, samples: samplesOf(bytes, layout) }
}

function rleFrame(stream: Buffer, layout: PixelLayout): Frame {
  const { rows, columns, samplesPerPixel, bitsAllocated } = layout
  const bytesPerSample = bitsAllocated / 8
  if (bytesPerSample < 1) throw unrenderable('its samples of one bit are run-length encoded')
  const decoded = decodeRle(stream, { pixels: rows * columns, samplesPerPixel, bytesPerSample })
  const photometricInterpretation = layout.photometricInterpretation.replace('YBR_FULL_422', 'YBR_FULL')
  const planar = { ...layout, photometricInterpretation, planar: true }
  return { layout: planar, samples: samplesOf(decoded, planar) }
}

/** Little endian bytes as what they are; their buffer begins with them. */
function samplesOf(bytes: Buffer, { rows, columns, samplesPerPixel, bitsAllocated, float }: PixelLayout): Samples {
  const count = rows * columns * samplesPerPixel
  if (bytes.length < (count * bitsAllocated) / 8) throw damaged('its pixel data is shorter than its frames')
  const { buffer, byteOffset } = bytes
  if (float)
    return bitsAllocated === 32
      ? new Float32Array(buffer, byteOffset, count)
      : new Float64Array(buffer, byteOffset, count)
  if (bitsAllocated === 32) return new Uint32Array(buffer, byteOffset, count)
  return bitsAllocated === 16 ? new Uint16Array(buffer, byteOffset, count) : new Uint8Array(buffer, byteOffset, count)
}

/** The lowest bit of a byte is the first pixel, PS3.5 8.1.1. */
const unpackedBits = (bytes: Buffer, pixels: number): Uint8Array =>
  Uint8Array.from({ length: pixels }, (_, pixel) => ((bytes[pixel >> 3] ?? 0) >> (pixel & 7)) & 1)

/** Two pixels share their colour: Y Y Cb Cr, PS3.3 C.7.6.3.1.2. */
function spreadColours(bytes: Buffer, layout: PixelLayout): Frame {
  const pixels = layout.rows * layout.columns
  if (layout.bitsAllocated !== 8 || layout.columns % 2 !== 0)
    throw damaged('its colours cannot be shared by two pixels')
  const samples = new Uint8Array(pixels * 3)
  for (let pixel = 0; pixel < pixels; pixel++) {
    const pair = (pixel >> 1) * 4
    samples[pixel * 3] = bytes[pair + (pixel & 1)] ?? 0
    samples[pixel * 3 + 1] = bytes[pair + 2] ?? 0
    samples[pixel * 3 + 2] = bytes[pair + 3] ?? 0
  }
  return { layout: { ...layout, photometricInterpretation: 'YBR_FULL', planar: false }, samples }
}

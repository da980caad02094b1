import { damaged } from './refusals.ts'

/** What a compressed frame says of itself, whatever the dataset around it says. */
export interface StreamHeader {
  readonly rows: number
  readonly columns: number
  readonly components: number
  /** Bits of a sample. */
  readonly precision: number
  readonly signed: boolean
  /** JPEG-LS with one scan a component: it is decoded into planes. */
  readonly planar: boolean
  /** JPEG 2000 with components smaller than the image. */
  readonly subsampled: boolean
}

/**
 * Reads the header of a JPEG, JPEG-LS or JPEG 2000 stream: decoders allocate what it claims, so it is looked at before.
 * Throws `bad-gateway` when there is none.
 */
export function readStreamHeader(stream: Buffer): StreamHeader {
  try {
    if (stream.readUInt16BE(0) === 0xffd8) return jpegHeader(stream)
    if (stream.readUInt32BE(0) === 0xff4fff51) return codestreamHeader(stream)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  throw noHeader()
}

const noHeader = () => damaged('its pixel data does not begin as its transfer syntax says')

/** ITU-T T.81 B.2.2 and T.87 C.2.2: markers up to the scan. */
function jpegHeader(stream: Buffer): StreamHeader {
  let frame: StreamHeader | undefined
  for (let at = 2; ; ) {
    if (stream.readUInt8(at) !== 0xff) throw noHeader()
    const marker = stream.readUInt8(at + 1)
    const length = stream.readUInt16BE(at + 2)
    if (marker === 0xff) {
      at += 1
      continue
    }
    if (isFrameMarker(marker)) {
      if (frame !== undefined) throw noHeader()
      frame = jpegFrame(stream, at + 4)
    } else if (marker === 0xda) {
      if (frame === undefined) throw noHeader()
      // Interleave mode stands behind the components of the scan; other kinds of JPEG have a spectral selection there.
      const interleave = stream.readUInt8(at + 6 + 2 * stream.readUInt8(at + 4))
      return { ...frame, planar: frame.planar && interleave === 0 }
    }
    at += 2 + length
  }
}

const startOfFrameLs = 0xf7
/** SOF0 to SOF15 without DHT, JPG and DAC, which are no frames; SOF55. */
const isFrameMarker = (marker: number): boolean =>
  (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) || marker === startOfFrameLs

const jpegFrame = (stream: Buffer, at: number): StreamHeader => ({
  precision: stream.readUInt8(at),
  rows: stream.readUInt16BE(at + 1),
  columns: stream.readUInt16BE(at + 3),
  components: stream.readUInt8(at + 5),
  signed: false,
  planar: stream.readUInt8(at - 3) === startOfFrameLs,
  subsampled: false,
})

/** ITU-T T.800 A.5.1: image and tile size. */
function codestreamHeader(stream: Buffer): StreamHeader {
  const components = stream.readUInt16BE(40)
  const depth = stream.readUInt8(42)
  const steps = Array.from({ length: Math.min(components, 4) }, (_, index) => stream.readUInt16BE(43 + index * 3))
  return {
    columns: stream.readUInt32BE(8) - stream.readUInt32BE(16),
    rows: stream.readUInt32BE(12) - stream.readUInt32BE(20),
    components,
    precision: (depth & 0x7f) + 1,
    signed: depth > 0x7f,
    planar: false,
    subsampled: steps.some((step) => step !== 0x0101),
  }
}

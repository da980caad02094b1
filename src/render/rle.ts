import { damaged } from './refusals.ts'

interface RleFrame {
  readonly pixels: number
  readonly samplesPerPixel: number
  readonly bytesPerSample: number
}

const headerBytes = 64

/** Decodes a frame of RLE Lossless (PS3.5 annex G) into planes of little endian samples. Throws `bad-gateway`. */
export function decodeRle(stream: Buffer, { pixels, samplesPerPixel, bytesPerSample }: RleFrame): Buffer {
  const planes = samplesPerPixel * bytesPerSample
  if (stream.length < headerBytes || stream.readUInt32LE(0) !== planes) {
    throw damaged(`its run-length encoded frame does not have the ${planes} segments that its pixels need`)
  }
  const decoded = Buffer.alloc(pixels * planes)
  for (let plane = 0; plane < planes; plane++) {
    const begin = stream.readUInt32LE(4 + plane * 4)
    const end = plane + 1 < planes ? stream.readUInt32LE(8 + plane * 4) : stream.length
    const sample = Math.floor(plane / bytesPerSample)
    // Segments go from the most to the least significant byte.
    const byte = bytesPerSample - 1 - (plane % bytesPerSample)
    // A segment that lies elsewhere is empty, and ends too early.
    const unpacked = unpackBits(stream.subarray(begin, end), pixels)
    for (let pixel = 0; pixel < pixels; pixel++) {
      decoded[(sample * pixels + pixel) * bytesPerSample + byte] = unpacked[pixel] ?? 0
    }
  }
  return decoded
}

/** PS3.5 G.3.2: runs of literal and of repeated bytes. What is beyond `length` bytes is padding. */
function unpackBits(segment: Buffer, length: number): Buffer {
  const unpacked = Buffer.alloc(length)
  let made = 0
  for (let at = 0; at < segment.length && made < length; ) {
    const control = segment.readInt8(at++)
    if (control >= 0) {
      made += segment.copy(unpacked, made, at, at + control + 1)
      at += control + 1
    } else if (control > -128) {
      unpacked.fill(segment[at++] ?? 0, made, made + 1 - control)
      made += 1 - control
    }
  }
  if (made < length) throw damaged('a run-length segment ends before its frame does')
  return unpacked
}

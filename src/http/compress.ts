import { pipeline } from 'node:stream'
import { promisify } from 'node:util'
import { constants, createGzip, gzip } from 'node:zlib'

const options = { level: constants.Z_BEST_SPEED }
const compress = promisify(gzip)

/** Of less, compression gains nothing. */
export const leastCompressedBytes = 1024

export const gzipped = (bytes: Uint8Array): Promise<Buffer<ArrayBuffer>> => compress(bytes, options)

/** A body compressed on its way, no faster than it is read. Leaving it early ends the body; it fails as the body does. */
export function gzippedBody(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return pipeline(body, createGzip(options), () => undefined)
}

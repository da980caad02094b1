import { randomUUID } from 'node:crypto'
import { slabs } from '../core/slabs.ts'
import { Message, type PartLengths, tooLarge } from './multipart-message.ts'
import { WireError } from './wire-error.ts'

/** One object of a multipart answer: an instance, a frame, a picture, an item of bulk data. */
export interface Part {
  /** As its sender wrote it, parameters included (`image/jp2; transfer-syntax=…`); empty when it wrote none. */
  readonly contentType: string
  /** Content-Location as its sender wrote it; when the sender is a cluster, never to reach a client. */
  readonly location?: string
  /** Bytes in the part when known before they are read. */
  readonly length?: number
  /** Parts in the whole answer when known before they are read: one alone would be a piece taken for the whole. */
  readonly total?: number
  /** All of its bytes, when they are in memory already: it cannot break off. Read these or the body, not both. */
  readonly held?: readonly Uint8Array[]
  /** Read it to its end before asking for the next part. */
  readonly body: AsyncIterable<Uint8Array>
}

/**
 * The parts of an answer in the order they arrive. Leaving the loop early (`return`) cancels the transfer. Ends
 * normally only when the message was complete: a multipart body without its closing boundary throws.
 */
export type Parts = AsyncIterable<Part>

export interface MultipartLimits {
  readonly maxParts: number
  readonly maxPartBytes: number
  /** Absent: a boundary is looked for, whatever length a part is said to have. */
  readonly lengths?: PartLengths
}

/**
 * Reads a `multipart/related` body (RFC 2046 section 5.1) as it arrives, holding one chunk at a time and handing out
 * views of it. Forgiving where senders differ: preamble or none, line ends of LF alone, boundaries of any length,
 * parts without headers, no parts at all. A part whose body is left before its end is skipped. `Content-Length` of a
 * part says where to look for its end, if anything, and an end that is not there is an error; `length` is never set.
 * Ends once the body has been read to its end.
 *
 * Throws {@link WireError}, from the loop over parts or from the body of a part.
 */
export async function* readMultipart(
  body: AsyncIterable<Uint8Array>,
  boundary: string,
  limits: MultipartLimits,
): AsyncGenerator<Part, void, undefined> {
  if (boundary === '') throw new WireError('malformed', 'multipart body: its content type names no boundary')
  const message = new Message(body[Symbol.asyncIterator](), boundary, limits.lengths)
  try {
    await message.readPreamble()
    for (let parts = 1; !message.closed; parts++) {
      if (parts > limits.maxParts) throw tooLarge(`it has more than ${limits.maxParts} parts`)
      const headers = await message.readHeaders()
      const location = headers.get('content-location')
      yield {
        contentType: headers.get('content-type') ?? '',
        ...(location === undefined ? {} : { location }),
        body: message.readContent(limits.maxPartBytes),
      }
      await message.skipContent(limits.maxPartBytes)
    }
    await message.readEpilogue()
  } finally {
    await message.cancel()
  }
}

/** A first chunk up to this size is copied behind the header of its part, to save a write. */
const coalesceBytes = 16 * 1024

/**
 * Writes parts as a `multipart/related` body. Nothing of a part is written before its first bytes are there, and the
 * closing boundary only after `parts` ended normally: what breaks off cannot be taken for complete.
 */
export async function* writeMultipart(parts: Parts, boundary: string): AsyncGenerator<Uint8Array, void, undefined> {
  let lineEnd = ''
  for await (const part of parts) {
    yield* writePart(part, `${lineEnd}--${boundary}\r\n`)
    lineEnd = '\r\n'
  }
  yield Buffer.from(`${lineEnd}--${boundary}--\r\n`, 'latin1')
}

async function* writePart(part: Part, delimiter: string): AsyncGenerator<Uint8Array, void, undefined> {
  let header: Buffer | undefined = Buffer.from(`${delimiter}${headerLines(part)}\r\n`, 'latin1')
  for await (const chunk of part.body) {
    if (header === undefined) {
      yield chunk
    } else if (chunk.byteLength > coalesceBytes) {
      yield header
      yield chunk
    } else {
      yield Buffer.concat([header, chunk])
      slabs.release(chunk)
    }
    header = undefined
  }
  if (header !== undefined) yield header
}

/** Viewers look for `Content-Type` in exactly this spelling. */
function headerLines({ contentType, location }: Part): string {
  const type = contentType === '' ? '' : `Content-Type: ${oneLine(contentType)}\r\n`
  return location === undefined ? type : `${type}Content-Location: ${oneLine(location)}\r\n`
}

const oneLine = (text: string): string => text.replace(/[\r\n]+/g, ' ')

/** A boundary that needs no quotes and is in no content by accident. */
export const newBoundary = (): string => `dicomweb-link-${randomUUID()}`

/** The content type of a message written with this boundary, whose parts are of `partType`, PS3.18 8.6.1.2. */
export function contentTypeOf(boundary: string, partType: string, transferSyntax?: string): string {
  const syntax = transferSyntax === undefined ? '' : `; transfer-syntax=${transferSyntax}`
  return `multipart/related; type="${partType}"; boundary=${boundary}${syntax}`
}

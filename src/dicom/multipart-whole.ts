import { chained } from '../core/chained.ts'
import type { MultipartLimits, Part } from './multipart.ts'
import { lengthIn, parseHeaders } from './multipart-headers.ts'
import type { PartLengths } from './multipart-message.ts'

const maxHeaderBytes = 16 * 1024

/**
 * The parts of a `multipart/related` body (RFC 2046 section 5.1) that is all in memory, as views of it: what
 * `readMultipart` gives for it, for a fraction of what that costs. `undefined` for a body that is not in the plain form
 * that most archives write: no preamble, line ends of CRLF, not a byte behind the boundaries.
 */
export function splitMultipart(body: Buffer, boundary: string, limits: MultipartLimits): Part[] | undefined {
  const first = `--${boundary}\r\n`
  if (boundary === '' || body.toString('latin1', 0, first.length) !== first) return undefined
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  const parts: Part[] = []
  for (let start = first.length; ; ) {
    // A part without a header begins with the line end of the boundary and an empty line.
    const content = body.indexOf('\r\n\r\n', start - 2) + 4
    if (content < 4 || content - start > maxHeaderBytes) return undefined
    const headers = parseHeaders(linesOf(body.toString('latin1', start, content - 4)))
    const end = endOf(body, { content, delimiter, length: lengthIn(headers), lengths: limits.lengths })
    if (end < 0 || end - content > limits.maxPartBytes || parts.length === limits.maxParts) return undefined
    parts.push(partOf(body.subarray(content, end), headers))
    const next = end + delimiter.length
    const behind = body.toString('latin1', next, next + 2)
    if (behind === '--') return isEnd(body, next + 2) ? parts : undefined
    if (behind !== '\r\n') return undefined
    start = next + 2
  }
}

interface Content {
  /** Where it begins. */
  readonly content: number
  readonly delimiter: Buffer
  /** That its header says. */
  readonly length: number | undefined
  readonly lengths: PartLengths | undefined
}

/** Where the boundary behind a part is; -1 when there is none, or not where its length says. */
function endOf(body: Buffer, { content, delimiter, length, lengths }: Content): number {
  if (length === undefined) return body.indexOf(delimiter, content)
  const end = content + length
  if (lengths?.areBelieved) return body.subarray(end, end + delimiter.length).equals(delimiter) ? end : -1
  if (body.indexOf(delimiter, content) !== end) return -1
  lengths?.wereRight()
  return end
}

const partOf = (bytes: Buffer, headers: ReadonlyMap<string, string>): Part => {
  const location = headers.get('content-location')
  return {
    contentType: headers.get('content-type') ?? '',
    ...(location === undefined ? {} : { location }),
    length: bytes.length,
    held: [bytes],
    body: chained([bytes]),
  }
}

const linesOf = (header: string): string[] => (header === '' ? [] : header.split('\r\n'))

const isEnd = (body: Buffer, at: number): boolean => ['', '\r\n'].includes(body.toString('latin1', at, at + 3))

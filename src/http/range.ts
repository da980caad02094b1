import type { Context } from 'hono'
import type { Env } from './context.ts'
import { ProblemError } from './problem.ts'

/** Some bytes of a body, at least one. */
export interface ByteRange {
  /** Counted from 0. */
  readonly start: number
  readonly length: number
}

/** Further digits are of no body. */
const onlyRange = /^bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))$/i

/**
 * The bytes that `Range` asks for of a body of `total`, RFC 9110 14.1.2. `undefined` when the whole is to be sent:
 * without the header, and for units, lists of ranges and nonsense that a server may ignore. Throws 416 when the body ends
 * before them.
 */
export function parseRange(header: string | undefined, total: number): ByteRange | undefined {
  const [all, first, last, suffix] = onlyRange.exec(header?.trim() ?? '') ?? []
  // Of an empty body there is no range; the whole is what the client wants.
  if (all === undefined || total === 0) return undefined
  const start = first === undefined ? Math.max(0, total - Number(suffix)) : Number(first)
  const end = first === undefined || last === '' ? total : Number(last) + 1
  if (last && end <= start) return undefined
  if (start >= total) throw notSatisfiable(total)
  return { start, length: Math.min(end, total) - start }
}

const notSatisfiable = (total: number) =>
  new ProblemError('bad-request', `Range: there are only ${total} bytes`, {
    status: 416,
    headers: { 'Content-Range': `bytes */${total}` },
  })

/**
 * Says of an answer that parts of its body may be asked for, and gives the one that is; then `Content-Range` is set.
 * `entityTag` is a strong one: each part may come from another cluster, and only by it a client knows that they are of
 * the same body.
 */
export function rangeFor(c: Context<Env>, total: number, entityTag: string): ByteRange | undefined {
  c.header('Accept-Ranges', 'bytes')
  const ifRange = c.req.header('if-range')
  if (c.req.method !== 'GET' || (ifRange !== undefined && ifRange.trim() !== entityTag)) return undefined
  const range = parseRange(c.req.header('range'), total)
  if (range) c.header('Content-Range', `bytes ${range.start}-${range.start + range.length - 1}/${total}`)
  return range
}

/** Views of the bytes of a range. */
export function slice(chunks: readonly Uint8Array[], { start, length }: ByteRange): Uint8Array[] {
  const slices: Uint8Array[] = []
  let at = -start
  for (const chunk of chunks) {
    const part = chunk.subarray(Math.max(0, -at), Math.max(0, length - at))
    if (part.byteLength > 0) slices.push(part)
    at += chunk.byteLength
  }
  return slices
}

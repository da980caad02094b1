import { WireError } from './wire-error.ts'

/**
 * The header lines of a part (RFC 2046 5.1): names in lower case, the first one of a name, lines that go on joined.
 * Throws {@link WireError} `malformed` for a line that is none.
 */
export function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>()
  let last = ''
  for (const line of lines) {
    if (/^[ \t]/.test(line) && last !== '') {
      headers.set(last, `${headers.get(last)} ${line.trim()}`.trim())
      continue
    }
    const colon = line.indexOf(':')
    if (colon < 1) throw new WireError('malformed', 'multipart body: a line in the header of a part is no header')
    last = line.slice(0, colon).trim().toLowerCase()
    if (!headers.has(last)) headers.set(last, line.slice(colon + 1).trim())
  }
  return headers
}

/** The `Content-Length` of a part in bytes; `undefined` for none and for what cannot be one. */
export function lengthIn(headers: ReadonlyMap<string, string>): number | undefined {
  const length = Number(headers.get('content-length') ?? Number.NaN)
  return Number.isSafeInteger(length) && length > 0 ? length : undefined
}

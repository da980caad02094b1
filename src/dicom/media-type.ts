import { badRequest } from '../core/errors.ts'

/** A media type or range with its parameters, RFC 9110 8.3.1 and 12.5.1. */
export interface MediaType {
  /** In lower case: `multipart/related`, of a range also an asterisk for the subtype or for both. */
  readonly type: string
  /** Names in lower case, values as written without their quotes; of a name given twice the first. Without `q`. */
  readonly parameters: ReadonlyMap<string, string>
}

/** A media range of an `Accept` header. */
export interface MediaRange extends MediaType {
  /**
   * What the range does not stand for: the ranges of weight zero in the same header that say more than this one does
   * (RFC 9110 12.5.1).
   */
  readonly except: readonly MediaType[]
}

const maxTextLength = 8 * 1024
const maxRanges = 100

const typePattern = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/
const rangePattern = /^(\*\/\*|[\w!#$&^.+-]+\/(\*|[\w!#$&^.+-]+))$/
const weightPattern = /^(0?\.\d+|0\.?|1(\.0*)?)$/

/** The value of a `Content-Type` header; `undefined` when it is none. Values with slashes need no quotes. */
export function parseMediaType(text: string): MediaType | undefined {
  if (text.length > maxTextLength) return undefined
  const [type, ...parameters] = split(text, ';') ?? []
  if (type === undefined || !typePattern.test(type)) return undefined
  return { type: type.toLowerCase(), parameters: parseParameters(parameters) }
}

/**
 * The value of an `Accept` header or of the query parameter `accept` (PS3.18 8.3.3.1): what the client takes, best
 * first; equals in the order written. What has the weight zero is left out and is an exception from what names less.
 * Throws `bad-request`, naming the header or parameter it came by.
 */
export function parseAccept(text: string, name = 'Accept'): MediaRange[] {
  if (text.length > maxTextLength) throw badRequest(`${name}: longer than ${maxTextLength} characters`)
  const ranges = split(text, ',')?.filter((range) => range !== '')
  if (ranges === undefined) throw badRequest(`${name}: a quoted value has no closing quote`)
  if (ranges.length > maxRanges) throw badRequest(`${name}: more than ${maxRanges} media types`)
  const weighted = ranges.map((range) => parseRange(range, name))
  const refused = weighted.filter(({ weight }) => weight === 0).map(({ range }) => range)
  return weighted
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .map(({ range }) => ({ ...range, except: refused.filter((it) => precision(it) > precision(range)) }))
}

/** How much a range says: nothing, a type, its subtype, parameters. */
const precision = ({ type, parameters }: MediaType): number =>
  type === '*/*' ? 0 : type.endsWith('/*') ? 1 : 2 + parameters.size

function parseRange(text: string, name: string): { readonly range: MediaType; readonly weight: number } {
  const [written = '', ...rest] = split(text, ';') ?? []
  // Old Java clients write a lone asterisk for any type.
  const type = written === '*' ? '*/*' : written.toLowerCase()
  if (!rangePattern.test(type)) {
    throw badRequest(`${name}: ${JSON.stringify(text.slice(0, 80))} is no media type; expected type/subtype`)
  }
  const parameters = parseParameters(rest)
  const q = parameters.get('q') ?? '1'
  if (!weightPattern.test(q)) {
    throw badRequest(`${name}: q=${JSON.stringify(q.slice(0, 20))} is no weight; expected 0 to 1`)
  }
  parameters.delete('q')
  return { range: { type, parameters }, weight: Number(q) }
}

/** Words without an equals sign are passed over: nothing asks for a parameter without a value. */
function parseParameters(texts: readonly string[]): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const text of texts) {
    const equals = text.indexOf('=')
    if (equals < 1) continue
    const name = text.slice(0, equals).trim().toLowerCase()
    if (!parameters.has(name)) parameters.set(name, unquote(text.slice(equals + 1).trim()))
  }
  return parameters
}

const unquote = (text: string): string => (text.startsWith('"') ? text.slice(1, -1).replaceAll(/\\(.)/g, '$1') : text)

/** The pieces between separators outside quotes, trimmed; `undefined` when a quote is not closed. */
function split(text: string, separator: string): string[] | undefined {
  const pieces: string[] = []
  let quoted = false
  let start = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (quoted && character === '\\') at++
    else if (character === '"') quoted = !quoted
    else if (!quoted && character === separator) {
      pieces.push(text.slice(start, at).trim())
      start = at + 1
    }
  }
  pieces.push(text.slice(start).trim())
  return quoted ? undefined : pieces
}

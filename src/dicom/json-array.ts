import { WireError } from './wire-error.ts'

export interface JsonArrayLimits {
  /** Of the text of one element, in bytes. */
  readonly maxItemBytes: number
  /** Of the whole body. */
  readonly maxBytes: number
}

const byteOrderMark = [0xef, 0xbb, 0xbf]
/** Far beyond sequences of any real dataset; keeps recursion over an element bounded. */
const maxDepth = 256

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * The elements of a JSON array (DICOM JSON, PS3.18 annex F) one by one as they arrive, so that memory holds one
 * element and one chunk. An empty body has no elements, as the body of a 204.
 *
 * Throws {@link WireError}: `truncated` when the body ends before the array does, `malformed` when it is something
 * else, such as an object or a page of HTML.
 */
export async function* readJsonArray(
  body: AsyncIterable<Uint8Array>,
  limits: JsonArrayLimits,
): AsyncGenerator<unknown, void, undefined> {
  const scanner = new ArrayScanner(limits)
  for await (const chunk of body) yield* scanner.scan(chunk)
  scanner.end()
}

class ArrayScanner {
  readonly #limits: JsonArrayLimits
  #state: 'before' | 'first' | 'element' | 'after' = 'before'
  /** Received so far, the chunk being scanned not included. */
  #bytes = 0
  /** What earlier chunks held of the element being read. */
  #pieces: Uint8Array[] = []
  #pieceBytes = 0
  #depth = 0
  #inString = false
  #escaped = false

  constructor(limits: JsonArrayLimits) {
    this.#limits = limits
  }

  *scan(chunk: Uint8Array): Generator<unknown, void, undefined> {
    if (this.#bytes + chunk.length > this.#limits.maxBytes) throw tooLarge('it is', this.#limits.maxBytes)
    let at = this.#opening(chunk)
    for (let start = at; at < chunk.length; start = at) {
      if (this.#state === 'after') {
        at = this.#blanks(chunk, at)
        continue
      }
      at = this.#endOfElement(chunk, at)
      this.#keep(chunk.subarray(start, at))
      if (at === chunk.length) break
      yield* this.#element(chunk[at] === CLOSE_ARRAY)
      at++
    }
    this.#bytes += chunk.length
  }

  end(): void {
    if (this.#state === 'first' || this.#state === 'element') {
      throw new WireError('truncated', 'JSON body: it ends before its array does')
    }
  }

  /** Passes over the blanks before the array and its bracket; answers where the elements begin in this chunk. */
  #opening(chunk: Uint8Array): number {
    let at = 0
    for (; this.#state === 'before' && at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      if (byte === OPEN_ARRAY) this.#state = 'first'
      else if (!isBlank(byte) && byte !== byteOrderMark[this.#bytes + at]) throw malformed('it is no array')
    }
    return at
  }

  #blanks(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      if (!isBlank(chunk[at] ?? 0)) throw malformed('something follows its array')
    }
    return chunk.length
  }

  /** Where the comma or the bracket is that ends the element; the length of the chunk when it is not in it. */
  #endOfElement(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at]
      if (this.#inString) this.#withinString(byte)
      else if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#deeper()
      else if (this.#depth === 0 && (byte === COMMA || byte === CLOSE_ARRAY)) return at
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#higher()
    }
    return chunk.length
  }

  #withinString(byte: number | undefined): void {
    if (this.#escaped) this.#escaped = false
    else if (byte === BACKSLASH) this.#escaped = true
    else if (byte === QUOTE) this.#inString = false
  }

  #deeper(): void {
    this.#depth++
    if (this.#depth > maxDepth) throw malformed(`an element is nested deeper than ${maxDepth} levels`)
  }

  #higher(): void {
    if (this.#depth === 0) throw malformed('a brace closes what was not opened')
    this.#depth--
  }

  #keep(piece: Uint8Array): void {
    this.#pieceBytes += piece.length
    if (this.#pieceBytes > this.#limits.maxItemBytes) throw tooLarge('an element is', this.#limits.maxItemBytes)
    if (piece.length > 0) this.#pieces.push(piece)
  }

  *#element(last: boolean): Generator<unknown, void, undefined> {
    const text = Buffer.concat(this.#pieces, this.#pieceBytes).toString('utf8')
    const none = last && this.#state === 'first' && /^[ \t\r\n]*$/.test(text)
    this.#pieces = []
    this.#pieceBytes = 0
    this.#state = last ? 'after' : 'element'
    if (!none) yield parse(text)
  }
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The error of JSON.parse quotes the text, which may name a patient: it is not passed on.
    throw malformed('an element of its array is no JSON')
  }
}

const malformed = (what: string): WireError => new WireError('malformed', `JSON body: ${what}`)

const tooLarge = (what: string, bytes: number): WireError =>
  new WireError('too-large', `JSON body: ${what} larger than ${bytes} bytes`)

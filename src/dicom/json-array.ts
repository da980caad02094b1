import { slabs } from '../core/slabs.ts'
import { WireError } from './wire-error.ts'

export interface JsonArrayLimits {
  /** Of the text of one element, in bytes. */
  readonly maxItemBytes: number
  /** Of the whole body. */
  readonly maxBytes: number
}

const byteOrderMark = [0xef, 0xbb, 0xbf]
/** Of text that becomes elements at a time, which take several times as much. */
const batchBytes = 64 * 1024
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
 * The elements of a JSON array (DICOM JSON, PS3.18 annex F) as they arrive, so that memory holds one element and one
 * chunk: those that end in one piece of it come together, in order. Chunks are given back to {@link slabs}. An empty body has no elements, as the body of a 204.
 *
 * Throws {@link WireError}: `truncated` when the body ends before the array does, `malformed` when it is something
 * else, such as an object or a page of HTML.
 */
export async function* readJsonBatches(
  body: AsyncIterable<Uint8Array>,
  limits: JsonArrayLimits,
): AsyncGenerator<readonly unknown[], void, undefined> {
  const scanner = new ArrayScanner(limits)
  for await (const chunk of body) {
    for (let at = 0; at < chunk.byteLength; at += batchBytes) {
      const elements = scanner.scan(chunk.subarray(at, at + batchBytes))
      if (elements.length > 0) yield elements
    }
    slabs.release(chunk)
  }
  scanner.end()
}

/** The same, one by one. */
export async function* readJsonArray(
  body: AsyncIterable<Uint8Array>,
  limits: JsonArrayLimits,
): AsyncGenerator<unknown, void, undefined> {
  for await (const elements of readJsonBatches(body, limits)) yield* elements
}

class ArrayScanner {
  readonly #limits: JsonArrayLimits
  #state: 'before' | 'first' | 'element' | 'after' = 'before'
  /** Received so far, the chunk being scanned not included. */
  #bytes = 0
  /** What earlier chunks held of the element being read, copied. */
  #pieces: Uint8Array[] = []
  #pieceBytes = 0
  #depth = 0
  #inString = false
  #escaped = false

  constructor(limits: JsonArrayLimits) {
    this.#limits = limits
  }

  /** The elements that end in this chunk. */
  scan(chunk: Uint8Array): readonly unknown[] {
    if (this.#bytes + chunk.length > this.#limits.maxBytes) throw tooLarge('it is', this.#limits.maxBytes)
    const start = this.#opening(chunk)
    const elements = this.#state === 'after' ? [] : this.#elements(chunk, start)
    this.#bytes += chunk.length
    return elements
  }

  end(): void {
    if (this.#state === 'first' || this.#state === 'element') {
      throw new WireError('truncated', 'JSON body: it ends before its array does')
    }
  }

  /** Passes over what surrounds the elements; answers where they begin or go on in this chunk. */
  #opening(chunk: Uint8Array): number {
    if (this.#state === 'after') requireBlanks(chunk, 0)
    let at = 0
    for (; this.#state === 'before' && at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      if (byte === OPEN_ARRAY) this.#state = 'first'
      else if (!isBlank(byte) && byte !== byteOrderMark[this.#bytes + at]) throw malformed('it is no array')
    }
    return at
  }

  #elements(chunk: Uint8Array, start: number): readonly unknown[] {
    let count = 0
    let begin = start
    for (let end = this.#endOfElement(chunk, start); end < chunk.length; end = this.#endOfElement(chunk, begin)) {
      this.#admit(end - begin)
      this.#pieceBytes = 0
      count++
      begin = end + 1
      if (chunk[end] === CLOSE_ARRAY) return this.#last(chunk, { start, end, count })
    }
    const complete = count > 0 ? this.#parse(chunk.subarray(start, begin - 1), count) : []
    if (count > 0) this.#state = 'element'
    this.#admit(chunk.length - begin)
    if (begin < chunk.length) this.#pieces.push(Buffer.from(chunk.subarray(begin)))
    return complete
  }

  #last(chunk: Uint8Array, { start, end, count }: { start: number; end: number; count: number }): readonly unknown[] {
    const isOnly = this.#state === 'first' && count === 1
    const elements = this.#parse(chunk.subarray(start, end), count, isOnly)
    this.#state = 'after'
    requireBlanks(chunk, end + 1)
    return elements
  }

  /**
   * Where the comma or the bracket is that ends the element; the length of the chunk when it is not in it. Every byte
   * comes by here, so what is known between chunks is held in local variables meanwhile.
   */
  #endOfElement(chunk: Uint8Array, from: number): number {
    const { length } = chunk
    let at = this.#inString ? this.#endOfString(chunk, from) : from
    let depth = this.#depth
    for (; at < length; at++) {
      const byte = chunk[at]
      if (byte === QUOTE) at = this.#endOfString(chunk, at + 1) - 1
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth = deeper(depth)
      else if (depth === 0 && (byte === COMMA || byte === CLOSE_ARRAY)) break
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth = higher(depth)
    }
    this.#depth = depth
    return at
  }

  /** Behind the quote that ends the string; the length of the chunk when it is not in it. */
  #endOfString(chunk: Uint8Array, from: number): number {
    const { length } = chunk
    let at = this.#escaped ? from + 1 : from
    while (at < length) {
      const byte = chunk[at++]
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) {
        this.#inString = false
        this.#escaped = false
        return at
      }
    }
    this.#inString = true
    this.#escaped = at > length
    return length
  }

  /** Counts bytes to the element being read. */
  #admit(bytes: number): void {
    this.#pieceBytes += bytes
    if (this.#pieceBytes > this.#limits.maxItemBytes) throw tooLarge('an element is', this.#limits.maxItemBytes)
  }

  /** Many elements at once, which costs much less than one after the other; `mayBeNone`: of blanks alone. */
  #parse(text: Uint8Array, count: number, mayBeNone = false): readonly unknown[] {
    const bytes = this.#pieces.length === 0 ? text : Buffer.concat([...this.#pieces, text])
    this.#pieces = []
    const elements = parse(`[${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')}]`)
    if (elements.length === count || (mayBeNone && elements.length === 0)) return elements
    throw malformed('an element of its array is no JSON')
  }
}

function deeper(depth: number): number {
  if (depth === maxDepth) throw malformed(`an element is nested deeper than ${maxDepth} levels`)
  return depth + 1
}

function higher(depth: number): number {
  if (depth === 0) throw malformed('a brace closes what was not opened')
  return depth - 1
}

function requireBlanks(chunk: Uint8Array, from: number): void {
  for (let at = from; at < chunk.length; at++) {
    if (!isBlank(chunk[at] ?? 0)) throw malformed('something follows its array')
  }
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

function parse(text: string): readonly unknown[] {
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

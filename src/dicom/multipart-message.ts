import { LinkError } from '../core/errors.ts'
import { slabs } from '../core/slabs.ts'
import { lengthIn, parseHeaders } from './multipart-headers.ts'
import { WireError } from './wire-error.ts'

const maxHeaderBytes = 16 * 1024
/** Of what stands before the first and after the closing boundary. */
const maxSurroundingBytes = 64 * 1024
/** Blanks between a boundary and the end of its line. */
const maxPaddingBytes = 256

/** Of a chunk, copied behind what was left of the one before. */
const maxJoinedBytes = 1024

const LF = 0x0a
const CR = 0x0d
const DASH = 0x2d
const whiteSpace: ReadonlySet<number> = new Set([0x20, 0x09, CR, LF])
const nothing: Buffer = Buffer.alloc(0)

export const tooLarge = (what: string): WireError => new WireError('too-large', `multipart body: ${what}`)

/** Whether a sender's `Content-Length` of a part spares the search for the boundary behind it. */
export interface PartLengths {
  readonly areBelieved: boolean
  /** To be called when a part was just as long, as the boundary behind it shows that was looked for. */
  wereRight(): void
  /** To be called when a part was not as long as that. */
  wereWrong(): void
}

/**
 * A multipart message that is being received: preamble, then header and content of one part after the other, then
 * the epilogue. Holds one chunk, and what of the one before may be the beginning of a boundary.
 */
export class Message {
  /** The closing boundary has been read. */
  closed = false
  readonly #source: AsyncIterator<Uint8Array>
  readonly #boundary: Buffer
  /** What ends the content being read: boundary with the line end and the dashes before it. */
  #delimiter: Buffer
  /** Received and not yet consumed. Begins with a line end, so that a boundary at the very start is found too. */
  #buffer: Buffer = Buffer.from('\n')
  /** Of the last chunk, what is not in the buffer yet. */
  #rest: Buffer | undefined
  #ended = false
  /** Bytes of the buffer that belong to the delimiter if it follows at once, and to no content otherwise. */
  #lineEnd = 1
  /** Of the content being read. */
  #bytes = 0
  #inContent = true
  /** Of the content being read, when it is believed: looked at again when so much of it has come. */
  #announced: number | undefined
  /** The same when it is not believed, to be compared. */
  #unproven: number | undefined
  #parts = 0
  #failure: unknown
  readonly #lengths: PartLengths | undefined

  constructor(source: AsyncIterator<Uint8Array>, boundary: string, lengths?: PartLengths) {
    this.#source = source
    this.#lengths = lengths
    this.#boundary = Buffer.from(`--${boundary}`, 'latin1')
    this.#delimiter = Buffer.concat([Buffer.from('\n'), this.#boundary])
  }

  async readPreamble(): Promise<void> {
    try {
      await this.#skip(maxSurroundingBytes, 'the first boundary')
    } catch (error) {
      // More than a leading line end has come and no boundary with it: this never was the message announced.
      if (!(error instanceof WireError && error.kind === 'truncated' && this.#bytes > 2)) throw error
      throw new WireError('malformed', 'multipart body: the boundary its content type names is not in it')
    }
  }

  /** Reads the header of the next part; names in lower case, the first one of a name. */
  async readHeaders(): Promise<ReadonlyMap<string, string>> {
    const headers = parseHeaders(await this.#headerLines())
    const length = lengthIn(headers)
    const isBelieved = this.#lengths?.areBelieved
    this.#announced = isBelieved ? length : undefined
    this.#unproven = isBelieved ? undefined : length
    this.#bytes = 0
    this.#inContent = true
    this.#parts += 1
    return headers
  }

  /** The content of the part whose header was read last. */
  readContent(maxBytes: number): AsyncIterable<Uint8Array> {
    return this.#contentOf(this.#parts, maxBytes)
  }

  /** Reads on behind the next boundary, if the content before it has not been read to its end. */
  async skipContent(maxBytes: number): Promise<void> {
    await this.#skip(maxBytes, 'the end of a part')
  }

  /** Reads what follows the closing boundary, so that the connection can be used again. */
  async readEpilogue(): Promise<void> {
    for (let bytes = this.#buffer.length; bytes <= maxSurroundingBytes; bytes += this.#buffer.length) {
      slabs.release(this.#buffer)
      this.#buffer = nothing
      if (!(await this.#receive())) return
    }
  }

  /** Tells the source that no more is wanted, unless it has ended by itself. */
  async cancel(): Promise<void> {
    if (this.#ended) return
    try {
      await this.#source.return?.()
    } catch {
      // The transfer is given up; how it takes that is of no interest, and must not hide why.
    }
  }

  async #skip(limit: number, what: string): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    while (this.#inContent) slabs.release(await this.#content(limit, what))
  }

  async *#contentOf(part: number, limit: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      if (part !== this.#parts) throw new LinkError('internal', 'a part was read after the next one was asked for')
      if (!this.#inContent) return
      const bytes = await this.#content(limit, 'the end of a part')
      if (bytes.length > 0) yield bytes
    }
  }

  /** The next bytes of the content before the delimiter; clears `#inContent` when the delimiter has been consumed. */
  async #content(limit: number, what: string): Promise<Buffer> {
    try {
      const announced = this.#announced ?? 0
      const left = announced - this.#bytes
      const bytes = (left > 0 ? this.#takeUnseen(left) : this.#take()) ?? (await this.#takeMore(what))
      this.#bytes += bytes.length
      if (this.#bytes > limit) throw tooLarge(`more than ${limit} bytes before ${what}`)
      if (announced > 0 && this.#bytes > announced) throw new WireError('malformed', wrongLength)
      if (!this.#inContent) this.#prove()
      return bytes
    } catch (error) {
      if (this.#announced !== undefined && error instanceof WireError) this.#lengths?.wereWrong()
      this.#failure = error
      throw error
    }
  }

  #prove(): void {
    if (this.#unproven === undefined) return
    if (this.#unproven === this.#bytes) this.#lengths?.wereRight()
    else this.#lengths?.wereWrong()
  }

  /** So many bytes of content at most, whatever is in them; the delimiter has to follow behind the last one. */
  #takeUnseen(most: number): Buffer | undefined {
    return this.#takeUpTo(Math.min(this.#buffer.length, this.#lineEnd + most))
  }

  async #takeMore(what: string): Promise<Buffer> {
    const ended = this.#ended
    if (await this.#receive()) return nothing
    // Now that it is known to be the end, what is in the buffer is worth another look.
    if (!ended) return nothing
    throw new WireError('truncated', `multipart body: it ends before ${what}`)
  }

  /** Content out of the buffer; `undefined` when nothing can be told before more has arrived. */
  #take(): Buffer | undefined {
    for (let from = 0; ; ) {
      const at = this.#buffer.indexOf(this.#delimiter, from)
      if (at < 0) return this.#takeUpTo(this.#possibleStart())
      const next = this.#afterDelimiter(at + this.#delimiter.length)
      if (next === 'unknown') return this.#takeUpTo(at)
      if (next !== 'content') return this.#takeLast(at, next)
      from = at + 1
    }
  }

  #takeUpTo(end: number): Buffer | undefined {
    // What may be a line end of the delimiter is not given away before it is known to be none.
    if (end <= this.#lineEnd) return undefined
    const bytes = this.#buffer.subarray(this.#lineEnd, end)
    slabs.release(this.#buffer.subarray(0, this.#lineEnd))
    this.#buffer = this.#buffer.subarray(end)
    this.#lineEnd = 0
    return bytes
  }

  #takeLast(at: number, next: { readonly offset: number; readonly closing: boolean }): Buffer {
    const end = Math.max(at, this.#lineEnd)
    const bytes = this.#buffer.subarray(this.#lineEnd, end)
    if (!next.closing) this.#learnLineEnd(next.offset)
    slabs.release(this.#buffer.subarray(0, this.#lineEnd))
    slabs.release(this.#buffer.subarray(end, next.offset))
    this.#buffer = this.#buffer.subarray(next.offset)
    this.#lineEnd = 0
    this.#inContent = false
    this.closed = next.closing
    return bytes
  }

  /**
   * The line end behind one boundary is the one expected before the next: senders that end lines with LF alone are
   * understood, and for all others a boundary without CR before it is content, as RFC 2046 wants it.
   */
  #learnLineEnd(offset: number): void {
    const carriageReturn = this.#buffer[offset - 2] === CR
    this.#delimiter = Buffer.concat([Buffer.from(carriageReturn ? '\r\n' : '\n'), this.#boundary])
  }

  /** Where the tail of the buffer begins that may turn out to be the start of a delimiter. */
  #possibleStart(): number {
    const { length } = this.#buffer
    const first = this.#delimiter[0] ?? LF
    let at = this.#buffer.indexOf(first, Math.max(0, length - this.#delimiter.length + 1))
    while (at >= 0) {
      if (this.#buffer.compare(this.#delimiter, 0, length - at, at) === 0) return at
      at = this.#buffer.indexOf(first, at + 1)
    }
    return length
  }

  /** Whether what follows makes a delimiter of the bytes before: a longer word may begin with the boundary. */
  #afterDelimiter(from: number): { offset: number; closing: boolean } | 'content' | 'unknown' {
    const buffer = this.#buffer
    if (buffer[from] === DASH) return this.#afterDash(from + 1)
    let at = from
    while (at - from < maxPaddingBytes && (buffer[at] === 0x20 || buffer[at] === 0x09)) at++
    if (buffer[at] === CR) at++
    if (at >= buffer.length) return 'unknown'
    return buffer[at] === LF ? { offset: at + 1, closing: false } : 'content'
  }

  /** A closing boundary is followed by the end of its line, or of the body. */
  #afterDash(from: number): { offset: number; closing: boolean } | 'content' | 'unknown' {
    const [dash, next] = [this.#buffer[from], this.#buffer[from + 1]]
    if (dash === undefined) return this.#ended ? 'content' : 'unknown'
    if (dash !== DASH) return 'content'
    if (next === undefined) return this.#ended ? { offset: from + 1, closing: true } : 'unknown'
    return whiteSpace.has(next) ? { offset: from + 1, closing: true } : 'content'
  }

  /** Reads the header lines of a part; the line end of the empty line after them stays in the buffer. */
  async #headerLines(): Promise<string[]> {
    const lines: string[] = []
    for (let used = 0; ; ) {
      const end = await this.#findLineEnd(maxHeaderBytes - used)
      const contentEnd = this.#buffer[end - 1] === CR ? end - 1 : end
      if (contentEnd === 0) {
        this.#lineEnd = end + 1
        return lines
      }
      lines.push(this.#buffer.toString('latin1', 0, contentEnd))
      slabs.release(this.#buffer.subarray(0, end + 1))
      this.#buffer = this.#buffer.subarray(end + 1)
      used += end + 1
    }
  }

  /** Receives until the buffer holds a whole line; answers where its LF is. */
  async #findLineEnd(limit: number): Promise<number> {
    for (let from = 0; ; ) {
      const end = this.#buffer.indexOf(LF, from)
      if ((end < 0 ? this.#buffer.length : end) > limit) throw tooLarge(`a header of more than ${maxHeaderBytes} bytes`)
      if (end >= 0) return end
      from = this.#buffer.length
      await this.#takeMore('the end of the header of a part')
    }
  }

  /** Adds the next chunk to the buffer, or its first line when something is there already; false at the end of the body. */
  async #receive(): Promise<boolean> {
    const chunk = this.#rest ?? (await this.#chunk())
    this.#rest = undefined
    if (chunk === undefined) return false
    // Before content that is known to come, a line end is all there is to the end of the header.
    if (this.#announced !== undefined && this.#bytes === 0 && this.#buffer.length === this.#lineEnd)
      this.#forgetLineEnd()
    if (this.#buffer.length > 0) this.#join(chunk)
    else this.#buffer = chunk
    return true
  }

  /** What is in the buffer is the beginning of a line, if not of content: most of the chunk is not copied. */
  #join(chunk: Buffer): void {
    const line = chunk.subarray(0, maxJoinedBytes).indexOf(LF) + 1
    const head = chunk.subarray(0, line > 0 ? line : maxJoinedBytes)
    if (head.length < chunk.length) this.#rest = chunk.subarray(head.length)
    const joined = Buffer.concat([this.#buffer, head])
    slabs.release(this.#buffer)
    slabs.release(head)
    this.#buffer = joined
  }

  #forgetLineEnd(): void {
    slabs.release(this.#buffer)
    this.#buffer = nothing
    this.#lineEnd = 0
  }

  async #chunk(): Promise<Buffer | undefined> {
    if (this.#ended) return undefined
    try {
      const { done = false, value } = await this.#source.next()
      this.#ended = done
      return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    } catch (error) {
      this.#ended = true
      throw error
    }
  }
}

const wrongLength = 'multipart body: a part is not as long as its header says'

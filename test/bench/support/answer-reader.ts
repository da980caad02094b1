/** Follows an HTTP/1.1 answer as far as it takes to know its end; looks at nothing it need not look at. */
export class AnswerReader {
  status = 0
  /** Of the body. */
  bytes = 0
  /** `performance.now()` of the body's first byte. */
  begunAt = Number.NaN
  complete = false
  keepsAlive = true
  #line = ''
  #left = 0
  #state: 'head' | 'size' | 'content' | 'content-end' | 'trailer' = 'head'
  #form: 'length' | 'chunked' | 'until-close' = 'until-close'

  /** The first `length` bytes of what was read. */
  read(read: Buffer, length: number): void {
    let at = 0
    while (at < length && !this.complete) {
      at = this.#state === 'content' ? this.#content(length, at) : this.#text(read, length, at)
    }
  }

  /** The connection is closed. */
  end(): void {
    this.complete ||= this.#state === 'content' && this.#form === 'until-close'
    this.keepsAlive = false
  }

  #content(length: number, at: number): number {
    if (this.bytes === 0) this.begunAt = performance.now()
    const taken = Math.min(this.#left, length - at)
    this.bytes += taken
    this.#left -= taken
    if (this.#left === 0) {
      if (this.#form === 'chunked') this.#state = 'content-end'
      else this.complete = true
    }
    return at + taken
  }

  #text(read: Buffer, length: number, from: number): number {
    const end = read.indexOf(10, from)
    if (end < 0 || end >= length) {
      this.#line += read.toString('latin1', from, length)
      return length
    }
    this.#line += read.toString('latin1', from, end)
    const line = this.#line.trimEnd()
    this.#line = ''
    this.#take(line)
    return end + 1
  }

  #take(line: string): void {
    if (this.#state === 'head') this.#header(line)
    else if (this.#state === 'content-end') this.#state = 'size'
    else if (this.#state === 'trailer') this.complete = line === ''
    else {
      this.#left = Number.parseInt(line, 16)
      this.#state = this.#left === 0 ? 'trailer' : 'content'
    }
  }

  #header(line: string): void {
    const [name = '', value = ''] = line.toLowerCase().split(/: */, 2)
    if (this.status === 0) this.status = Number(line.split(' ')[1])
    else if (name === 'content-length') [this.#form, this.#left] = ['length', Number(value)]
    else if (name === 'transfer-encoding') this.#form = 'chunked'
    else if (name === 'connection') this.keepsAlive = value !== 'close'
    else if (line === '') this.#begin()
  }

  #begin(): void {
    this.#state = this.#form === 'chunked' ? 'size' : 'content'
    if (this.#form === 'until-close') this.#left = Number.POSITIVE_INFINITY
    this.complete = this.#form === 'length' && this.#left === 0
  }
}

import { LinkError } from '../core/errors.ts'
import { inflating } from './part10-inflate.ts'
import { type FileMeta, readFileMeta } from './part10-meta.ts'
import { type ByteReader, FileWindow } from './part10-window.ts'

/** A Part 10 file whose meta information has been read. */
export interface OpenedFile {
  readonly meta: FileMeta
  /** Where the elements of the dataset are: the file itself, or what comes out of a deflated one. */
  readonly content: ByteReader
  /** Offset of the first element in `content`. */
  readonly begin: number
  readonly window: FileWindow
}

/** Throws `bad-request` when the file is not one of PS3.10. */
export async function openPart10(file: ByteReader): Promise<OpenedFile> {
  const window = new FileWindow(file)
  const meta = await readFileMeta(window)
  if (!meta.deflated) return { meta, content: file, begin: meta.datasetOffset, window }
  const content = await InflatedReader.open(file, meta.datasetOffset)
  return { meta, content, begin: 0, window: new FileWindow(content) }
}

/** The most that a deflated file may become: what it costs is time, not memory. */
const maxInflatedBytes = 4 * 2 ** 30
const readBytes = 64 * 1024

/** The bytes `offset` to `end` of a file, in pieces. */
export async function* readRange(
  file: ByteReader,
  offset: number,
  end: number,
): AsyncGenerator<Buffer, void, undefined> {
  for (let at = offset; at < end; ) {
    const piece = await file.read(at, Math.min(readBytes, end - at))
    if (piece.length === 0) throw new LinkError('internal', 'a stored file is shorter than it was when it was opened')
    yield piece
    at += piece.length
  }
}

/**
 * A deflated dataset as if it lay there inflated. Reading onward is cheap; going back begins anew. Holds no more
 * than one read and one chunk of the inflater in memory.
 */
class InflatedReader implements ByteReader {
  readonly size: number
  readonly #restart: () => AsyncGenerator<Buffer, void, undefined>
  #source: AsyncGenerator<Buffer, void, undefined> | undefined
  /** The bytes from the beginning of the last read on; the first is byte `#start`. */
  #held: Buffer = Buffer.alloc(0)
  #start = 0

  private constructor(size: number, restart: () => AsyncGenerator<Buffer, void, undefined>) {
    this.size = size
    this.#restart = restart
  }

  static async open(file: ByteReader, offset: number): Promise<InflatedReader> {
    const restart = () => inflating(readRange(file, offset, file.size))
    let size = 0
    for await (const chunk of restart()) {
      size += chunk.length
      if (size > maxInflatedBytes) {
        throw new LinkError('too-large', `a deflated dataset becomes more than ${maxInflatedBytes} bytes`)
      }
    }
    return new InflatedReader(size, restart)
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (this.#source === undefined || offset < this.#start) await this.#rewind()
    const end = Math.min(offset + length, this.size)
    const pieces: Buffer[] = []
    let have = this.#take(offset, pieces)
    while (have < end) {
      const next = await this.#source?.next()
      if (next === undefined || next.done === true) break
      this.#start = have
      this.#held = next.value
      have = this.#take(offset, pieces)
    }
    this.#held = Buffer.concat(pieces)
    this.#start = Math.min(offset, have)
    if (have >= this.size) await this.#source?.return()
    return this.#held.subarray(0, Math.max(end - offset, 0))
  }

  /** Keeps what is held of `offset` on; gives where it ends. */
  #take(offset: number, pieces: Buffer[]): number {
    const end = this.#start + this.#held.length
    if (end > offset) pieces.push(this.#held.subarray(Math.max(offset - this.#start, 0)))
    return end
  }

  async #rewind(): Promise<void> {
    await this.#source?.return()
    this.#source = this.#restart()
    this.#held = Buffer.alloc(0)
    this.#start = 0
  }
}

import { itemOf, type Region } from '../dicom/part10-bulkdata.ts'
import { type Element, pixelDataTag, truncatedAt, undefinedLength } from '../dicom/part10-element.ts'
import type { OpenedFile } from '../dicom/part10-open.ts'
import { elementAt, endOfValue } from '../dicom/part10-walk.ts'
import { keywords, sequences, tags } from './tags.ts'

/** More than any lookup table: what is larger is not read. */
const maxValueBytes = 512 * 1024
/** Functional groups hold macros, which hold values. */
const maxNesting = 3

interface Value {
  readonly vr: string
  readonly bytes: Buffer
  readonly littleEndian: boolean
}

/** The attributes of a dataset or item that rendering depends on; whatever else it holds was stepped over. */
export class Attributes {
  readonly #values = new Map<number, Value>()
  readonly #items = new Map<number, Attributes>()

  /** Reads a dataset up to its pixel data. Of functional groups of frames those of `frame`, counted from 1, are read. */
  static async read(file: OpenedFile, frame: number): Promise<Attributes> {
    const region = { begin: file.begin, limit: file.content.size, encoding: file.meta.encoding }
    return new Attributes().#fill(file, region, { frame, depth: 0 })
  }

  has(tag: number): boolean {
    return this.#values.has(tag)
  }

  /** The VR as the file says it; empty when it does not. */
  vr(tag: number): string {
    return this.#values.get(tag)?.vr ?? ''
  }

  /** The first of the values of a text, `''` when there is none. */
  text(tag: number): string {
    const [first = ''] = this.#values.get(tag)?.bytes.toString('latin1').split('\\') ?? []
    return first.replace(/^[\0 ]+|[\0 ]+$/g, '')
  }

  /** The first value of a DS or IS, `undefined` when there is no number. */
  decimal(tag: number): number | undefined {
    const text = this.text(tag)
    const value = Number(text)
    return text !== '' && Number.isFinite(value) ? value : undefined
  }

  /** The first value of a US. */
  word(tag: number): number | undefined {
    return this.words(tag)[0]
  }

  /** The values of a US, or an OW as 16-bit words. */
  words(tag: number): Uint16Array {
    const { bytes, littleEndian } = this.#values.get(tag) ?? { bytes: Buffer.alloc(0), littleEndian: true }
    return Uint16Array.from({ length: bytes.length >> 1 }, (_, index) =>
      littleEndian ? bytes.readUInt16LE(index * 2) : bytes.readUInt16BE(index * 2),
    )
  }

  /** The value of a UL. */
  long(tag: number): number | undefined {
    const { bytes, littleEndian } = this.#values.get(tag) ?? { bytes: Buffer.alloc(0), littleEndian: true }
    if (bytes.length < 4) return undefined
    return littleEndian ? bytes.readUInt32LE() : bytes.readUInt32BE()
  }

  bytes(tag: number): Buffer {
    return this.#values.get(tag)?.bytes ?? Buffer.alloc(0)
  }

  /** The item of a sequence that counts: the first one, of functional groups of frames that of the frame. */
  item(tag: number): Attributes | undefined {
    return this.#items.get(tag)
  }

  async #fill(file: OpenedFile, region: Region, place: Place): Promise<this> {
    const { window } = file
    for (let offset = region.begin; ; ) {
      const next = elementAt(window, offset, region.limit, region.encoding)
      const element = next instanceof Promise ? await next : next
      if (element === undefined) return this
      await this.#take(file, element, region, place)
      if (element.tag >= pixelDataTag) return this
      offset = await endOfValue(window, element, region.limit, region.encoding)
    }
  }

  async #take(file: OpenedFile, element: Element, region: Region, place: Place): Promise<void> {
    const { tag, vr, length } = element
    if (sequences.has(tag) && place.depth < maxNesting) {
      const number = tag === tags.PerFrameFunctionalGroupsSequence ? place.frame : 1
      const inside = await itemOf(file, element, region, number)
      const deeper = { ...place, depth: place.depth + 1 }
      if (inside !== undefined) this.#items.set(tag, await new Attributes().#fill(file, inside, deeper))
    } else if (keywords.has(tag)) {
      const isSmall = length !== undefinedLength && length <= maxValueBytes && !isPixels(tag)
      const bytes = isSmall ? await bytesOf(file, element) : Buffer.alloc(0)
      this.#values.set(tag, { vr, bytes, littleEndian: vr === 'UN' || region.encoding.littleEndian })
    }
  }
}

interface Place {
  readonly frame: number
  readonly depth: number
}

const isPixels = (tag: number): boolean => tag >= tags.FloatPixelData || tag === tags.EncapsulatedDocument

async function bytesOf({ window }: OpenedFile, { tag, valueOffset, length }: Element): Promise<Buffer> {
  if (!window.has(valueOffset, length)) await window.load(valueOffset, length)
  const at = valueOffset - window.start
  if (at + length > window.bytes.length) throw truncatedAt(tag)
  return window.bytes.subarray(at, at + length)
}

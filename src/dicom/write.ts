import { badRequest, LinkError } from '../core/errors.ts'
import { type Attribute, type Dataset, firstNumber, firstString, type Tag } from './dataset.ts'
import { isVr } from './part10-element.ts'
import { isBinary } from './part10-value.ts'
import { maxDepth } from './part10-walk.ts'
import { tag } from './tags.ts'
import { isUid, type Uid } from './uid.ts'
import { elementHeader, itemEnd, itemHeader, openEnded, sequenceEnd } from './write-element.ts'
import { encodeValue, padded } from './write-value.ts'

/**
 * A value too large to be held: exactly `length` bytes. `body` is read once and only when its place in the file is
 * reached, or never when the file is given up before that; so it has to open nothing until it is read.
 */
export interface BulkValue {
  readonly length: number
  readonly body: AsyncIterable<Uint8Array>
}

export interface WriteOptions {
  /** Explicit VR Little Endian, or a compressed one, which `pixelData` is then in. */
  readonly transferSyntaxUID: Uid
  /**
   * One frame each. Absent: the Pixel Data of the dataset, whose bulk data is all frames of an uncompressed image and
   * the one frame, or the video, of a compressed one.
   */
  readonly pixelData?: readonly BulkValue[]
  /** What is behind a BulkDataURI of the dataset. */
  readonly bulk?: (uri: string) => BulkValue | undefined
}

/** Identifies what wrote a file, PS3.10 7.1; not an object anyone has to find. */
const implementation = { classUID: '2.25.159874266471389025387604420853372861194', version: 'DICOMWEB_LINK' }

const explicitLittleEndian = '1.2.840.10008.1.2.1'
/** Encodings of the dataset other than ours: a dataset is only ever written in one way. */
const otherEncodings: ReadonlySet<string> = new Set([
  '1.2.840.10008.1.2',
  '1.2.840.10008.1.2.1.99',
  '1.2.840.10008.1.2.2',
])

/**
 * A Part 10 file of a dataset in DICOM JSON (PS3.18 annex F): text in UTF-8, sequences of undefined length, bulk data
 * streamed through. What is wrong with the dataset is thrown at once, as `bad-request` naming the tag but no value;
 * a bulk value that turns out longer or shorter than it said ends the file with that error.
 */
export function writePart10(dataset: Dataset, options: WriteOptions): AsyncIterable<Uint8Array> {
  if (otherEncodings.has(options.transferSyntaxUID)) {
    throw new LinkError(
      'unsupported-media-type',
      `instances are not written in transfer syntax ${options.transferSyntaxUID}; send the file, or bulk data in ` +
        `${explicitLittleEndian} or in a compressed one`,
    )
  }
  const writer = new Writer(options)
  writer.meta(dataset)
  const pixels = options.pixelData && { [tag.PixelData]: dataset[tag.PixelData] ?? { vr: pixelVr(dataset) } }
  writer.dataset({ ...dataset, [tag.SpecificCharacterSet]: { vr: 'CS', Value: ['ISO_IR 192'] }, ...pixels }, 0)
  return stream(writer.segments)
}

/** PS3.5 8.1.2: more than eight bits make words. */
const pixelVr = (dataset: Dataset): string => ((firstNumber(dataset, tag.BitsAllocated) ?? 8) > 8 ? 'OW' : 'OB')

/** Bytes that are in memory anyway. */
export function bulkValue(bytes: Uint8Array): BulkValue {
  async function* body() {
    yield bytes
  }
  return { length: bytes.length, body: body() }
}

interface BulkSegment extends BulkValue {
  readonly tag: Tag
}

/** The file as a list: what is known already, and what is to be streamed between. */
class Writer {
  readonly segments: (Buffer | BulkSegment)[] = []
  readonly #options: WriteOptions

  constructor(options: WriteOptions) {
    this.#options = options
  }

  meta(dataset: Dataset): void {
    const elements = [
      metaElement('00020001', 'OB', Buffer.from([0, 1])),
      metaElement('00020002', 'UI', Buffer.from(requiredUid(dataset, tag.SOPClassUID))),
      metaElement('00020003', 'UI', Buffer.from(requiredUid(dataset, tag.SOPInstanceUID))),
      metaElement('00020010', 'UI', Buffer.from(this.#options.transferSyntaxUID)),
      metaElement('00020012', 'UI', Buffer.from(implementation.classUID)),
      metaElement('00020013', 'SH', Buffer.from(implementation.version), 0x20),
    ]
    const group = Buffer.concat(elements)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(group.length)
    this.segments.push(Buffer.alloc(128), Buffer.from('DICM'), metaElement('00020000', 'UL', length), group)
  }

  dataset(dataset: Dataset, depth: number): void {
    if (depth > maxDepth) throw badRequest(`sequences are nested more than ${maxDepth} deep`)
    for (const key of Object.keys(dataset).sort()) {
      const attribute = dataset[key]
      if (attribute !== undefined && !isLeftOut(key)) this.#element(key.toUpperCase(), attribute, depth)
    }
  }

  #element(key: Tag, attribute: Attribute, depth: number): void {
    if (!/^[0-9A-F]{8}$/.test(key)) throw badRequest(`${JSON.stringify(key.slice(0, 20))} is no tag`)
    if (!isVr(attribute.vr)) throw badRequest(`${key}: its VR is none of PS3.5`)
    if (key === tag.PixelData && depth === 0) this.#pixelData(attribute)
    else if (attribute.vr === 'SQ') this.#sequence(key, attribute.Value ?? [], depth)
    else if (attribute.BulkDataURI !== undefined)
      this.#bulk(key, attribute.vr, [this.#lookUp(key, attribute.BulkDataURI)])
    else this.#value(key, attribute)
  }

  #value(key: Tag, { vr, Value, InlineBinary }: Attribute): void {
    const inline = InlineBinary === undefined ? undefined : padded(Buffer.from(InlineBinary, 'base64'), 0)
    const bytes = inline !== undefined && isBinary(vr) ? inline : encodeValue(key, vr, Value ?? [])
    this.segments.push(elementHeader(key, vr, bytes.length), bytes)
  }

  #sequence(key: Tag, items: readonly unknown[], depth: number): void {
    this.segments.push(openEnded(key, 'SQ'))
    for (const item of items) {
      if (typeof item !== 'object' || item === null) throw badRequest(`${key}: an item of a sequence is a dataset`)
      this.segments.push(itemHeader())
      this.dataset(item as Dataset, depth + 1)
      this.segments.push(itemEnd)
    }
    this.segments.push(sequenceEnd)
  }

  #pixelData(attribute: Attribute): void {
    const frames = this.#options.pixelData ?? this.#pixelBulk(attribute)
    if (frames === undefined) this.#value(tag.PixelData, attribute)
    else if (this.#options.transferSyntaxUID === explicitLittleEndian) this.#bulk(tag.PixelData, attribute.vr, frames)
    else this.#encapsulated(frames)
  }

  #pixelBulk({ BulkDataURI, InlineBinary }: Attribute): readonly BulkValue[] | undefined {
    if (BulkDataURI !== undefined) return [this.#lookUp(tag.PixelData, BulkDataURI)]
    return InlineBinary === undefined ? undefined : [bulkValue(Buffer.from(InlineBinary, 'base64'))]
  }

  #lookUp(key: Tag, uri: string): BulkValue {
    const value = this.#options.bulk?.(uri)
    if (value === undefined) throw badRequest(`${key}: there is no bulk data for its BulkDataURI`)
    return value
  }

  /** One value of all the pieces; odd ones are padded at their end (PS3.5 7.1.1). */
  #bulk(key: Tag, vr: string, pieces: readonly BulkValue[]): void {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    if (length >= 0xfffffffe) throw new LinkError('too-large', `${key}: its value has more than 4 GiB`)
    this.segments.push(
      elementHeader(key, vr, length + (length % 2)),
      ...pieces.map((piece) => ({ ...piece, tag: key })),
    )
    if (length % 2 === 1) this.segments.push(Buffer.from([isBinary(vr) || vr === 'UI' ? 0 : 0x20]))
  }

  /** PS3.5 A.4: a Basic Offset Table, left empty when offsets do not fit into it, then a fragment a frame. */
  #encapsulated(frames: readonly BulkValue[]): void {
    const table = offsetTable(frames)
    this.segments.push(openEnded(tag.PixelData, 'OB'), itemHeader(table.length), table)
    for (const frame of frames) {
      const odd = frame.length % 2
      if (frame.length >= 0xfffffffe) throw new LinkError('too-large', 'a frame has more than 4 GiB')
      this.segments.push(itemHeader(frame.length + odd), { ...frame, tag: tag.PixelData }, Buffer.alloc(odd))
    }
    this.segments.push(sequenceEnd)
  }
}

function offsetTable(frames: readonly BulkValue[]): Buffer {
  const table = Buffer.alloc(frames.length * 4)
  let offset = 0
  for (const [index, { length }] of frames.entries()) {
    if (offset > 0xffffffff) return Buffer.alloc(0)
    table.writeUInt32LE(offset, index * 4)
    offset += 8 + length + (length % 2)
  }
  return table
}

const metaElement = (key: Tag, vr: string, bytes: Buffer, padding = 0): Buffer => {
  const value = padded(bytes, padding)
  return Buffer.concat([elementHeader(key, vr, value.length), value])
}

function requiredUid(dataset: Dataset, key: Tag): Uid {
  const text = firstString(dataset, key)
  if (isUid(text)) return text
  throw badRequest(`${key}: an instance has to have this UID`)
}

/** What is not of the dataset: file meta information, group lengths, and what metadata says of the stored file. */
const isLeftOut = (key: Tag): boolean =>
  key.startsWith('0002') || key.endsWith('0000') || key === tag.AvailableTransferSyntaxUID

async function* stream(segments: readonly (Buffer | BulkSegment)[]): AsyncGenerator<Uint8Array, void, undefined> {
  let known: Buffer[] = []
  for (const segment of segments) {
    if (Buffer.isBuffer(segment)) {
      known.push(segment)
      continue
    }
    yield Buffer.concat(known)
    known = []
    yield* exactly(segment)
  }
  if (known.length > 0) yield Buffer.concat(known)
}

async function* exactly({ tag: key, length, body }: BulkSegment): AsyncGenerator<Uint8Array, void, undefined> {
  let left = length
  for await (const chunk of body) {
    left -= chunk.length
    if (left < 0) throw badRequest(`${key}: its bulk data is longer than the ${length} bytes announced`)
    yield chunk
  }
  if (left > 0) throw badRequest(`${key}: its bulk data ended ${left} bytes before the ${length} announced`)
}

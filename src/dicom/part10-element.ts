import { badRequest, type LinkError } from '../core/errors.ts'

/** How the elements of a dataset are laid out, PS3.5 section 7 and annex A. */
export interface Encoding {
  /** Every element names its VR. */
  readonly explicit: boolean
  readonly littleEndian: boolean
}

export const implicitLittle: Encoding = { explicit: false, littleEndian: true }
export const explicitLittle: Encoding = { explicit: true, littleEndian: true }
export const explicitBig: Encoding = { explicit: true, littleEndian: false }

/** One data element without its value. Offsets are bytes from the beginning of the file (or inflated dataset). */
export interface Element {
  /** Group and element as one unsigned 32-bit number: 0x0020000D. */
  readonly tag: number
  /** As the file says it; empty where it does not: implicit VR, items and delimiters. */
  readonly vr: string
  readonly offset: number
  readonly valueOffset: number
  /** Of the value in bytes, or {@link undefinedLength}. */
  readonly length: number
}

/** The length of a value that ends with a delimiter, PS3.5 7.1.3. */
export const undefinedLength = 0xffffffff

export const itemTag = 0xfffee000
export const itemEndTag = 0xfffee00d
export const sequenceEndTag = 0xfffee0dd
export const pixelDataTag = 0x7fe00010

/** The longest header of an element: explicit VR with a 32-bit length. */
export const longestHeader = 12

/** VRs whose length has 32 bits. */
export const longForm: ReadonlySet<string> = new Set('OB OD OF OL OV OW SQ SV UC UN UR UT UV'.split(' '))
const shortForm: ReadonlySet<string> = new Set(
  'AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US'.split(' '),
)

/** VRs by their two letters as one number: making a string of them for each element is what costs most. */
const vrByCode: ReadonlyMap<number, string> = new Map(
  [...longForm, ...shortForm].map((vr) => [Buffer.from(vr, 'latin1').readUInt16BE(0), vr]),
)

/** Whether the standard knows this VR. */
export const isVr = (vr: string): boolean => longForm.has(vr) || shortForm.has(vr)

/**
 * Reads the header of the element that begins at `bytes[at]`, which is byte `offset` of the file; `undefined`
 * when the bytes end inside it.
 */
export function decodeElement(bytes: Buffer, at: number, offset: number, encoding: Encoding): Element | undefined {
  if (at + 8 > bytes.length) return undefined
  const tag = encoding.littleEndian
    ? ((bytes.readUInt16LE(at) << 16) | bytes.readUInt16LE(at + 2)) >>> 0
    : bytes.readUInt32BE(at)
  // Items and delimiters carry no VR in any transfer syntax (PS3.5 7.5).
  if (!encoding.explicit || tag >>> 16 === 0xfffe) return implicitForm(bytes, at, offset, encoding, tag)
  const vr = vrByCode.get(bytes.readUInt16BE(at + 4))
  if (vr === undefined) return oddForm(bytes, at, offset, encoding, tag)
  const length = longForm.has(vr) ? longLength : shortLength
  return length(bytes, at, offset, encoding, tag, vr)
}

const implicitForm = (bytes: Buffer, at: number, offset: number, encoding: Encoding, tag: number): Element => {
  const length = encoding.littleEndian ? bytes.readUInt32LE(at + 4) : bytes.readUInt32BE(at + 4)
  return { tag, vr: '', offset, valueOffset: offset + 8, length }
}

const shortLength = (bytes: Buffer, at: number, offset: number, encoding: Encoding, tag: number, vr: string) => {
  const length = encoding.littleEndian ? bytes.readUInt16LE(at + 6) : bytes.readUInt16BE(at + 6)
  return { tag, vr, offset, valueOffset: offset + 8, length }
}

const longLength = (bytes: Buffer, at: number, offset: number, encoding: Encoding, tag: number, vr: string) => {
  if (at + 12 > bytes.length) return undefined
  const length = encoding.littleEndian ? bytes.readUInt32LE(at + 8) : bytes.readUInt32BE(at + 8)
  return { tag, vr, offset, valueOffset: offset + 12, length }
}

/**
 * A VR the standard does not know. Future ones have 32-bit lengths behind two zero bytes (PS3.5 6.2); writers that
 * invent one mostly use the short form; what is not even printable is an implicit element that strayed in.
 */
function oddForm(bytes: Buffer, at: number, offset: number, encoding: Encoding, tag: number) {
  const vr = bytes.toString('latin1', at + 4, at + 6)
  if (!/^[ -~]{2}$/.test(vr)) return implicitForm(bytes, at, offset, encoding, tag)
  const reserved = bytes.readUInt16LE(at + 6)
  if (reserved === 0 && /^[A-Z]{2}$/.test(vr)) return longLength(bytes, at, offset, encoding, tag, 'UN')
  return shortLength(bytes, at, offset, encoding, tag, 'UN')
}

/** A tag as people write it: `(0020,000D)`. */
export function tagText(tag: number): string {
  const hex = tagKey(tag)
  return `(${hex.slice(0, 4)},${hex.slice(4)})`
}

/** A tag as DICOM JSON writes it: `0020000D`. */
export const tagKey = (tag: number): string => tag.toString(16).toUpperCase().padStart(8, '0')

/** The error for bytes that do not follow PS3.5 or PS3.10. */
export const notDicom = (detail: string, cause?: unknown): LinkError =>
  badRequest(`the object is no DICOM file: ${detail}`, cause)

/** The error for a file that stops inside an element. */
export const truncatedAt = (tag: number): LinkError => notDicom(`it ends inside ${tagText(tag)}`)

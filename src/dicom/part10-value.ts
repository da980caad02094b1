import type { Attribute } from './dataset.ts'
import type { TextDecode } from './part10-text.ts'

/** How the bytes of a value are to be read. */
export interface ValueContext {
  readonly littleEndian: boolean
  readonly decode: TextDecode
}

const binaryVrs: ReadonlySet<string> = new Set(['OB', 'OW', 'OF', 'OL', 'OD', 'OV', 'UN'])

export const isBinary = (vr: string): boolean => binaryVrs.has(vr)

/** Bytes that change places between the byte orders, by VR: 1 where it makes no difference. */
export function unitBytes(vr: string): number {
  if ('OW US SS AT'.includes(vr)) return 2
  if ('OF OL UL SL FL'.includes(vr)) return 4
  return 'OD OV FD UV SV'.includes(vr) ? 8 : 1
}

type Reader = (view: DataView, at: number, littleEndian: boolean) => unknown

/** Numbers in binary, with their width: PS3.5 6.2. */
const numbers: Readonly<Record<string, readonly [bytes: number, read: Reader]>> = {
  US: [2, (view, at, little) => view.getUint16(at, little)],
  SS: [2, (view, at, little) => view.getInt16(at, little)],
  UL: [4, (view, at, little) => view.getUint32(at, little)],
  SL: [4, (view, at, little) => view.getInt32(at, little)],
  FL: [4, (view, at, little) => float(view.getFloat32(at, little))],
  FD: [8, (view, at, little) => float(view.getFloat64(at, little))],
  UV: [8, (view, at, little) => wide(view.getBigUint64(at, little))],
  SV: [8, (view, at, little) => wide(view.getBigInt64(at, little))],
  AT: [4, (view, at, little) => tagValue(view.getUint16(at, little), view.getUint16(at + 2, little))],
}

/** JSON has no such numbers; PS3.18 F.2.3 writes them as strings. */
function float(value: number): number | string {
  if (Number.isFinite(value)) return value
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? 'inf' : '-inf'
}

/** Beyond 2^53 only a string keeps every digit. */
const wide = (value: bigint): number | string =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value)

const tagValue = (group: number, element: number): string =>
  ((group << 16) | element) >>> 0 === 0 ? '00000000' : hex(group) + hex(element)

const hex = (word: number): string => word.toString(16).toUpperCase().padStart(4, '0')

/** Text that is one value, backslashes included, and whose leading spaces matter. */
const oneText: ReadonlySet<string> = new Set(['LT', 'ST', 'UT', 'UR'])

/** The attribute of a value that is in memory, PS3.18 F.2.2: without `Value` when it is empty. */
export function attributeOf(vr: string, bytes: Buffer, context: ValueContext): Attribute {
  if (bytes.length === 0) return { vr }
  if (isBinary(vr)) return { vr, InlineBinary: inLittleEndian(vr, bytes, context.littleEndian).toString('base64') }
  const number = numbers[vr]
  const values = number === undefined ? textValues(vr, bytes, context.decode) : numberValues(bytes, context, number)
  return values.every((value) => value === null) ? { vr } : { vr, Value: values }
}

/** A copy of `bytes` in the byte order of PS3.18: little endian whatever the file is in. */
function inLittleEndian(vr: string, bytes: Buffer, littleEndian: boolean): Buffer {
  const unit = unitBytes(vr)
  if (littleEndian || unit === 1) return bytes
  const copy = Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % unit)))
  if (unit === 2) return copy.swap16()
  return unit === 4 ? copy.swap32() : copy.swap64()
}

function numberValues(bytes: Buffer, { littleEndian }: ValueContext, [width, read]: readonly [number, Reader]) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: Math.floor(bytes.length / width) }, (_, index) => read(view, index * width, littleEndian))
}

function textValues(vr: string, bytes: Buffer, decode: TextDecode): unknown[] {
  const text = decode(bytes, vr === 'PN')
  const texts = oneText.has(vr) ? [withoutEnd(text, '\0 ')] : text.split('\\').map(trimmed)
  return texts.map((value) => (value === '' ? null : jsonValue(vr, value)))
}

/**
 * Takes the characters off the end. Not by a pattern: those try again at each character of a long run that does not
 * reach the end.
 */
export function withoutEnd(text: string, characters: string): string {
  let end = text.length
  while (end > 0 && characters.includes(text.charAt(end - 1))) end--
  return text.slice(0, end)
}

const trimmed = (text: string): string => withoutEnd(text, '\0 ').replace(/^[\0 ]+/, '')

function jsonValue(vr: string, text: string): unknown {
  if (vr === 'PN') return personName(text)
  if (vr === 'DS' || vr === 'IS') return decimal(text)
  return text
}

/** Numbers as text have 16 characters at most; some writers need more. */
const longestDecimal = 64

/** What does not follow PS3.5 6.2 stays the string it is. */
function decimal(text: string): number | string {
  if (text.length > longestDecimal) return text
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return text
  const value = Number(text)
  if (!Number.isFinite(value)) return text
  // JSON knows no negative zero.
  return value === 0 ? 0 : value
}

const groups = ['Alphabetic', 'Ideographic', 'Phonetic'] as const

/** Component groups of a person name, PS3.5 6.2.1; `null` when all are empty. */
function personName(text: string): Readonly<Record<string, string>> | null {
  const parts = text.split('=', groups.length).map((part) => withoutEnd(trimmed(part), '^'))
  const entries = groups.flatMap((group, index) => (parts[index] ? [[group, parts[index]] as const] : []))
  return entries.length === 0 ? null : Object.fromEntries(entries)
}

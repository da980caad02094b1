import { badRequest } from '../core/errors.ts'
import type { Tag } from './dataset.ts'
import { isBinary, withoutEnd } from './part10-value.ts'

type Writer = (bytes: Buffer, at: number, value: number) => unknown

const numbers: Readonly<Record<string, readonly [width: number, write: Writer]>> = {
  US: [2, (bytes, at, value) => bytes.writeUInt16LE(value, at)],
  SS: [2, (bytes, at, value) => bytes.writeInt16LE(value, at)],
  UL: [4, (bytes, at, value) => bytes.writeUInt32LE(value, at)],
  SL: [4, (bytes, at, value) => bytes.writeInt32LE(value, at)],
  FL: [4, (bytes, at, value) => bytes.writeFloatLE(value, at)],
  FD: [8, (bytes, at, value) => bytes.writeDoubleLE(value, at)],
}

/** What PS3.18 F.2.3 writes as text because JSON has no such numbers. */
const notFinite: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  inf: Number.POSITIVE_INFINITY,
  '-inf': Number.NEGATIVE_INFINITY,
}

/**
 * The values of an attribute of DICOM JSON as bytes of Explicit VR Little Endian, padded to an even length; text is
 * UTF-8. Throws `bad-request`, naming the tag but no value, for what the VR cannot hold.
 */
export function encodeValue(tag: Tag, vr: string, values: readonly unknown[]): Buffer {
  if (values.length === 0) return Buffer.alloc(0)
  if (isBinary(vr)) throw invalid(tag, vr)
  try {
    const number = numbers[vr]
    if (number !== undefined) return encodeNumbers(values, number)
    if (vr === 'UV' || vr === 'SV') return encodeWide(values, vr)
    return vr === 'AT' ? encodeTags(values) : encodeText(vr, values)
  } catch (cause) {
    throw invalid(tag, vr, cause)
  }
}

const invalid = (tag: Tag, vr: string, cause?: unknown) =>
  badRequest(`${tag}: its value does not fit its VR ${vr}`, cause)

function encodeNumbers(values: readonly unknown[], [width, write]: readonly [number, Writer]): Buffer {
  const bytes = Buffer.alloc(values.length * width)
  for (const [index, value] of values.entries()) write(bytes, index * width, asNumber(value))
  return bytes
}

function asNumber(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || value.trim() === '') throw new TypeError('no number')
  const number = notFinite[value] ?? Number(value)
  if (Number.isNaN(number) && value !== 'NaN') throw new TypeError('no number')
  return number
}

function encodeWide(values: readonly unknown[], vr: 'UV' | 'SV'): Buffer {
  const bytes = Buffer.alloc(values.length * 8)
  for (const [index, value] of values.entries()) {
    const number = BigInt(typeof value === 'number' ? value : String(value))
    if (vr === 'UV') bytes.writeBigUInt64LE(number, index * 8)
    else bytes.writeBigInt64LE(number, index * 8)
  }
  return bytes
}

function encodeTags(values: readonly unknown[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) {
    if (typeof value !== 'string' || !/^[0-9A-F]{8}$/i.test(value)) throw new TypeError('no tag')
    bytes.writeUInt16LE(Number.parseInt(value.slice(0, 4), 16), index * 4)
    bytes.writeUInt16LE(Number.parseInt(value.slice(4), 16), index * 4 + 2)
  }
  return bytes
}

function encodeText(vr: string, values: readonly unknown[]): Buffer {
  const text = values.map((value) => textOf(vr, value)).join('\\')
  return padded(Buffer.from(text, 'utf8'), vr === 'UI' ? 0 : 0x20)
}

function textOf(vr: string, value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'string') return value
  if (typeof value === 'number') return vr === 'DS' ? decimalString(value) : String(value)
  if (vr === 'PN' && typeof value === 'object') return nameText(value as Readonly<Record<string, unknown>>)
  throw new TypeError('no text')
}

function nameText(name: Readonly<Record<string, unknown>>): string {
  const groups = [name.Alphabetic, name.Ideographic, name.Phonetic].map((group) => group ?? '')
  if (!groups.every((group) => typeof group === 'string')) throw new TypeError('no name')
  return withoutEnd(groups.join('='), '=')
}

/** At most the 16 characters of PS3.5 6.2, with as many digits as fit. */
function decimalString(value: number): string {
  if (!Number.isFinite(value)) throw new TypeError('no decimal')
  for (let digits = 17; digits > 9; digits--) {
    const text = digits === 17 ? String(value) : String(Number(value.toPrecision(digits)))
    if (text.length <= 16) return text
  }
  return value.toExponential(8)
}

/** An even number of bytes, PS3.5 7.1.1. */
export const padded = (bytes: Buffer, padding: number): Buffer =>
  bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from([padding])])

import { readRange } from './part10-open.ts'
import type { ByteReader } from './part10-window.ts'

/** Consecutive bytes of a file. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** A value on its way out. */
export interface OpenedValue {
  /** Bytes in `body`. */
  readonly length: number
  /** Read it once; nothing is read of the file before that. */
  readonly body: AsyncIterable<Uint8Array>
}

/** The ranges, one after the other. */
export function openRanges(content: ByteReader, ranges: readonly ByteRange[]): OpenedValue {
  async function* body() {
    for (const { offset, length } of ranges) yield* readRange(content, offset, offset + length)
  }
  return { length: ranges.reduce((sum, { length }) => sum + length, 0), body: body() }
}

/** A range with the bytes of each unit of 2, 4 or 8 bytes turned around; a unit that is cut off is left out. */
export function openSwapped(content: ByteReader, { offset, length }: ByteRange, unit: number): OpenedValue {
  const end = offset + length - (length % unit)
  async function* body() {
    // Pieces are whole units: all but the last are a power of two long.
    for await (const piece of readRange(content, offset, end)) yield swapped(piece, unit)
  }
  return { length: end - offset, body: body() }
}

function swapped(piece: Buffer, unit: number): Buffer {
  const copy = Buffer.from(piece)
  if (unit === 2) return copy.swap16()
  return unit === 4 ? copy.swap32() : copy.swap64()
}

/**
 * `bits` bits from bit `skip` (0 to 7) of a range on, lowest bit of a byte first (PS3.5 8.1.1), so that the first one
 * becomes bit 0 of the first byte; what is left of the last byte is zero.
 */
export function openBits(content: ByteReader, offset: number, skip: number, bits: number): OpenedValue {
  const length = Math.ceil(bits / 8)
  const end = offset + Math.ceil((skip + bits) / 8)
  async function* body() {
    let made = 0
    let carry: number | undefined
    for await (const piece of readRange(content, offset, end)) {
      const bytes: Buffer = carry === undefined ? piece : Buffer.concat([Buffer.from([carry]), piece])
      const isLast = made + bytes.length >= end - offset
      const shifted = shiftedDown(bytes, skip, isLast ? length - made : bytes.length - 1)
      if (isLast && bits % 8 !== 0) maskLast(shifted, bits % 8)
      made += shifted.length
      carry = bytes[bytes.length - 1]
      yield shifted
    }
  }
  return { length, body: body() }
}

/** The first `count` bytes of `bytes` moved down by `skip` bits. */
function shiftedDown(bytes: Buffer, skip: number, count: number): Buffer {
  const moved = Buffer.allocUnsafe(count)
  for (let at = 0; at < count; at++) moved[at] = ((bytes[at] ?? 0) >> skip) | ((bytes[at + 1] ?? 0) << (8 - skip))
  return moved
}

function maskLast(bytes: Buffer, bits: number): void {
  const last = bytes.length - 1
  bytes[last] = (bytes[last] ?? 0) & ((1 << bits) - 1)
}

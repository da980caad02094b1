import type { Attributes } from './attributes.ts'
import { damaged } from './refusals.ts'

/** A lookup table, PS3.3 C.11.1.1 and C.7.6.3.1.5. */
export interface Lut {
  /** The value that the first entry is for; what is below it gets the first entry, what is above the table the last. */
  readonly first: number
  /** Of an entry. */
  readonly bits: number
  readonly entries: Uint16Array
}

interface LutTags {
  readonly descriptor: number
  readonly data: number
}

/** `undefined` when there is none. `signed`: what is mapped has a sign. Throws `bad-gateway` for one without its data. */
export function readLut(attributes: Attributes, { descriptor, data }: LutTags, signed: boolean): Lut | undefined {
  if (!attributes.has(descriptor) || !attributes.has(data)) return undefined
  const [count = 0, first = 0, bits = 0] = attributes.words(descriptor)
  const length = count === 0 ? 65_536 : count
  const entries = entriesOf(attributes, data, length)
  if (entries.length < length || bits < 1 || bits > 16) throw damaged('it has a lookup table that is incomplete')
  const isSigned = signed || attributes.vr(descriptor) === 'SS'
  return { first: isSigned ? (first << 16) >> 16 : first, bits, entries: entries.subarray(0, length) }
}

/** Entries of eight bits may lie in bytes or in words. */
function entriesOf(attributes: Attributes, data: number, length: number): Uint16Array {
  const bytes = attributes.bytes(data)
  return bytes.length >= length * 2 ? attributes.words(data) : Uint16Array.from(bytes)
}

export function lookUp({ first, entries }: Lut, value: number): number {
  const index = Math.min(Math.max(Math.round(value) - first, 0), entries.length - 1)
  return entries[index] ?? 0
}

export interface MadeElement {
  /** Eight hexadecimal digits. */
  readonly tag: string
  readonly vr: string
  /** Text; 16-bit numbers; bytes as they are; the items of a sequence. */
  readonly value: string | readonly number[] | Uint8Array | readonly (readonly MadeElement[])[]
}

const longForm = new Set(['OB', 'OW', 'OF', 'SQ', 'UN', 'fragments'])

/** Elements in Explicit VR Little Endian. */
export const encode = (elements: readonly MadeElement[]): Buffer => Buffer.concat(elements.map(encodeElement))

function encodeElement({ tag, vr, value }: MadeElement): Buffer {
  if (vr === 'fragments') return fragments(tag, value as Uint8Array)
  const bytes = valueBytes(vr, value)
  const padding = vr === 'UI' || longForm.has(vr) ? 0 : 0x20
  const padded = bytes.length % 2 ? Buffer.concat([bytes, Buffer.from([padding])]) : bytes
  const head = Buffer.alloc(longForm.has(vr) ? 12 : 8)
  head.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0)
  head.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2)
  head.write(vr, 4, 'latin1')
  if (longForm.has(vr)) head.writeUInt32LE(padded.length, 8)
  else head.writeUInt16LE(padded.length, 6)
  return Buffer.concat([head, padded])
}

function valueBytes(vr: string, value: MadeElement['value']): Buffer {
  if (typeof value === 'string') return Buffer.from(value, 'latin1')
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (vr === 'SQ') return Buffer.concat((value as readonly (readonly MadeElement[])[]).map(item))
  return vr === 'SS' ? int16(value as readonly number[]) : uint16(value as readonly number[])
}

function item(elements: readonly MadeElement[]): Buffer {
  const content = encode(elements)
  const head = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0])
  head.writeUInt32LE(content.length, 4)
  return Buffer.concat([head, content])
}

/** Encapsulated pixel data with an empty offset table, PS3.5 A.4. */
function fragments(tag: string, items: Uint8Array): Buffer {
  const head = Buffer.from('000000004f420000ffffffff', 'hex')
  head.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0)
  head.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2)
  const table = Buffer.from('feff00e000000000', 'hex')
  const end = Buffer.from('feffdde000000000', 'hex')
  return Buffer.concat([head, table, items, end])
}

export const uint16 = (values: readonly number[]): Buffer => Buffer.from(Uint16Array.from(values).buffer)
export const int16 = (values: readonly number[]): Buffer => Buffer.from(Int16Array.from(values).buffer)

import { encode, type MadeElement } from './made-bytes.ts'

/** An image to be written as a Part 10 file, byte by byte, so that what is read is not what the product wrote. */
export interface MadeImage {
  readonly rows: number
  readonly columns: number
  readonly photometric?: string
  readonly samplesPerPixel?: number
  readonly planar?: boolean
  readonly bitsAllocated?: number
  readonly bitsStored?: number
  readonly signed?: boolean
  readonly frames?: number
  /** Native pixel data, little endian; with a `syntax` of compressed ones the frames. */
  readonly pixels: Uint8Array | readonly Uint8Array[]
  readonly syntax?: string
  readonly sopClass?: string
  /** Other elements, written in the order of their tags. */
  readonly elements?: readonly MadeElement[]
}

export const explicitLittleEndian = '1.2.840.10008.1.2.1'
const secondaryCapture = '1.2.840.10008.5.1.4.1.1.7'

export function madeImage(image: MadeImage): Buffer {
  const { syntax = explicitLittleEndian, sopClass = secondaryCapture } = image
  const elements = [...identifiers(sopClass), ...imagePixel(image), ...(image.elements ?? []), pixelData(image)]
  return madeFile(elements, { syntax, sopClass })
}

/** A file of any elements. */
export function madeFile(
  elements: readonly MadeElement[],
  options: { syntax?: string; sopClass?: string } = {},
): Buffer {
  const { syntax = explicitLittleEndian, sopClass = secondaryCapture } = options
  const meta = encode([
    { tag: '00020001', vr: 'OB', value: Buffer.from([0, 1]) },
    { tag: '00020002', vr: 'UI', value: sopClass },
    { tag: '00020003', vr: 'UI', value: '2.25.1' },
    { tag: '00020010', vr: 'UI', value: syntax },
    { tag: '00020012', vr: 'UI', value: '2.25.9' },
  ])
  const length = Buffer.alloc(4)
  length.writeUInt32LE(meta.length)
  const group = encode([{ tag: '00020000', vr: 'UL', value: length }])
  const ordered = [...elements].sort((a, b) => (a.tag < b.tag ? -1 : 1))
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), group, meta, encode(ordered)])
}

export const identifiers = (sopClass: string): MadeElement[] => [
  { tag: '00080016', vr: 'UI', value: sopClass },
  { tag: '00080018', vr: 'UI', value: '2.25.1' },
  { tag: '00080060', vr: 'CS', value: 'OT' },
  { tag: '00100010', vr: 'PN', value: 'Made^Image' },
  { tag: '00100020', vr: 'LO', value: 'MADE' },
  { tag: '0020000D', vr: 'UI', value: '2.25.2' },
  { tag: '0020000E', vr: 'UI', value: '2.25.3' },
]

function imagePixel(image: MadeImage): MadeElement[] {
  const { photometric = 'MONOCHROME2', samplesPerPixel = 1, bitsAllocated = 8, frames = 1 } = image
  const { bitsStored = bitsAllocated } = image
  const us = (tag: string, value: number): MadeElement => ({ tag, vr: 'US', value: [value] })
  return [
    us('00280002', samplesPerPixel),
    { tag: '00280004', vr: 'CS', value: photometric },
    ...(samplesPerPixel > 1 ? [us('00280006', image.planar ? 1 : 0)] : []),
    ...(frames > 1 ? [{ tag: '00280008', vr: 'IS', value: String(frames) }] : []),
    us('00280010', image.rows),
    us('00280011', image.columns),
    us('00280100', bitsAllocated),
    us('00280101', bitsStored),
    us('00280102', bitsStored - 1),
    us('00280103', image.signed ? 1 : 0),
  ]
}

function pixelData({ pixels, bitsAllocated = 8 }: MadeImage): MadeElement {
  const vr = bitsAllocated > 8 ? 'OW' : 'OB'
  return pixels instanceof Uint8Array
    ? { tag: '7FE00010', vr, value: pixels }
    : { tag: '7FE00010', vr: 'fragments', value: Buffer.concat(pixels.map(fragment)) }
}

function fragment(frame: Uint8Array): Buffer {
  const head = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0])
  head.writeUInt32LE(frame.length + (frame.length % 2), 4)
  return Buffer.concat([head, frame, Buffer.alloc(frame.length % 2)])
}

/** A grey wedge with a grain, so that nothing is the same everywhere: values from `least` to `greatest`. */
export function wedge(rows: number, columns: number, least: number, greatest: number): number[] {
  return Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns]
    const level = (0.8 * column) / (columns - 1) + (0.2 * ((row * 7 + column * 3) % 11)) / 10
    return Math.round(least + (greatest - least) * level)
  })
}

import { LinkError } from '../core/errors.ts'
import { type Element, explicitLittle, notDicom, sequenceEndTag, truncatedAt } from './part10-element.ts'
import type { ImageLayout } from './part10-image.ts'
import type { ByteRange } from './part10-range.ts'
import { itemAt } from './part10-walk.ts'
import { type ByteReader, FileWindow } from './part10-window.ts'

/** More fragments than any image has; a bound on memory. */
const maxFragments = 1_000_000
/** Bytes of an item's header. */
const itemHeader = 8

/** The fragments of each frame of encapsulated pixel data, PS3.5 A.4; all of them one frame in a video. */
export async function encapsulatedFrames(
  content: ByteReader,
  pixelData: Element,
  layout: ImageLayout,
  isVideo: boolean,
): Promise<readonly (readonly ByteRange[])[]> {
  const extended = await extendedTable(content, pixelData, layout)
  if (extended !== undefined && !isVideo) return extended
  const [table, ...fragments] = await readFragments(content, pixelData)
  if (table === undefined) throw notDicom('its pixel data has no Basic Offset Table item')
  if (isVideo || layout.numberOfFrames === 1) return [fragments]
  const offsets = await basicOffsets(content, table)
  if (offsets.length > 0) return byOffsets(fragments, offsets)
  if (fragments.length === layout.numberOfFrames) return fragments.map((fragment) => [fragment])
  return byEndMarkers(content, fragments, layout.numberOfFrames)
}

/** All items in their order, the Basic Offset Table first. */
async function readFragments(content: ByteReader, pixelData: Element): Promise<ByteRange[]> {
  // Only the headers are read: the fragments between them may be large.
  const window = new FileWindow(content, itemHeader)
  const items: ByteRange[] = []
  let offset = pixelData.valueOffset
  for (;;) {
    const item = await itemAt(window, pixelData, offset, content.size, explicitLittle)
    if (item.tag === sequenceEndTag) return items
    if (items.push({ offset: item.valueOffset, length: item.length }) > maxFragments) {
      throw new LinkError('too-large', `the pixel data has more than ${maxFragments} fragments`)
    }
    offset = item.valueOffset + item.length
  }
}

async function basicOffsets(content: ByteReader, table: ByteRange): Promise<number[]> {
  const bytes = await content.read(table.offset, Math.min(table.length, maxFragments * 4))
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => bytes.readUInt32LE(index * 4))
}

/** Offsets count from the first byte of the first fragment's item; frames take the fragments up to the next one. */
function byOffsets(fragments: readonly ByteRange[], offsets: readonly number[]): ByteRange[][] {
  const first = (fragments[0]?.offset ?? 0) - itemHeader
  const starts = new Map(fragments.map(({ offset }, index) => [offset - itemHeader - first, index]))
  const indexes = offsets.map((offset) => starts.get(offset))
  return indexes.map((start, frame) => {
    const end = frame + 1 < indexes.length ? indexes[frame + 1] : fragments.length
    if (start === undefined || end === undefined || end <= start) {
      throw notDicom(`its Basic Offset Table points to no fragment for frame ${frame + 1}`)
    }
    return fragments.slice(start, end)
  })
}

/** Each frame is one fragment, whose place is known without reading those before it. */
async function extendedTable(content: ByteReader, pixelData: Element, layout: ImageLayout) {
  const { extendedOffsets, extendedLengths, numberOfFrames } = layout
  if (extendedOffsets === undefined || extendedLengths === undefined) return undefined
  const offsets = await wideNumbers(content, extendedOffsets, numberOfFrames)
  const lengths = await wideNumbers(content, extendedLengths, numberOfFrames)
  if (offsets.length !== numberOfFrames || lengths.length !== numberOfFrames) return undefined
  const table = await itemAt(
    new FileWindow(content, itemHeader),
    pixelData,
    pixelData.valueOffset,
    content.size,
    explicitLittle,
  )
  const first = table.valueOffset + table.length
  return offsets.map((offset, frame) => {
    const range = { offset: first + offset + itemHeader, length: lengths[frame] ?? 0 }
    if (range.offset + range.length > content.size) throw truncatedAt(pixelData.tag)
    return [range]
  })
}

async function wideNumbers(content: ByteReader, { valueOffset, length }: Element, most: number): Promise<number[]> {
  const bytes = await content.read(valueOffset, Math.min(length, most * 8, maxFragments * 8))
  return Array.from({ length: Math.floor(bytes.length / 8) }, (_, index) => Number(bytes.readBigUInt64LE(index * 8)))
}

/** Without a table a frame ends where its bit stream does: JPEG, JPEG-LS and JPEG 2000 all end with FF D9. */
async function byEndMarkers(content: ByteReader, fragments: readonly ByteRange[], numberOfFrames: number) {
  const frames: ByteRange[][] = []
  let current: ByteRange[] = []
  for (const fragment of fragments) {
    current.push(fragment)
    if (!(await endsWithMarker(content, fragment))) continue
    frames.push(current)
    current = []
  }
  if (frames.length === numberOfFrames && current.length === 0) return frames
  throw notDicom(`its ${fragments.length} fragments cannot be told apart into ${numberOfFrames} frames`)
}

async function endsWithMarker(content: ByteReader, { offset, length }: ByteRange): Promise<boolean> {
  const tail = Math.min(length, 4)
  const bytes = await content.read(offset + length - tail, tail)
  return /ffd9(00)*$/.test(bytes.toString('hex'))
}

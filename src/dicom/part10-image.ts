import { type Element, notDicom, tagText, truncatedAt } from './part10-element.ts'
import type { OpenedFile } from './part10-open.ts'
import { elementAt, endOfValue, shortText } from './part10-walk.ts'
import type { Window } from './part10-window.ts'

/** What the Image Pixel module (PS3.3 C.7.6.3) says about how the frames lie in the pixel data. */
export interface ImageLayout {
  readonly rows: number
  readonly columns: number
  readonly samplesPerPixel: number
  readonly bitsAllocated: number
  readonly photometricInterpretation: string
  readonly numberOfFrames: number
  /** Pixel Data, Float or Double Float Pixel Data; `undefined` when the instance has none. */
  readonly pixelData: Element | undefined
  /** Extended Offset Table and its lengths, PS3.3 C.7.6.3.1.8. */
  readonly extendedOffsets: Element | undefined
  readonly extendedLengths: Element | undefined
}

const tags = {
  samplesPerPixel: 0x00280002,
  photometricInterpretation: 0x00280004,
  numberOfFrames: 0x00280008,
  rows: 0x00280010,
  columns: 0x00280011,
  bitsAllocated: 0x00280100,
  extendedOffsets: 0x7fe00001,
  extendedLengths: 0x7fe00002,
  floatPixelData: 0x7fe00008,
  doublePixelData: 0x7fe00009,
  pixelData: 0x7fe00010,
}
const wanted: ReadonlySet<number> = new Set(Object.values(tags))

/** More frames than any instance has; a bound on memory. */
const maxFrames = 1_000_000

/** Steps over the top level of a dataset, up to its pixel data. */
export async function readImageLayout({ window, begin, content, meta }: OpenedFile): Promise<ImageLayout> {
  const found = new Map<number, Element>()
  const { encoding } = meta
  for (let offset = begin; ; ) {
    const next = elementAt(window, offset, content.size, encoding)
    const element = next instanceof Promise ? await next : next
    if (element === undefined) break
    if (wanted.has(element.tag)) found.set(element.tag, element)
    if (element.tag >= tags.pixelData) break
    offset = await endOfValue(window, element, content.size, encoding)
  }
  const number = (tag: number) => numberIn(window, found.get(tag), encoding.littleEndian)
  const text = async (tag: number) => {
    const element = found.get(tag)
    return element === undefined ? '' : shortText(window, element)
  }
  return {
    rows: await number(tags.rows),
    columns: await number(tags.columns),
    samplesPerPixel: (await number(tags.samplesPerPixel)) || 1,
    bitsAllocated: await number(tags.bitsAllocated),
    photometricInterpretation: await text(tags.photometricInterpretation),
    numberOfFrames: frameCount(await text(tags.numberOfFrames)),
    pixelData: found.get(tags.pixelData) ?? found.get(tags.floatPixelData) ?? found.get(tags.doublePixelData),
    extendedOffsets: found.get(tags.extendedOffsets),
    extendedLengths: found.get(tags.extendedLengths),
  }
}

/** What is no number means what its absence means: one frame. */
function frameCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : 1
  if (count <= maxFrames) return Math.max(count, 1)
  throw notDicom(`its Number of Frames (0028,0008) is ${count}, more than ${maxFrames}`)
}

async function numberIn(window: Window, element: Element | undefined, littleEndian: boolean): Promise<number> {
  if (element === undefined || element.length === 0) return 0
  if (element.length < 2) throw notDicom(`its ${tagText(element.tag)} is no number`)
  if (!window.has(element.valueOffset, 2)) await window.load(element.valueOffset, 2)
  const at = element.valueOffset - window.start
  if (at + 2 > window.bytes.length) throw truncatedAt(element.tag)
  return littleEndian ? window.bytes.readUInt16LE(at) : window.bytes.readUInt16BE(at)
}

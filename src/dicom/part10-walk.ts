import {
  decodeElement,
  type Element,
  type Encoding,
  implicitLittle,
  itemEndTag,
  itemTag,
  longestHeader,
  notDicom,
  sequenceEndTag,
  tagText,
  truncatedAt,
  undefinedLength,
} from './part10-element.ts'
import type { Window } from './part10-window.ts'

/** Deeper nesting than any IOD has; a bound on recursion, not on content. */
export const maxDepth = 64

/**
 * The element that begins at `offset`; `undefined` when the dataset ends there. `limit` is where whatever holds the
 * element ends: the file, an item or a sequence; `Infinity` when that is not known yet. Answers at once when the
 * window has the bytes, as it mostly does: a caller with many elements to go awaits promises only. Throws
 * `bad-request` when the element does not fit.
 */
export function elementAt(
  window: Window,
  offset: number,
  limit: number,
  encoding: Encoding,
): Element | undefined | Promise<Element | undefined> {
  if (offset >= limit) return undefined
  if (window.has(offset, longestHeader)) return elementIn(window, offset, limit, encoding)
  return window.load(offset, longestHeader).then(() => elementIn(window, offset, limit, encoding))
}

function elementIn(window: Window, offset: number, limit: number, encoding: Encoding): Element | undefined {
  const at = offset - window.start
  const element = decodeElement(window.bytes, at, offset, encoding)
  if (element === undefined) {
    if (at >= window.bytes.length) return undefined
    throw notDicom('it ends inside the header of an element')
  }
  const end = element.length === undefinedLength ? element.valueOffset : element.valueOffset + element.length
  if (end > limit) throw overrun(element, limit)
  return element
}

const overrun = (element: Element, limit: number) =>
  notDicom(`${tagText(element.tag)} claims ${element.length} bytes where ${limit - element.valueOffset} are left`)

/** The encoding inside a sequence: one of unknown VR and undefined length is implicit little endian (PS3.5 6.2.2). */
export const encodingInside = (element: Element, encoding: Encoding): Encoding =>
  element.vr === 'UN' && element.length === undefinedLength ? implicitLittle : encoding

/** Where the value of `element` ends, and the next element begins; follows nested items of undefined length. */
export function endOfValue(
  window: Window,
  element: Element,
  limit: number,
  encoding: Encoding,
  depth = 0,
): number | Promise<number> {
  if (element.length !== undefinedLength) return element.valueOffset + element.length
  return endOfItems(window, element, limit, encoding, depth)
}

async function endOfItems(window: Window, element: Element, limit: number, encoding: Encoding, depth: number) {
  if (depth > maxDepth) throw tooDeep()
  const inside = encodingInside(element, encoding)
  let offset = element.valueOffset
  for (;;) {
    const item = await itemAt(window, element, offset, limit, inside)
    if (item.tag === sequenceEndTag) return item.valueOffset
    offset = await endOfItem(window, item, limit, inside, depth)
  }
}

/** The next item of the sequence or fragment of the pixel data `owner`, or the delimiter that ends it. */
export async function itemAt(window: Window, owner: Element, offset: number, limit: number, encoding: Encoding) {
  const item = await elementAt(window, offset, limit, encoding)
  if (item === undefined) throw truncatedAt(owner.tag)
  if (item.tag === itemTag || item.tag === sequenceEndTag) return item
  throw notDicom(`${tagText(owner.tag)} holds ${tagText(item.tag)} where an item is expected`)
}

/** Where an item ends, and the next one begins. */
export async function endOfItem(window: Window, item: Element, limit: number, encoding: Encoding, depth = 0) {
  if (item.length !== undefinedLength) return item.valueOffset + item.length
  let offset = item.valueOffset
  for (;;) {
    const element = await elementAt(window, offset, limit, encoding)
    if (element === undefined) throw truncatedAt(item.tag)
    if (element.tag === itemEndTag) return element.valueOffset
    offset = await endOfValue(window, element, limit, encoding, depth + 1)
  }
}

export const tooDeep = () => notDicom(`its sequences are nested more than ${maxDepth} deep`)

/** The value of a short text element as it stands, without padding; reads at most `most` bytes of it. */
export async function shortText(window: Window, element: Element, most = 256): Promise<string> {
  const length = Math.min(element.length, most)
  if (!window.has(element.valueOffset, length)) await window.load(element.valueOffset, length)
  const at = element.valueOffset - window.start
  if (at + length > window.bytes.length) throw truncatedAt(element.tag)
  return window.bytes
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .trimStart()
}

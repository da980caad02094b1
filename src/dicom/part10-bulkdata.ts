import { LinkError } from '../core/errors.ts'
import { vrOf } from './dictionary.ts'
import { type Element, type Encoding, itemEndTag, sequenceEndTag, tagKey, undefinedLength } from './part10-element.ts'
import type { OpenedFile } from './part10-open.ts'
import { elementAt, encodingInside, endOfItem, endOfValue, itemAt, maxDepth } from './part10-walk.ts'

/** An element anywhere in a dataset, and what its value is encoded in. */
export interface FoundElement {
  readonly element: Element
  /** From the dictionary where the file does not say it. */
  readonly vr: string
  readonly encoding: Encoding
}

/** Where elements may lie: between two offsets, in one encoding. */
export interface Region {
  readonly begin: number
  readonly limit: number
  readonly encoding: Encoding
}

const pathPattern = /^(bulkdata\/)?([0-9A-F]{8}(\.[1-9]\d{0,8}\.[0-9A-F]{8})*)$/i

/** Finds an element by a path of `readMetadata`, with or without `bulkdata/`. Throws `not-found` when there is none. */
export async function findElement(file: OpenedFile, path: string): Promise<FoundElement> {
  const steps = pathPattern.exec(path)?.[2]?.toUpperCase().split('.') ?? []
  if (steps.length === 0 || steps.length > 2 * maxDepth) throw noSuchBulkdata(path)
  let region: Region = { begin: file.begin, limit: file.content.size, encoding: file.meta.encoding }
  for (let step = 0; ; step += 2) {
    const element = await elementIn(file, region, Number.parseInt(steps[step] ?? '', 16))
    if (element === undefined) throw noSuchBulkdata(path)
    const item = steps[step + 1]
    if (item === undefined) return { element, vr: element.vr || vrOf(tagKey(element.tag)), encoding: region.encoding }
    const inside = await itemOf(file, element, region, Number(item))
    if (inside === undefined) throw noSuchBulkdata(path)
    region = inside
  }
}

const noSuchBulkdata = (path: string) =>
  new LinkError('not-found', `the instance has no bulk data ${JSON.stringify(path.slice(0, 80))}`)

async function elementIn({ window }: OpenedFile, region: Region, tag: number): Promise<Element | undefined> {
  let offset = region.begin
  for (;;) {
    const element = await elementAt(window, offset, region.limit, region.encoding)
    if (element === undefined || element.tag === tag) return element
    if (element.tag === itemEndTag) return undefined
    offset = await endOfValue(window, element, region.limit, region.encoding)
  }
}

/** The inside of the item with that number, from 1. */
export async function itemOf({ window }: OpenedFile, owner: Element, region: Region, number: number) {
  const encoding = encodingInside(owner, region.encoding)
  const limit = owner.length === undefinedLength ? region.limit : owner.valueOffset + owner.length
  let offset = owner.valueOffset
  for (let count = 1; offset < limit; count++) {
    const item = await itemAt(window, owner, offset, limit, encoding)
    if (item.tag === sequenceEndTag) return undefined
    const end = item.length === undefinedLength ? limit : item.valueOffset + item.length
    if (count === number) return { begin: item.valueOffset, limit: end, encoding }
    offset = await endOfItem(window, item, limit, encoding)
  }
  return undefined
}

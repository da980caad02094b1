import { LinkError } from '../core/errors.ts'
import type { Attribute, Dataset, MutableDataset } from './dataset.ts'
import { vrOf } from './dictionary.ts'
import {
  type Element,
  type Encoding,
  itemEndTag,
  pixelDataTag,
  sequenceEndTag,
  tagKey,
  truncatedAt,
  undefinedLength,
} from './part10-element.ts'
import { openPart10 } from './part10-open.ts'
import { type TextDecode, textDecoder } from './part10-text.ts'
import { attributeOf, isBinary } from './part10-value.ts'
import { elementAt, encodingInside, endOfValue, itemAt, maxDepth, tooDeep } from './part10-walk.ts'
import type { ByteReader, Window } from './part10-window.ts'
import { tag } from './tags.ts'

/** Binary values up to this many bytes stand in the metadata themselves. */
const maxInlineBinaryBytes = 1024
/** Any other value up to this many. */
const maxInlineValueBytes = 1024 * 1024
/** All of them together, and how many elements there may be: what bounds the memory one instance can take. */
const maxInlineTotalBytes = 64 * 1024 * 1024
const maxElements = 1_000_000

/**
 * The whole dataset of a Part 10 file in DICOM JSON (PS3.18 annex F), whatever its size: pixel data and large
 * values are stepped over, not read. Text is Unicode whatever character set the file is in; Available Transfer
 * Syntax UID (0008,3002) says how it is stored; group lengths and padding are left out, private attributes kept.
 *
 * Pixel data, binary values of more than 1 KiB and others of more than 1 MiB are given as `BulkDataURI` relative to
 * the instance: `bulkdata/7FE00010`, or in sequences `bulkdata/<tag>.<item>.<tag>`, items counted from 1;
 * `openBulkdata` reads them.
 *
 * Throws `bad-request` for a file that is damaged or truncated, `too-large` for one beyond the bounds above.
 */
export async function readMetadata(file: ByteReader): Promise<Dataset> {
  const { meta, content, begin, window } = await openPart10(file)
  const reader = new MetadataReader(window)
  const scope = { encoding: meta.encoding, decode: textDecoder([]), signed: false, path: '', depth: 0 }
  const { dataset } = await reader.dataset(begin, content.size, scope)
  dataset[tag.SpecificCharacterSet] = unicode
  dataset[tag.AvailableTransferSyntaxUID] = { vr: 'UI', Value: [meta.transferSyntaxUID] }
  return Object.fromEntries(Object.entries(dataset).sort(([a], [b]) => (a < b ? -1 : 1)))
}

const unicode: Attribute = { vr: 'CS', Value: ['ISO_IR 192'] }

/** What the elements of one dataset share; items inherit it from what holds them. */
interface Scope {
  readonly encoding: Encoding
  readonly decode: TextDecode
  /** Pixel Representation (0028,0103) is 1: what may be US or SS is SS. */
  readonly signed: boolean
  /** Ahead of the tag in a BulkDataURI. */
  readonly path: string
  readonly depth: number
}

/** What was read of an element, nothing when it is left out, and where the next one begins. */
interface Read {
  readonly attribute: Attribute | undefined
  readonly end: number
}

class MetadataReader {
  readonly #window: Window
  #elements = 0
  #inlineBytes = 0

  constructor(window: Window) {
    this.#window = window
  }

  /**
   * Elements from `begin` to `limit`. In an item of undefined length they end with a delimiter before that: `end` is
   * then where the delimiter ends, else `undefined`.
   */
  async dataset(begin: number, limit: number, inherited: Scope): Promise<{ dataset: MutableDataset; end?: number }> {
    const dataset: MutableDataset = {}
    let scope = inherited
    let offset = begin
    for (;;) {
      const next = elementAt(this.#window, offset, limit, scope.encoding)
      const element = next instanceof Promise ? await next : next
      if (element === undefined) return { dataset }
      if (element.tag === itemEndTag && scope.depth > 0) return { dataset, end: element.valueOffset }
      this.#count()
      const { attribute, end } = await this.#attribute(element, limit, scope)
      if (attribute !== undefined) dataset[tagKey(element.tag)] = attribute
      scope = scopeAfter(element, dataset, scope)
      offset = end
    }
  }

  async #attribute(element: Element, limit: number, scope: Scope): Promise<Read> {
    const vr = vrIn(element, scope)
    if (!isPadding(element) && isSequence(element, vr)) return this.#sequence(element, limit, scope)
    const end = await endOfValue(this.#window, element, limit, scope.encoding)
    if (isPadding(element)) return { attribute: undefined, end }
    if (isBulk(element, vr)) return { attribute: { vr, BulkDataURI: bulkdataPath(element, scope) }, end }
    this.#inlineBytes += element.length
    if (this.#inlineBytes > maxInlineTotalBytes) throw tooLarge(`more than ${maxInlineTotalBytes} bytes of values`)
    const bytes = await bytesOf(this.#window, element)
    // A known element written as UN keeps the form it had in implicit little endian (PS3.5 6.2.2).
    const littleEndian = element.vr === 'UN' || scope.encoding.littleEndian
    return { attribute: attributeOf(vr, bytes, { littleEndian, decode: scope.decode }), end }
  }

  async #sequence(element: Element, limit: number, scope: Scope): Promise<Read> {
    if (scope.depth >= maxDepth) throw tooDeep()
    const inside = { ...scope, encoding: encodingInside(element, scope.encoding), depth: scope.depth + 1 }
    const known = element.length === undefinedLength ? undefined : element.valueOffset + element.length
    const items: Dataset[] = []
    let offset = element.valueOffset
    while (offset !== known) {
      const item = await itemAt(this.#window, element, offset, known ?? limit, inside.encoding)
      this.#count()
      offset = item.valueOffset
      if (item.tag === sequenceEndTag) break
      const path = `${scope.path}${tagKey(element.tag)}.${items.length + 1}.`
      const read = await this.#item(item, known ?? limit, { ...inside, path })
      items.push(read.dataset)
      offset = read.end
    }
    return { attribute: items.length === 0 ? { vr: 'SQ' } : { vr: 'SQ', Value: items }, end: known ?? offset }
  }

  async #item(item: Element, limit: number, scope: Scope): Promise<{ dataset: Dataset; end: number }> {
    const known = item.length === undefinedLength ? undefined : item.valueOffset + item.length
    const { dataset, end } = await this.dataset(item.valueOffset, known ?? limit, scope)
    if (known !== undefined) return { dataset, end: known }
    if (end === undefined) throw truncatedAt(item.tag)
    return { dataset, end }
  }

  #count(): void {
    if (++this.#elements > maxElements) throw tooLarge(`more than ${maxElements} elements`)
  }
}

const bulkdataPath = (element: Element, scope: Scope): string => `bulkdata/${scope.path}${tagKey(element.tag)}`

const tooLarge = (what: string) => new LinkError('too-large', `the metadata of an instance holds ${what}`)

/** Group lengths, which say nothing in DICOM JSON, trailing padding, delimiters gone astray. */
const isPadding = ({ tag }: Element): boolean =>
  (tag & 0xffff) === 0 || tag >>> 16 === 0xfffe || tag === 0xfffcfffc || tag >>> 16 === 2

/** Attributes that are US or SS as Pixel Representation says, where the file does not say it. */
const usOrSs: ReadonlySet<number> = new Set([
  0x00189810, 0x00221452, 0x00280104, 0x00280105, 0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110,
  0x00280111, 0x00280120, 0x00280121, 0x00409211, 0x00409216, 0x00603004, 0x00603006,
])

/** The VR the file says, or that of the dictionary where it says none or hides a public attribute behind UN. */
function vrIn(element: Element, scope: Scope): string {
  if (element.vr !== '' && element.vr !== 'UN') return element.vr
  const known = vrOf(tagKey(element.tag))
  if (element.vr === 'UN' && known === 'SQ') return 'UN'
  return scope.signed && usOrSs.has(element.tag) ? 'SS' : known
}

/** A value without a length is a sequence, unless it is encapsulated pixel data. */
const isSequence = (element: Element, vr: string): boolean =>
  element.length === undefinedLength ? !isFragments(element) : vr === 'SQ'

const isFragments = ({ tag, vr }: Element): boolean => tag === pixelDataTag || vr === 'OB' || vr === 'OW'

function isBulk(element: Element, vr: string): boolean {
  if (element.tag === pixelDataTag) return true
  return element.length > (isBinary(vr) ? maxInlineBinaryBytes : maxInlineValueBytes)
}

/** The scope for what follows an element: some say how later ones are to be read. */
function scopeAfter({ tag: number }: Element, dataset: MutableDataset, scope: Scope): Scope {
  if (number === 0x00080005) {
    const terms = (dataset[tag.SpecificCharacterSet]?.Value ?? []).map((term) => (typeof term === 'string' ? term : ''))
    dataset[tag.SpecificCharacterSet] = unicode
    return { ...scope, decode: textDecoder(terms) }
  }
  if (number === 0x00280103) return { ...scope, signed: dataset['00280103']?.Value?.[0] === 1 }
  return scope
}

async function bytesOf(window: Window, element: Element): Promise<Buffer> {
  if (!window.has(element.valueOffset, element.length)) await window.load(element.valueOffset, element.length)
  const at = element.valueOffset - window.start
  if (at + element.length > window.bytes.length) throw truncatedAt(element.tag)
  return window.bytes.subarray(at, at + element.length)
}

/** DICOM JSON model, PS3.18 annex F: what QIDO-RS and WADO-RS metadata carry. */

/** Eight upper-case hexadecimal digits, group then element: `0020000D`. */
export type Tag = string

export interface Attribute {
  readonly vr: string
  readonly Value?: readonly unknown[]
  readonly BulkDataURI?: string
  readonly InlineBinary?: string
}

/** One dataset: attributes by tag. */
export type Dataset = Readonly<Record<Tag, Attribute>>

/** A dataset under construction. */
export type MutableDataset = Record<Tag, Attribute>

/** The alphabetic component group of a person name value. */
interface PersonName {
  readonly Alphabetic?: string
  readonly Ideographic?: string
  readonly Phonetic?: string
}

/** The values of an attribute as strings; person names by their component groups joined with `=` (PS3.5 6.2.1). */
export function strings(dataset: Dataset, tag: Tag): string[] {
  return (dataset[tag]?.Value ?? []).map(asText).filter((text) => text !== '')
}

/** The first value of an attribute as a string, or `undefined` when absent or empty. */
export function firstString(dataset: Dataset, tag: Tag): string | undefined {
  for (const value of dataset[tag]?.Value ?? []) {
    const text = asText(value)
    if (text !== '') return text
  }
  return undefined
}

/** The first value as a number (IS, DS and US come as numbers or as strings), or `undefined`. */
export function firstNumber(dataset: Dataset, tag: Tag): number | undefined {
  const text = firstString(dataset, tag)
  if (text === undefined || text.trim() === '') return undefined
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}

/** `above`: what comes before the tag in the path of an element, empty at the top. */
type Mapping = (tag: Tag, attribute: Attribute, above: string) => Attribute | undefined

/**
 * A dataset with every attribute replaced by what `map` makes of it, in the items of sequences too; `undefined` leaves
 * the attribute out. What archives put where an attribute or an item should be, and is none, is left as it is.
 */
export function mapAttributes(dataset: Dataset, map: Mapping, above = ''): MutableDataset {
  const mapped: MutableDataset = {}
  for (const [tag, attribute] of Object.entries(dataset)) {
    const kept = isObject(attribute) ? map(tag, attribute, above) : attribute
    if (kept !== undefined) mapped[tag] = withMappedItems(kept, map, `${above}${tag}`)
  }
  return mapped
}

function withMappedItems(attribute: Attribute, map: Mapping, path: string): Attribute {
  if (!isObject(attribute) || !Array.isArray(attribute.Value) || attribute.vr === 'PN') return attribute
  if (!attribute.Value.some(isObject)) return attribute
  const Value = attribute.Value.map((value: unknown, index) =>
    isObject(value) ? mapAttributes(value as Dataset, map, `${path}.${index + 1}.`) : value,
  )
  return { ...attribute, Value }
}

/**
 * The attribute at the path of an element: its tag, or in sequences `<tag>.<item>.<tag>` with items counted from 1;
 * `undefined` when there is none.
 */
export function attributeAt(dataset: Dataset, path: string): Attribute | undefined {
  const [tag = '', item, ...rest] = path.split('.')
  const attribute = dataset[tag]
  if (!isObject(attribute) || item === undefined) return isObject(attribute) ? attribute : undefined
  const inside: unknown = attribute.Value?.[Number(item) - 1]
  return isObject(inside) ? attributeAt(inside as Dataset, rest.join('.')) : undefined
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function asText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return ''
  if (typeof value === 'object') return personNameText(value as PersonName)
  return String(value)
}

function personNameText(name: PersonName): string {
  const groups = [name.Alphabetic ?? '', name.Ideographic ?? '', name.Phonetic ?? '']
  return groups.join('=').replace(/=+$/, '')
}

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

type Mapping = (tag: Tag, attribute: Attribute) => Attribute | undefined

/**
 * A dataset with every attribute replaced by what `map` makes of it, in the items of sequences too; `undefined` leaves
 * the attribute out. What archives put where an attribute or an item should be, and is none, is left as it is.
 */
export function mapAttributes(dataset: Dataset, map: Mapping): MutableDataset {
  const mapped: MutableDataset = {}
  for (const [tag, attribute] of Object.entries(dataset)) {
    const kept = isObject(attribute) ? map(tag, attribute) : attribute
    if (kept !== undefined) mapped[tag] = withMappedItems(kept, map)
  }
  return mapped
}

function withMappedItems(attribute: Attribute, map: Mapping): Attribute {
  if (!isObject(attribute) || !Array.isArray(attribute.Value) || attribute.vr === 'PN') return attribute
  if (!attribute.Value.some(isObject)) return attribute
  const Value = attribute.Value.map((value: unknown) =>
    isObject(value) ? mapAttributes(value as Dataset, map) : value,
  )
  return { ...attribute, Value }
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

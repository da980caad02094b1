import type { Attribute, Dataset, Tag } from '../dicom/dataset.ts'
import { linkBlock, privateAttribute } from '../dicom/private-dictionary.ts'

/** The row of a study at one cluster. */
export interface LinkSource {
  readonly cluster: string
  readonly role: string
  readonly row: Dataset
}

/** The texts of an attribute without blanks around them; archives write anything, and what is no text is passed over. */
export const textsOf = (attribute: Attribute | undefined): string[] => valuesOf(attribute).flatMap(textIn)

const textIn = (value: unknown): string[] => (typeof value === 'string' && value.trim() !== '' ? [value.trim()] : [])

/** Below what is called a sequence and is none, nobody has checked that an attribute is one. */
export const valuesOf = (attribute: Attribute | undefined): readonly unknown[] =>
  Array.isArray(attribute?.Value) ? attribute.Value : []

/** What the link attribute of another proxy says in a row. `tag`: of block 10, whichever block the row has it in. */
export const ownTexts = (row: Dataset, tag: Tag): string[] => textsOf(privateAttribute(row, linkBlock, tag.slice(-2)))

/** The first of the texts that is one of the words, in any case. */
export const wordIn = <Word extends string>(words: readonly Word[], texts: readonly string[]): Word | undefined =>
  texts.flatMap((text) => words.find((word) => word === text.toUpperCase()) ?? [])[0]

/** The answer of the most believed copy that has one. */
export function firstTold<T>(copies: readonly LinkSource[], read: (row: Dataset) => T | undefined): T | undefined {
  for (const { row } of copies) {
    const told = read(row)
    if (told !== undefined) return told
  }
  return undefined
}

/** Each text once, by code unit. */
export const sortedOnce = (texts: readonly string[]): string[] => [...new Set(texts)].sort()

import type { Dataset, Tag } from '../dicom/dataset.ts'
import { linkTag, mitraBlock, privateAttribute } from '../dicom/private-dictionary.ts'
import { tag } from '../dicom/tags.ts'
import { firstTold, type LinkSource, ownTexts, textsOf, valuesOf } from './told.ts'

/** Other Patient IDs Sequence. */
export const otherPatientIdsTag: Tag = '00101002'

/** Of an item of Issuer of Patient ID Qualifiers Sequence, PS3.3 table 10-18. */
const universalEntityId: Tag = '00400032'
const identifierTypeCode: Tag = '00400035'

/** HL7 table 0203: an id of an enterprise or of a whole country, which is one over the domains of its hospitals. */
const globalTypes = ['PE', 'NI']

/**
 * The global patient identifier, as the most believed copy says it that says one: another proxy in its link
 * attributes, an older system in its private block, any archive in Other Patient IDs Sequence.
 *
 * An item of that sequence is taken for one when it says so, by an Identifier Type Code PE or NI, and says who issued
 * it: an id without an issuer never joins patients. A copy that says several different ones says none.
 */
export const globalIdOf = (copies: readonly LinkSource[]): string | undefined => firstTold(copies, toldIn)

function toldIn(row: Dataset): string | undefined {
  const blocks = [ownTexts(row, linkTag.gpi), textsOf(privateAttribute(row, mitraBlock, '20'))]
  const told = blocks.find((ids) => ids.length > 0)
  return told ? onlyOne(told) : inSequence(row)
}

/** The same digits from two issuers are two ids. */
function inSequence(row: Dataset): string | undefined {
  const items = itemsOf(row, otherPatientIdsTag).filter(isGlobal)
  const issued = items.map((item) => JSON.stringify([textsOf(item[tag.PatientID]), issuersOf(item)]))
  return onlyOne(issued) === undefined ? undefined : textsOf(items[0]?.[tag.PatientID])[0]
}

const onlyOne = (texts: readonly string[]): string | undefined => (new Set(texts).size === 1 ? texts[0] : undefined)

function isGlobal(item: Dataset): boolean {
  const types = qualifiersOf(item).flatMap((it) => textsOf(it[identifierTypeCode]))
  const isOne = textsOf(item[tag.PatientID]).length === 1
  return isOne && issuersOf(item).length > 0 && types.some((type) => globalTypes.includes(type))
}

const issuersOf = (item: Dataset): string[] => [
  ...textsOf(item[tag.IssuerOfPatientID]),
  ...qualifiersOf(item).flatMap((it) => textsOf(it[universalEntityId])),
]

const qualifiersOf = (item: Dataset): Dataset[] => itemsOf(item, tag.IssuerOfPatientIDQualifiersSequence)

const itemsOf = (row: Dataset, key: Tag): Dataset[] => valuesOf(row[key]).filter(isItem)

const isItem = (value: unknown): value is Dataset =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

import type { Attribute, Dataset, Tag } from './dataset.ts'
import { keywordOf } from './dictionary.ts'
import { creatorTagOf, isPrivateElement } from './private-dictionary.ts'

const namespace = 'http://dicom.nema.org/PS3.19/models/NativeDICOM'

/**
 * A dataset in DICOM JSON as a document of the Native DICOM Model, PS3.19 A.1. Characters that XML 1.0 has no way to
 * write (control characters, halves of surrogate pairs) become U+FFFD. What is no attribute is left out.
 */
export const nativeXml = (dataset: Dataset): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="${namespace}" xml:space="preserve">` +
  `${attributesOf(dataset)}</NativeDicomModel>`

/** By tag: objects list keys that look like whole numbers, such as 20200020, before all others. */
const attributesOf = (dataset: Dataset): string =>
  Object.entries(dataset)
    .filter(([tag, attribute]) => /^[0-9A-F]{8}$/.test(tag) && isObject(attribute))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tag, attribute]) => element(identityOf(dataset, tag, attribute.vr), contentOf(attribute)))
    .join('')

/**
 * Of a private attribute its creator stands for its block, which becomes 00; where the creator is missing, nobody can
 * say whose it is, and it keeps its block.
 */
function identityOf(dataset: Dataset, tag: Tag, vr: unknown): string {
  const type = typeof vr === 'string' && /^[A-Z]{2}$/.test(vr) ? vr : 'UN'
  const creator = isPrivateElement(tag) ? dataset[creatorTagOf(tag)]?.Value?.[0] : undefined
  const keyword = keywordOf(tag)
  if (typeof creator === 'string' && creator !== '') {
    const standardised = `${tag.slice(0, 4)}00${tag.slice(6)}`
    return `DicomAttribute tag="${standardised}" vr="${type}" privateCreator="${escaped(creator)}"`
  }
  return `DicomAttribute tag="${tag}" vr="${type}"${keyword === undefined ? '' : ` keyword="${escaped(keyword)}"`}`
}

function contentOf({ vr, Value, BulkDataURI, InlineBinary }: Attribute): string {
  if (typeof BulkDataURI === 'string') return `<BulkData uri="${escaped(BulkDataURI)}"/>`
  if (typeof InlineBinary === 'string') return element('InlineBinary', escaped(InlineBinary))
  const write = vr === 'SQ' ? itemOf : vr === 'PN' ? personNameOf : plainValueOf
  return Array.isArray(Value) ? Value.map((value: unknown, at) => write(value, `number="${at + 1}"`)).join('') : ''
}

const itemOf = (value: unknown, number: string): string =>
  element(`Item ${number}`, isObject(value) ? attributesOf(value as Dataset) : '')

const plainValueOf = (value: unknown, number: string): string => element(`Value ${number}`, escaped(textOf(value)))

function textOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

const groups = ['Alphabetic', 'Ideographic', 'Phonetic'] as const
const components = ['FamilyName', 'GivenName', 'MiddleName', 'NamePrefix', 'NameSuffix'] as const

/** Component groups as DICOM JSON has them, or, from archives that know no better, one text of them all. */
function personNameOf(value: unknown, number: string): string {
  const written = typeof value === 'string' ? value.split('=') : []
  const given = isObject(value) ? (value as Partial<Record<string, unknown>>) : {}
  const content = groups.map((group, at) => groupOf(group, written[at] ?? textOf(given[group])))
  return element(`PersonName ${number}`, content.join(''))
}

function groupOf(name: string, text: string): string {
  if (text === '') return ''
  const parts = text.split('^')
  // There are five components at most; what is more belongs to the last.
  const last = parts.slice(components.length - 1).join('^')
  const content = components.map((component, at) => {
    const part = at === components.length - 1 ? last : (parts[at] ?? '')
    return part === '' ? '' : element(component, escaped(part))
  })
  return element(name, content.join(''))
}

/** `opening` is the name of the element and its attributes. */
const element = (opening: string, content: string): string =>
  content === '' ? `<${opening}/>` : `<${opening}>${content}</${opening.replace(/ .*/s, '')}>`

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What readers would take for markup or change: of line ends they make line feeds, in attributes blanks. */
const special: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
}

/** Everything that is no Char of XML 1.0. */
const forbidden = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu

const escaped = (text: string): string =>
  text.replaceAll(forbidden, '\ufffd').replaceAll(/[&<>"\t\n\r]/g, (character) => special[character] ?? character)

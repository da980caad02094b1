import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Attribute, Dataset } from '../../src/dicom/dataset.ts'
import { keywordOf } from '../../src/dicom/dictionary.ts'
import { nativeXml } from '../../src/dicom/native-xml.ts'
import { readNativeXml } from '../support/native-xml.ts'

const runs = { seed: 20_261_124, numRuns: 5_000 }

/** Any code units at all: markup, control characters, halves of surrogate pairs. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc
    .array(
      fc.constantFrom(
        '<',
        '>',
        '&',
        '"',
        "'",
        ']]>',
        '&amp;',
        '\r\n',
        '\t',
        '\u0000',
        '\ud800',
        '\ufffe',
        '^',
        '=',
        '山',
      ),
    )
    .map((all) => all.join('')),
)
const group = text.map((one) => one.replaceAll(/[\^=]/g, '')).filter((one) => one !== '')
const name = fc
  .record({ Alphabetic: group, Ideographic: group, Phonetic: group }, { requiredKeys: [] })
  .map((groups) => Object.fromEntries(Object.entries(groups).map(([key, one]) => [key, `${one}^${one}`])))

const { dataset } = fc.letrec<{ dataset: Dataset; attribute: [string, Attribute] }>((tie) => ({
  attribute: fc.oneof(
    fc.tuple(
      fc.constantFrom('00081030', '00100020', '20200020'),
      fc.record({ vr: fc.constantFrom('LO', 'UT', 'SH'), Value: fc.array(text) }),
    ),
    fc.tuple(fc.constantFrom('00100010', '00081070'), fc.record({ vr: fc.constant('PN'), Value: fc.array(name) })),
    fc.tuple(
      fc.constantFrom('00400275', '00081115'),
      fc.record({ vr: fc.constant('SQ'), Value: fc.array(tie('dataset'), { maxLength: 3 }) }),
    ),
    fc.tuple(fc.constantFrom('00091042', '00771001'), fc.record({ vr: fc.constant('LO'), Value: fc.array(text) })),
    fc.tuple(fc.constantFrom('00090010', '00770010'), fc.record({ vr: fc.constant('LO'), Value: fc.tuple(group) })),
    fc.tuple(fc.constant('7FE00010'), fc.record({ vr: fc.constant('OW'), BulkDataURI: group })),
    fc.tuple(
      fc.constant('00282000'),
      fc.record({ vr: fc.constant('OB'), InlineBinary: fc.base64String().filter((one) => one !== '') }),
    ),
  ),
  dataset: fc.array(tie('attribute'), { maxLength: 6 }).map((all) => Object.fromEntries(all)),
}))

/** What is to be read again: what XML cannot have is replaced, private tags go by their creator. */
function expected(given: Dataset): unknown[] {
  return Object.entries(given)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tag, { Value, BulkDataURI, ...attribute }]) => {
      const creator =
        /^....[1-9A-F]/.test(tag) && /^...[13579BDF]/.test(tag)
          ? given[`${tag.slice(0, 4)}00${tag.slice(4, 6)}`]?.Value?.[0]
          : undefined
      const keyword = keywordOf(tag)
      return {
        ...attribute,
        tag: creator === undefined ? tag : `${tag.slice(0, 4)}00${tag.slice(6)}`,
        ...(creator !== undefined && { privateCreator: clean(creator) }),
        ...(keyword !== undefined && { keyword }),
        ...(BulkDataURI !== undefined && { BulkDataURI: clean(BulkDataURI) }),
        ...(Value && Value.length > 0 && { Value: Value.map(clean) }),
      }
    })
}

function clean(value: unknown): unknown {
  if (typeof value === 'string')
    return [...value].map((one) => (isChar(one.codePointAt(0) ?? 0) ? one : '\ufffd')).join('')
  const entries = Object.entries(value as object)
  if (entries.some(([key]) => /^[0-9A-F]{8}$/.test(key))) return expected(value as Dataset)
  return entries.length === 0
    ? expect.toSatisfy((read: object) => Object.keys(read).length === 0)
    : Object.fromEntries(entries.map(([key, one]) => [key, clean(one)]))
}

/** XML 1.0, 2.2. */
const isChar = (code: number): boolean =>
  code === 9 ||
  code === 10 ||
  code === 13 ||
  (code >= 0x20 && code <= 0xd7ff) ||
  (code >= 0xe000 && code <= 0xfffd) ||
  code >= 0x10000

test('any dataset is well-formed XML that says the same', () => {
  fc.assert(
    fc.property(dataset, (given) => {
      expect(readNativeXml(nativeXml(given))).toEqual(expected(given))
    }),
    runs,
  )
})

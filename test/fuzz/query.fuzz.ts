import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { compileConstraints } from '../../src/dicom/match.ts'
import { parseQuery } from '../../src/dicom/query.ts'

const runs = { seed: 20_260_104, numRuns: 10_000, interruptAfterTimeLimit: 4_000 }

const key = fc.constantFrom(
  ...['PatientName', '00100020', 'StudyDate', 'StudyTime', '0040A13A', 'StudyInstanceUID', 'StudyComments', '00080201'],
  ...['link.reportStatus', 'link.cluster', 'link.x', '00770010', '00771001', '00090010', '00091001', '0020000'],
)
const other = fc.constantFrom(
  'limit',
  'offset',
  'includefield',
  'fuzzymatching',
  'emptyvaluematching',
  'multiplevaluematching',
  'partial',
  'accept',
  '00400275.00400009',
  '.',
  '',
)
const value = fc.oneof(
  fc.string(),
  fc.string().map(encodeURIComponent),
  fc.constantFrom(
    '%',
    '%2',
    '%FF',
    '+',
    '*',
    '1.2,1.3',
    '20220101-',
    '-1015',
    '2022+0100',
    '101',
    'true',
    'all',
    'link',
    '""',
    '%22%22',
    'DICOMWEB+LINK+1.0',
    'NEW',
    '+0100',
  ),
)
const pair = fc.tuple(fc.oneof(key, other, fc.string()), value).map(([name, text]) => `${name}=${text}`)
const search = fc.array(fc.oneof(pair, fc.string()), { maxLength: 8 }).map((pairs) => pairs.join('&'))

/** As the text of an error shows the name of a parameter. */
function nameIn(pair: string): string {
  const [written = ''] = pair.split('=')
  const name = decoded(written)
  return name.length > 80 ? `${name.slice(0, 80)}…` : name
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

test('any query part is parsed, and its keys can be matched, or the text says which parameter is wrong', () => {
  fc.assert(
    fc.property(fc.constantFrom('study', 'series', 'instance'), search, (level, text) => {
      try {
        const { constraints, linkConstraints } = parseQuery(level, text)
        compileConstraints(constraints)
        compileConstraints(linkConstraints)
      } catch (error) {
        expect(error).toBeInstanceOf(LinkError)
        expect(error).toMatchObject({ code: 'bad-request' })
        const names = text.split('&').map(nameIn)
        expect(names.filter((name) => String((error as LinkError).message).startsWith(`${name}: `))).not.toEqual([])
      }
    }),
    runs,
  )
})

test('what a client encodes is what is parsed', () => {
  const text = fc.string({ maxLength: 50, unit: 'grapheme' }).filter((given) => !/\p{Cc}/u.test(given))
  fc.assert(
    fc.property(text, (given) => {
      const expected = [{ path: ['00081030'], value: given }]
      expect(parseQuery('study', `StudyDescription=${encodeURIComponent(given)}`).constraints).toEqual(expected)
      expect(parseQuery('study', String(new URLSearchParams({ '00081030': given }))).constraints).toEqual(expected)
    }),
    runs,
  )
})

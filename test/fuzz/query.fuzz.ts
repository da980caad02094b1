import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { compileConstraints } from '../../src/dicom/match.ts'
import { parseQuery } from '../../src/dicom/query.ts'

const runs = { seed: 20_260_104, numRuns: 10_000, interruptAfterTimeLimit: 4_000 }

const key = fc.constantFrom('PatientName', '00100020', 'StudyDate', 'StudyTime', '0040A13A', 'StudyInstanceUID')
const other = fc.constantFrom(
  'limit',
  'offset',
  'includefield',
  'fuzzymatching',
  'accept',
  '00400275.00400009',
  '.',
  '',
)
const value = fc.oneof(
  fc.string(),
  fc.string().map(encodeURIComponent),
  fc.constantFrom('%', '%2', '%FF', '+', '*', '1.2,1.3', '20220101-', '-1015', '2022+0100', '101', 'true', 'all'),
)
const pair = fc.tuple(fc.oneof(key, other, fc.string()), value).map(([name, text]) => `${name}=${text}`)
const search = fc.array(fc.oneof(pair, fc.string()), { maxLength: 8 }).map((pairs) => pairs.join('&'))

test('any query part is parsed, and its keys can be matched, or it is a bad request', () => {
  fc.assert(
    fc.property(fc.constantFrom('study', 'series', 'instance'), search, (level, text) => {
      try {
        compileConstraints(parseQuery(level, text).constraints)
      } catch (error) {
        expect(error).toBeInstanceOf(LinkError)
        expect(error).toMatchObject({ code: 'bad-request' })
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

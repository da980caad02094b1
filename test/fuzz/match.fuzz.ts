import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { vrOf } from '../../src/dicom/dictionary.ts'
import { compileGlob } from '../../src/dicom/glob.ts'
import { compileConstraint, compileConstraints, matchConstraint } from '../../src/dicom/match.ts'
import type { Constraint } from '../../src/dicom/query.ts'
import { casesOf, check, datesAndTimes, fuzzyNames, kinds, runs, word } from './kinds.ts'
import { glob, judge, judgeTogether, type Plain } from './reference.ts'

const verdictOf = (row: Dataset, constraint: Constraint) => matchConstraint(row, compileConstraint(constraint))

describe('the matcher and a plain reading of PS3.4 C.2.2.2 agree', () => {
  test.each(Object.entries(kinds))('on %s', (_, kind) => {
    check(casesOf(kind), ({ constraint, row }) => {
      const expected = judge(row as Plain, constraint, vrOf)
      expect(verdictOf(row, constraint)).toBe(expected)
      return expected
    })
  })

  test.each(Object.entries(kinds))('on %s that have no value', (_, kind) => {
    check(casesOf(kind), ({ constraint: { path }, row }) => {
      const constraint = { path, value: '""', empty: true }
      const expected = judge(row as Plain, constraint, vrOf)
      expect(verdictOf(row, constraint)).toBe(expected)
      return expected
    })
  })

  test('on a date and a time that are one range', () => {
    check(datesAndTimes, ({ dates, times, keyZone, row }) => {
      const zone = keyZone === null ? {} : { timezone: keyZone }
      const [compiled, ...others] = compileConstraints([
        { path: ['00080020'], value: dates, ...zone },
        { path: ['00080030'], value: times, ...zone },
      ])
      expect(others).toEqual([])
      const expected = judgeTogether(row as Plain, { dates, times, ...zone })
      expect(compiled && matchConstraint(row, compiled)).toBe(expected)
      return expected
    })
  })

  test('on fuzzy names', () => {
    check(fuzzyNames, ({ constraint, row }) => {
      const expected = judge(row as Plain, constraint, vrOf)
      expect(verdictOf(row, constraint)).toBe(expected)
      return expected
    })
  })

  test('on wildcards', () => {
    check(fc.tuple(word(['a', 'b', '𝄞', '*', '?'], 10), word(['a', 'b', '𝄞'], 10)), ([pattern, text]) => {
      const expected = glob([...pattern], [...text])
      expect(compileGlob(pattern)(text)).toBe(expected)
      return expected ? 'match' : 'no-match'
    })
  })
})

test('a hostile pattern is answered in bounded steps', () => {
  const matches = compileGlob('*a'.repeat(500))
  expect(matches(`${'a'.repeat(5_000)}b`)).toBe(false)
})

test('any value of any attribute is judged or refused, never a crash', () => {
  const odd = fc.oneof(
    fc.string(),
    fc.constantFrom('20220101', '-', '10-', '1.2', '2022-0500-'),
    fc.integer(),
    fc.object(),
  )
  const tags = fc.constantFrom(...Object.values(kinds).flatMap((kind) => kind.tags), '00091001')
  const cases = fc.record({ tag: tags, value: fc.string(), fuzzy: fc.boolean(), Value: fc.array(odd), zone: odd })
  fc.assert(
    fc.property(cases, ({ tag, value, fuzzy, Value, zone }) => {
      const row = { [tag]: { vr: 'LO', Value }, '00080201': { vr: 'SH', Value: [zone] } }
      const isName = vrOf(tag) === 'PN'
      try {
        const compiled = compileConstraint({ path: [tag], value, ...(isName && { fuzzy }) })
        expect(['match', 'no-match', 'absent']).toContain(matchConstraint(row, compiled))
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad-request' })
      }
    }),
    runs,
  )
})

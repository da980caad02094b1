import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { vrOf } from '../../src/dicom/dictionary.ts'
import { compileGlob } from '../../src/dicom/glob.ts'
import { compileConstraint, compileConstraints, matchConstraint } from '../../src/dicom/match.ts'
import type { Constraint } from '../../src/dicom/query.ts'
import { casesOf, check, datesAndTimes, fuzzyNames, kinds, word } from './kinds.ts'
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

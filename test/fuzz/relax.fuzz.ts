import { describe, expect, test } from 'vitest'
import { type Dataset, strings } from '../../src/dicom/dataset.ts'
import { vrOf } from '../../src/dicom/dictionary.ts'
import { compileConstraints, matchConstraint, separable } from '../../src/dicom/match.ts'
import type { Constraint } from '../../src/dicom/query.ts'
import { relaxedValue } from '../../src/dicom/relax.ts'
import { casesOf, check, datesAndTimes, fuzzyNames, kinds } from './kinds.ts'
import { glob, inAnyCase, judge, type Plain } from './reference.ts'

const meetsAll = (row: Dataset, constraints: readonly Constraint[]): boolean =>
  compileConstraints(constraints).every((compiled) => matchConstraint(row, compiled) === 'match')

/** What archives are asked for when a client asks for these keys. */
const relaxed = (constraints: readonly Constraint[]): Constraint[] =>
  separable(constraints).map((constraint) => ({ path: constraint.path, value: relaxedValue(constraint) }))

/** An archive that goes by the letter of the standard, knows no time zones, and takes a name for one text. */
function archiveGives(row: Dataset, { path: [tag = '', ...rest], value }: Constraint): boolean {
  if (value === '') return true
  if (rest.length > 0) {
    return (row[tag]?.Value ?? []).some((item) => archiveGives(item as Dataset, { path: rest, value }))
  }
  if (vrOf(tag) === 'PN') return strings(row, tag).some((name) => glob([...value], [...name], inAnyCase))
  return judge({ [tag]: row[tag] } as Plain, { path: [tag], value }, vrOf) === 'match'
}

function agree(row: Dataset, constraints: readonly Constraint[]): string {
  if (!meetsAll(row, constraints)) return 'no-match'
  for (const constraint of relaxed(constraints)) {
    expect(meetsAll(row, [constraint])).toBe(true)
    expect(archiveGives(row, constraint)).toBe(true)
    expect(constraint.value).toMatch(/^[\w.*,+\\ -]*$/)
  }
  return 'match'
}

describe('what archives are asked for is met by every row that meets the key itself', () => {
  test.each(Object.entries(kinds))('of %s', (_, kind) => {
    check(casesOf(kind), ({ constraint, row }) => agree(row, [constraint]))
  })

  test('of fuzzy names', () => {
    check(fuzzyNames, ({ constraint, row }) => agree(row, [constraint]))
  })

  test('of a date and a time that are one range, in whatever time zone', () => {
    check(datesAndTimes, ({ dates, times, keyZone, row }) => {
      const zone = keyZone === null ? {} : { timezone: keyZone }
      return agree(row, [
        { path: ['00080020'], value: dates, ...zone },
        { path: ['00080030'], value: times, ...zone },
      ])
    })
  })
})

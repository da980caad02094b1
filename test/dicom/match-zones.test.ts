import { describe, expect, test } from 'vitest'
import { compileConstraint, compileConstraints, matchConstraint, separable } from '../../src/dicom/match.ts'
import { parseQuery } from '../../src/dicom/query.ts'
import { dataset, pathOf } from './datasets.ts'

const all = (search: string, values: Readonly<Record<string, unknown>>): string[] =>
  compileConstraints(parseQuery('study', search).constraints).map((one) => matchConstraint(dataset(values), one))

describe('time zones', () => {
  const judge = (search: string, values: Readonly<Record<string, unknown>>) => all(search, values)[0]
  const inTokyo = { TimezoneOffsetFromUTC: '+0900' }

  test.each([
    // 23:30 of the 31st in Tokyo is 14:30 UTC and 15:30 in Berlin.
    ['20240131-20240131', '1530-1530', '20240131', '233030', 'match'],
    ['20240131-20240131', '1531-1531', '20240131', '233030', 'no-match'],
    // 01:00 of the 1st in Tokyo is still the 31st in Berlin.
    ['20240131-20240131', '1000-2300', '20240201', '010000', 'match'],
    ['20240131-', '1700-', '20240201', '010000', 'match'],
    ['20240131-', '1701-', '20240201', '010000', 'no-match'],
    ['20240131-20240202', '0000-2359', '20240201', undefined, 'match'],
    ['20240201-20240202', '0000-2359', '20240201', undefined, 'absent'],
    ['20240202-20240203', '0000-2359', '20240201', undefined, 'no-match'],
  ])('%s %s of Berlin is %s %s of Tokyo: %s', (dates, times, date, time, expected) => {
    const row = { StudyDate: date, ...(time && { StudyTime: time }), ...inTokyo }
    expect(judge(`StudyDate=${dates}&StudyTime=${times}&00080201=+0100`, row)).toBe(expected)
  })

  test('clocks on the wall are compared with rows that do not say where they are', () => {
    const search = 'StudyDate=20240131-20240131&StudyTime=2330-2330&00080201=+0100'
    expect(judge(search, { StudyDate: '20240131', StudyTime: '233030' })).toBe('match')
    expect(
      judge(search.replace('&00080201=+0100', ''), { StudyDate: '20240131', StudyTime: '233030', ...inTokyo }),
    ).toBe('match')
  })

  test.each([
    ['20240131153030&00080201=+0100', '20240131233030', inTokyo, 'match'],
    ['20240131153030&00080201=+0100', '20240131143030+0000', {}, 'match'],
    ['20240131143030+0000&00080201=+0100', '20240131233030', inTokyo, 'match'],
    ['20240131143030+0000', '20240131233030', inTokyo, 'match'],
    ['20240131143030+0000', '20240131233030', {}, 'no-match'],
    ['20240131233030', '20240131233030', inTokyo, 'match'],
    ['20240131233030&00080201=+0900', '20240131233030', {}, 'match'],
  ])('of date-times: %s and %s %j', (search, value, zone, expected) => {
    expect(judge(`0040A13A=${search}`, { '0040A13A': value, ...zone })).toBe(expected)
  })

  test('an item of a sequence is in the zone of the dataset around it', () => {
    const item = dataset({ '0040A13A': '20240131233030' })
    const row = dataset({ ReferencedStudySequence: [item], ...inTokyo })
    const key = { path: pathOf('ReferencedStudySequence.0040A13A'), value: '20240131153030', timezone: '+0100' }
    expect(matchConstraint(row, compileConstraint(key))).toBe('match')
  })

  test.each([
    ['StudyDate=20240131-20240201', '20240129-20240203'],
    ['StudyDate=20240131-', '20240129-'],
    ['StudyDate=00000101-', ''],
    ['StudyDate=-99991231', ''],
  ])('dates are asked for with the days that they may be elsewhere: %s', (dates, asked) => {
    const times = /-$/.test(dates) ? '1000-' : /=-/.test(dates) ? '-1000' : '1000-1100'
    const { constraints } = parseQuery('study', `${dates}&StudyTime=${times}&00080201=+0100`)
    expect(separable(constraints).map(({ value }) => value)).toEqual([asked])
  })
})

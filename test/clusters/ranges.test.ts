import { describe, expect, test } from 'vitest'
import { isWithin, splitRange, yearRanges } from '../../src/clusters/ranges.ts'
import type { DateRange } from '../../src/dicom/dates.ts'

const now = Date.UTC(2024, 5, 1)

/** Whether ranges, newest first, are all dates of another, each once. */
function expectPartition(parts: readonly DateRange[], { from, to }: DateRange): void {
  expect(parts[0]?.to).toBe(to)
  expect(parts.at(-1)?.from).toBe(from)
  for (const [index, { from: begin = '' }] of parts.slice(0, -1).entries()) {
    const end = parts[index + 1]?.to ?? ''
    const day = (date: string) => Date.parse(`${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`)
    expect(day(begin) - day(end)).toBe(86_400_000)
  }
}

describe('ranges of dates', () => {
  test('cover all dates there are, year by year since 1990, newest first', () => {
    const ranges = yearRanges(now)
    expectPartition(ranges, {})
    expect(ranges.slice(0, 2)).toEqual([{ from: '20250101' }, { from: '20240101', to: '20241231' }])
    expect(ranges.at(-1)).toEqual({ to: '19891231' })
    expect(ranges).toHaveLength(37)
  })

  test.each([
    [{ from: '20240101', to: '20241231' }, 12, { from: '20241201', to: '20241231' }],
    [{ from: '20240201', to: '20240229' }, 29, { from: '20240229', to: '20240229' }],
    [{ from: '20230101', to: '20231231' }, 12, { from: '20231201', to: '20231231' }],
    [{ from: '20231231', to: '20240101' }, 2, { from: '20240101', to: '20240101' }],
    [{ from: '20200101', to: '20231231' }, 2, { from: '20211231', to: '20231231' }],
    [{ from: '20250101' }, 2, undefined],
    [{ to: '19891231' }, 2, undefined],
    [{}, 2, undefined],
  ])('%j is split into %d parts that are the same together', (range, parts, first) => {
    const split = splitRange(range)
    expect(split).toHaveLength(parts)
    expectPartition(split, range)
    if (first) expect(split[0]).toEqual(first)
  })

  test('are split down to days, and those are not', () => {
    expect(splitRange({ from: '20240131', to: '20240131' })).toEqual([])
    for (const range of yearRanges(now)) {
      let [smaller] = [range]
      for (let steps = 0; splitRange(smaller).length > 0; steps++) {
        expect(steps).toBeLessThan(30)
        smaller = splitRange(smaller)[0] ?? {}
      }
    }
  })

  test.each([
    ['20240131', {}, true],
    ['20240131', { from: '20240131' }, true],
    ['20240131', { to: '20240131' }, true],
    ['20240131', { from: '20240201' }, false],
    ['20240131', { from: '20230101', to: '20240130' }, false],
  ])('%s in %j: %s', (date, range, within) => {
    expect(isWithin(date, range)).toBe(within)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tag } from '../../src/dicom/tags.ts'
import { boundsOf, describeWindow, Windows, withWindow } from '../../src/query/windows.ts'

const now = Date.UTC(2026, 2, 1)
const date = (value: string) => ({ path: [tag.StudyDate], value })

describe('the dates a query is about', () => {
  it.each([
    ['all of them', [], {}],
    ['a range', [date('20240101-20241231')], { from: '20240101', to: '20241231' }],
    ['since', [date('20240101-')], { from: '20240101' }],
    ['until', [date('-20240101')], { to: '20240101' }],
    ['one day, which is no reason to walk', [date('20240101')], undefined],
    ['a study', [{ path: [tag.StudyInstanceUID], value: '1.2' }], undefined],
    ['none at all', [{ ...date('""'), empty: true }], undefined],
  ])('are %s', (_, constraints, bounds) => {
    expect(boundsOf(constraints)).toEqual(bounds)
  })

  it('are wider in a time zone: rows of others may be of the days around', () => {
    const timezone = '+0100'
    const constraints = [
      { path: [tag.StudyDate], value: '20240131-20240201', timezone },
      { path: [tag.StudyTime], value: '10-11', timezone },
    ]
    expect(boundsOf(constraints)).toEqual({ from: '20240129', to: '20240203' })
  })
})

/** Walks to the end, a number of rows found in each window, and answers with the windows. */
function walk(windows: Windows, found: () => number, needed = 100): string[] {
  const asked: string[] = []
  while (!windows.done && asked.length < 10_000) {
    asked.push(describeWindow(windows.next()))
    windows.pass(found(), needed)
  }
  return asked
}

const dayAfter = (day: string) => {
  const ms = Date.UTC(Number(day.slice(0, 4)), Number(day.slice(4, 6)) - 1, Number(day.slice(6, 8)) + 1)
  return new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')
}

describe('windows of dates', () => {
  it('begin with the last days and whatever the future holds, and end with the undated', () => {
    const asked = walk(new Windows({}, now, { needed: 100 }), () => 0)
    expect(asked[0]).toBe('20260228-')
    expect(asked.at(-2)).toMatch(/^-\d{8}$/)
    expect(asked.at(-1)).toBe('undated')
    expect(asked.length).toBeLessThan(10)
  })

  it('keep to the range of the query, without the undated', () => {
    const asked = walk(new Windows({ from: '20240225', to: '20240305' }, now, { needed: 100 }), () => 1)
    expect(asked[0]).toBe('20240304-20240305')
    expect(asked.at(-1)).toMatch(/^20240225-/)
    expect(asked).not.toContain('undated')
  })

  it('begin as long as the density asks for', () => {
    const windows = new Windows({}, now, { needed: 100, density: { rows: 50, days: 10 } })
    expect(describeWindow(windows.next())).toBe('20260205-')
  })

  it('become smaller down to a day, which cannot', () => {
    const windows = new Windows({}, now, { needed: 100, density: { rows: 1, days: 1 } })
    let times = 0
    while (windows.narrow()) times++
    expect(times).toBeGreaterThan(1)
    expect(describeWindow(windows.next())).toBe('20260301-')
  })

  it('leave out no day and ask for none twice, whatever is found', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5000), { minLength: 1 }), fc.integer({ min: 1, max: 5000 }), (counts, needed) => {
        let at = 0
        const windows = new Windows({ from: '20100101', to: '20260301' }, now, { needed })
        const asked = walk(windows, () => counts[at++ % counts.length] ?? 0, needed)
        const ranges = asked.map((window) => window.split('-') as [string, string]).toReversed()
        expect(ranges[0]?.[0]).toBe('20100101')
        expect(ranges.at(-1)?.[1]).toBe('20260301')
        // Thousands of windows: one assertion for each of them would take seconds.
        const misplaced = ranges.filter(([from], index) => index > 0 && from !== dayAfter(ranges[index - 1]?.[1] ?? ''))
        expect(misplaced).toEqual([])
      }),
      { numRuns: 200 },
    )
  })

  it('take the place of the key for the date, and of no other', () => {
    const id = { path: [tag.PatientID], value: 'A' }
    expect(withWindow([id, date('2024')], { from: '20240101', to: '20240131' })).toEqual([
      id,
      date('20240101-20240131'),
    ])
    expect(withWindow([id], {})).toEqual([id])
  })
})

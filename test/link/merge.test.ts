import { describe, expect, it } from 'vitest'
import type { SaidCorrection } from '../../src/link/correction.ts'
import { commentsAdded, mergeSnapshots, standing, standingCorrections } from '../../src/link/merge.ts'
import { emptySnapshot, type LinkSnapshot, type SaidComment } from '../../src/link/snapshot.ts'

const at = (ms: number) => new Date(Date.UTC(2026, 0, 31) + ms)
const merged = (...all: Partial<LinkSnapshot>[]) =>
  all.map((some) => ({ ...emptySnapshot, ...some })).reduce(mergeSnapshots, emptySnapshot)
const reportOf = (...all: Partial<LinkSnapshot>[]) => {
  const { reportStatus, homeSite } = merged(...all)
  return standing(reportStatus, homeSite)?.value
}
const said = (site: string, ms: number, value: 'NEW' | 'APPROVED'): Partial<LinkSnapshot> => ({
  reportStatus: [{ site, at: at(ms), value }],
})
const homeOf = (site: string, ms = 0): Partial<LinkSnapshot> => ({ homeSite: { site, at: at(ms) } })
const comment = (site: string, number: number, ms: number, text = 'a'): SaidComment => ({
  ...{ site, number, text },
  ...{ author: 'key:ris', at: at(ms) },
})

const named = (site: string, ms: number, value: string): Partial<LinkSnapshot> => ({
  corrections: [correction(site, ms, { value })],
})
const correction = (site: string, ms: number, some: Partial<SaidCorrection> = {}): SaidCorrection => ({
  ...{ keyword: 'PatientName', value: 'A', source: 'RIS', author: 'key:ris' },
  ...{ site, at: at(ms), ...some },
})

describe('of what sites tell of a study', () => {
  it('the first to claim it is its home, of two in one moment the smaller id', () => {
    expect(merged(homeOf('b', 2), homeOf('c', 1)).homeSite).toEqual({ site: 'c', at: at(1) })
    expect(merged(homeOf('b', 1), homeOf('a', 1)).homeSite?.site).toBe('a')
    expect(merged({}, homeOf('b')).homeSite?.site).toBe('b')
    expect(merged({}, {}).homeSite).toBeUndefined()
  })

  it('the last word counts, of two in one moment that of the larger id', () => {
    expect(reportOf(said('a', 2, 'NEW'), said('b', 1, 'APPROVED'))).toBe('NEW')
    expect(reportOf(said('a', 1, 'NEW'), said('b', 1, 'APPROVED'))).toBe('APPROVED')
    expect(reportOf(said('a', 1, 'APPROVED'), said('a', 2, 'NEW'))).toBe('NEW')
    expect(reportOf()).toBeUndefined()
  })

  it('the word of its home counts more than a later one', () => {
    expect(reportOf(homeOf('a'), said('a', 1, 'APPROVED'), said('b', 2, 'NEW'))).toBe('APPROVED')
    expect(reportOf(homeOf('c'), said('a', 1, 'APPROVED'), said('b', 2, 'NEW'))).toBe('NEW')
  })

  it('the word of a home that is known only later is still known', () => {
    const known = merged(said('a', 1, 'APPROVED'), said('b', 2, 'NEW'))
    expect(reportOf(known)).toBe('NEW')
    expect(reportOf(known, homeOf('a'))).toBe('APPROVED')
    expect(reportOf(known, homeOf('a', 1), homeOf('b', 0))).toBe('NEW')
  })

  it('the status of the study is that of its home, else the last, whatever it is', () => {
    const status = (site: string, ms: number, value: string) => ({ studyStatus: [{ site, at: at(ms), value }] })
    const known = merged(status('a', 1, 'READ'), status('b', 2, 'ARRIVED'), status('b', 0, 'STARTED'))
    expect(known.studyStatus).toHaveLength(2)
    expect(standing(known.studyStatus, undefined)?.value).toBe('ARRIVED')
    expect(standing(known.studyStatus, homeOf('a').homeSite)?.value).toBe('READ')
  })

  it('each attribute is corrected by its home, else by the last that corrects it', () => {
    const birth = correction('c', 0, { keyword: 'PatientBirthDate', value: '19700101' })
    const told = [named('a', 1, 'A'), named('b', 3, 'B'), named('a', 2, 'C'), { corrections: [birth] }]
    const { corrections } = merged(...told)
    expect(corrections.map(({ keyword, site, value }) => [keyword, site, value])).toEqual([
      ['PatientBirthDate', 'c', '19700101'],
      ['PatientName', 'a', 'C'],
      ['PatientName', 'b', 'B'],
    ])
    const values = (home?: string) =>
      standingCorrections(corrections, home === undefined ? undefined : homeOf(home).homeSite).map(({ value }) => value)
    expect([values(), values('a'), values('c')]).toEqual([
      ['19700101', 'B'],
      ['19700101', 'C'],
      ['19700101', 'B'],
    ])
  })

  it('every comment is kept once, in the order of their times', () => {
    const [one, two, other] = [comment('b', 1, 1), comment('b', 2, 3), comment('a', 1, 2)]
    const both = merged({ comments: [one, two] }, { comments: [two, other] })
    expect(both.comments).toEqual([one, other, two])
    expect(commentsAdded(merged({ comments: [one] }), both)).toEqual([other, two])
    // Whatever the order in which its members were read.
    const { text, ...rest } = one
    expect(merged(both, { comments: [{ text, ...rest }] }).comments).toEqual(both.comments)
  })

  it('comments that a site gave one number are both kept', () => {
    const [one, other] = [comment('b', 1, 1, 'before the backup'), comment('b', 1, 2, 'after it was restored')]
    expect(merged({ comments: [one] }, { comments: [other] }).comments).toEqual([one, other])
  })
})

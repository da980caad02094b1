import { describe, expect, it } from 'vitest'
import { commentsAdded, mergeSnapshots, standing } from '../../src/link/merge.ts'
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

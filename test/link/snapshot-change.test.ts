import { describe, expect, it } from 'vitest'
import { parseUid } from '../../src/dicom/uid.ts'
import type { ChangePlan } from '../../src/link/change.ts'
import { type LinkRecord, untold } from '../../src/link/record.ts'
import { emptySnapshot, type LinkSnapshot } from '../../src/link/snapshot.ts'
import { sayPlan } from '../../src/link/snapshot-change.ts'

const at = (ms: number) => new Date(Date.UTC(2026, 0, 31) + ms)
const nothing = untold(parseUid('1.2.3', 'test'))
const say = (plan: Partial<ChangePlan>, before: Partial<LinkSnapshot> = {}, record: Partial<LinkRecord> = {}) =>
  sayPlan(
    { ...emptySnapshot, ...before },
    { record: { ...nothing, ...record }, plan: { comments: [], corrections: [], forced: [], ...plan } },
    { site: 'here', author: 'key:ris', now: at(10) },
  )

describe('what this site says of a study', () => {
  it('is its word from now on', () => {
    expect(say({ reportStatus: 'NEW', verified: 'VERIFIED', verifiedAt: 'now' })).toEqual({
      reportStatus: [{ site: 'here', at: at(10), value: 'NEW' }],
      verified: [{ site: 'here', at: at(10), value: 'VERIFIED', verifiedAt: at(10) }],
      studyStatus: [],
      comments: [],
      corrections: [],
    })
  })

  it('is a study status, and what attributes should be, by whom', () => {
    const correction = { keyword: 'PatientID', value: 'P1', source: 'RIS' } as const
    const { studyStatus, corrections } = say({ studyStatus: 'READ', corrections: [correction] })
    expect(studyStatus).toEqual([{ site: 'here', at: at(10), value: 'READ' }])
    expect(corrections).toEqual([{ ...correction, site: 'here', author: 'key:ris', at: at(10) }])
  })

  it('corrects an attribute after what it answers, unless that is the home\u2019s', () => {
    const correction = { keyword: 'PatientID', value: 'P1', source: 'RIS' } as const
    const theirs = { ...correction, value: 'P2', site: 'a', author: 'x', at: at(5_000) }
    const other = { ...correction, keyword: 'StudyID' } as const
    const say1 = (homeSite?: string) => (some: typeof correction | typeof other) =>
      say(
        { corrections: [some] },
        { corrections: [theirs], ...(homeSite && { homeSite: { site: homeSite, at: at(0) } }) },
      )
    expect(say1()(correction).corrections).toEqual([
      theirs,
      { ...correction, site: 'here', author: 'key:ris', at: at(5_001) },
    ])
    expect(say1('a')(other).corrections).toHaveLength(2)
    expect(() => say1('a')(correction)).toThrow(/^corrections of PatientID: .* a /)
  })

  it('leaves the words of others as they are, and what it does not speak of', () => {
    const before: Partial<LinkSnapshot> = { reportStatus: [{ site: 'a', at: at(1), value: 'APPROVED' }] }
    expect(say({ reportStatus: 'NEW' }, before).reportStatus).toEqual([
      ...(before.reportStatus ?? []),
      { site: 'here', at: at(10), value: 'NEW' },
    ])
    expect(say({ comments: ['a'] }, before).reportStatus).toEqual(before.reportStatus)
  })

  it('comes after what it answers, also when the clock there runs ahead', () => {
    const before: Partial<LinkSnapshot> = { reportStatus: [{ site: 'z', at: at(5_000), value: 'APPROVED' }] }
    expect(say({ reportStatus: 'NEW' }, before).reportStatus.at(0)).toMatchObject({ site: 'here', at: at(5_001) })
  })

  it.each<[string, Partial<ChangePlan>, Partial<LinkRecord>, object]>([
    ['moves', { verifiedAt: at(7) }, { verified: 'VERIFIED', verifiedAt: at(3) }, { verifiedAt: at(7) }],
    [
      'goes',
      { verified: 'FAILED', verifiedAt: null },
      { verified: 'VERIFIED', verifiedAt: at(3) },
      { value: 'FAILED' },
    ],
    ['is not there', { verified: 'UNVERIFIED' }, {}, { value: 'UNVERIFIED' }],
  ])('the time of a verification %s', (_, plan, record, expected) => {
    const said = { site: 'here', at: at(10), value: 'VERIFIED', ...expected }
    expect(say(plan, {}, record).verified).toEqual([said])
  })

  it('adds comments after those that are there', () => {
    const comments = [{ text: 'old', author: 'x', at: at(1) }]
    expect(say({ comments: ['a', 'b'] }, {}, { comments }).comments).toEqual([
      { site: 'here', number: 2, text: 'a', author: 'key:ris', at: at(10) },
      { site: 'here', number: 3, text: 'b', author: 'key:ris', at: at(10) },
    ])
  })

  it('is refused when the home of the study has said something else', () => {
    const homeSaid = {
      homeSite: { site: 'a', at: at(0) },
      reportStatus: [{ site: 'a', at: at(1), value: 'NEW' }],
    } as const
    const conflict = expect.objectContaining({
      code: 'conflict',
      message: expect.stringMatching(/^reportStatus: .* a /),
    })
    expect(() => say({ reportStatus: 'APPROVED' }, homeSaid)).toThrow(conflict)
    expect(say({ verified: 'FAILED' }, homeSaid).verified).toHaveLength(1)
    expect(say({ reportStatus: 'APPROVED' }, { homeSite: homeSaid.homeSite }).reportStatus).toHaveLength(1)
    const own = {
      homeSite: { site: 'here', at: at(0) },
      reportStatus: [{ site: 'here', at: at(1), value: 'NEW' }],
    } as const
    expect(say({ reportStatus: 'APPROVED' }, own).reportStatus).toMatchObject([{ value: 'APPROVED' }])
  })
})

import { describe, expect, it } from 'vitest'
import { parseUid } from '../../src/dicom/uid.ts'
import { type LinkChange, maxCommentLength, maxComments, parseChange, planChange } from '../../src/link/change.ts'
import { type LinkRecord, reportStatuses, studyStatuses, untold, verifiedStatuses } from '../../src/link/record.ts'

const now = Date.UTC(2026, 0, 31, 10, 15)
const at = new Date(now)

/** Of a correction that is right. */
const name = { keyword: 'PatientName', value: 'Doe^Jane', source: 'RIS' } as const
const corrected = (keyword: string, value: unknown) => ({ corrections: [{ keyword, value, source: 'RIS' }] })

describe('a change as it is written', () => {
  it.each<[unknown, LinkChange]>([
    [{ reportStatus: 'APPROVED' }, { reportStatus: 'APPROVED' }],
    [
      { reportStatus: 'NEW', force: true },
      { reportStatus: 'NEW', force: true },
    ],
    [{ studyStatus: 'STARTED' }, { studyStatus: 'STARTED' }],
    [{ verified: 'FAILED' }, { verified: 'FAILED' }],
    [
      { verified: 'VERIFIED', verifiedAt: '2026-01-31T11:15:00+01:00' },
      { verified: 'VERIFIED', verifiedAt: at },
    ],
    [
      { verified: 'VERIFIED', verifiedAt: '2026-01-31T10:15Z' },
      { verified: 'VERIFIED', verifiedAt: at },
    ],
    [{ comments: [{ text: ' a\r\n\tb ' }, { text: 'c' }] }, { comments: [{ text: 'a\n\tb' }, { text: 'c' }] }],
    [{ comments: [{ text: 'x'.repeat(maxCommentLength) }] }, { comments: [{ text: 'x'.repeat(maxCommentLength) }] }],
    [
      {
        corrections: [
          { ...name, value: ' Doe^Jane ' },
          { keyword: 'PatientSex', value: 'F', source: 'HIS' },
        ],
      },
      { corrections: [name, { keyword: 'PatientSex', value: 'F', source: 'HIS' }] },
    ],
  ])('%j is understood', (body, change) => {
    expect(parseChange(body, now)).toEqual(change)
  })

  it.each<[unknown, string]>([
    [undefined, 'body:'],
    [null, 'body:'],
    ['APPROVED', 'body:'],
    [[], 'body:'],
    [{}, 'body: nothing to change'],
    [{ force: true }, 'body: nothing to change'],
    [{ comments: [] }, 'body: nothing to change'],
    [{ reportStatus: 'APPROVED', status: 'x', b: 1 }, '"status", "b": not known'],
    [JSON.parse('{"__proto__": {"reportStatus": "NEW"}}'), '"__proto__": not known'],
    [{ toString: 'NEW' }, '"toString": not known'],
    [{ reportStatus: 'approved' }, 'reportStatus: "approved"'],
    [{ reportStatus: 'UNKNOWN' }, 'reportStatus: "UNKNOWN"'],
    [{ reportStatus: null }, 'reportStatus: null'],
    [{ studyStatus: 'DICTATED' }, 'studyStatus: "DICTATED"'],
    [{ corrections: [] }, 'body: nothing to change'],
    [{ corrections: name }, 'corrections: expected a list'],
    [{ corrections: Array.from({ length: 13 }, () => name) }, 'corrections: 13 items'],
    [{ corrections: [name, { ...name, value: 'Roe' }] }, 'corrections: an attribute is in it twice'],
    [{ corrections: ['x'] }, 'corrections[0]: expected an object'],
    [{ corrections: [{ ...name, author: 'me' }] }, 'corrections[0]: "author" is not known'],
    [{ corrections: [{ ...name, source: undefined }] }, 'corrections[0].source: expected'],
    [{ corrections: [{ ...name, source: 'x'.repeat(65) }] }, 'corrections[0].source: expected'],
    [corrected('StudyInstanceUID', '1.2'), 'corrections[0].keyword: is none of PatientName'],
    [corrected('toString', 'x'), 'corrections[0].keyword: is none of PatientName'],
    [{ verified: true }, 'verified: true'],
    [{ verified: 'x'.repeat(1000) }, 'verified: "xxx'],
    [{ verifiedAt: '2026-01-31T10:15:00Z' }, 'verifiedAt: given without'],
    [{ verified: 'FAILED', verifiedAt: '2026-01-31T10:15:00Z' }, 'verifiedAt: given without'],
    [{ verified: 'VERIFIED', verifiedAt: '2026-01-31T10:15:00' }, 'verifiedAt: "2026'],
    [{ verified: 'VERIFIED', verifiedAt: '2026-01-31' }, 'verifiedAt: "2026'],
    [{ verified: 'VERIFIED', verifiedAt: '2026-02-30T10:15:00Z' }, 'verifiedAt: "2026'],
    [{ verified: 'VERIFIED', verifiedAt: '2026-01-31T25:15:00Z' }, 'verifiedAt: "2026'],
    [{ verified: 'VERIFIED', verifiedAt: now }, 'verifiedAt: 1'],
    [{ verified: 'VERIFIED', verifiedAt: '2026-01-31T10:20:01Z' }, 'verifiedAt: lies in the future'],
    [{ verified: 'VERIFIED', verifiedAt: '1869-01-31T10:20:01Z' }, 'verifiedAt: lies in the future, or before'],
    [{ force: 'yes', reportStatus: 'NEW' }, 'force: "yes"'],
    [{ comments: 'text' }, 'comments: expected a list'],
    [{ comments: ['text'] }, 'comments[0]: expected an object'],
    [{ comments: [{ text: 'a' }, { text: 1 }] }, 'comments[1].text: expected a text'],
    [{ comments: [{ text: 'a', author: 'me' }] }, 'comments[0]: "author" is not known'],
    [{ comments: [{ text: ' \n' }] }, 'comments[0].text: is empty'],
    [{ comments: [{ text: 'x'.repeat(maxCommentLength + 1) }] }, 'comments[0].text: longer'],
    [{ comments: [{ text: 'a\u0000' }] }, 'comments[0].text: holds control'],
    [{ comments: [{ text: 'a\u001bb' }] }, 'comments[0].text: holds control'],
    [{ comments: [{ text: 'a\rb' }] }, 'comments[0].text: holds control'],
    [{ comments: [{ text: 'a\u0085b' }] }, 'comments[0].text: holds control'],
    [{ comments: [{ text: 'a\ud800b' }] }, 'comments[0].text: holds control'],
  ])('%j is refused, and the text begins with what is wrong', (body, message) => {
    const parse = () => parseChange(body, now)
    expect(parse).toThrow(expect.objectContaining({ code: 'bad-request' }))
    expect(parse).toThrow(expect.objectContaining({ message: expect.stringContaining(message) }))
    expect(parse).not.toThrow(expect.objectContaining({ message: expect.stringMatching(/.{400}/) }))
  })

  it.each<[string, string, string[], unknown[]]>([
    [
      'a PN',
      'PatientName',
      ['A'.repeat(64), 'Yamada^Tarou=山田^太郎=やまだ^たろう'],
      ['A'.repeat(65), 'a=b=c=d', '^^^^^x', '^= '],
    ],
    ['a LO', 'PatientID', ['x'.repeat(64), 'P 1'], ['x'.repeat(65), 'a\\b', 'a\nb', 'a\u0007', '', ' ', null, 1]],
    ['a SH', 'AccessionNumber', ['x'.repeat(16)], ['x'.repeat(17)]],
    ['a DA', 'PatientBirthDate', ['20240229'], ['20250229', '2024-02-29', '2024', '20240101-20240201']],
    ['a TM', 'StudyTime', ['10', '101500.25'], ['2515', '10:15', 'noon']],
    ['the sex', 'PatientSex', ['M', 'F', 'O'], ['f', 'X', 'FEMALE']],
  ])('corrects an attribute by one value, such as %s', (_, keyword, values, wrong) => {
    for (const value of values) expect(parseChange(corrected(keyword, value), now)).toEqual(corrected(keyword, value))
    const refused = expect.objectContaining({
      message: expect.stringMatching(/^corrections\[0\]\.value: expected one value: /),
    })
    for (const value of wrong) expect(() => parseChange(corrected(keyword, value), now), `${value}`).toThrow(refused)
  })

  it.each([
    { comments: [{ text: 'Doe^Jane\u0007' }] },
    corrected('PatientName', 'Doe^Jane\u0007'),
    corrected('PatientSex', 'Doe^Jane'),
    corrected('Doe^Jane', 'x'),
    { corrections: [{ ...name, source: 'Doe^Jane\\' }] },
  ])('never has %j repeated', (body) => {
    expect(() => parseChange(body, now)).toThrow()
    expect(() => parseChange(body, now)).not.toThrow(/Doe/)
  })
})

describe('a change of a record', () => {
  const record = (told: Partial<LinkRecord> = {}): LinkRecord => ({
    ...untold(parseUid('1.2.3', 'test')),
    version: 1,
    ...told,
  })
  const none = { comments: [], corrections: [], forced: [] }

  it.each(reportStatuses.flatMap((from) => reportStatuses.map((to) => [from, to] as const)))(
    'of the report from %s to %s goes forward only, or by force',
    (from, to) => {
      const steps = reportStatuses.indexOf(to) - reportStatuses.indexOf(from)
      const plan = (force?: boolean) =>
        planChange(record({ reportStatus: from }), { reportStatus: to, ...(force && { force }) })
      const expected =
        steps === 0 ? undefined : { ...none, reportStatus: to, forced: steps < 0 ? ['reportStatus'] : [] }
      expect(plan(true)).toEqual(expected)
      if (steps >= 0) expect(plan()).toEqual(expected)
      else expect(plan).toThrow(expect.objectContaining({ code: 'conflict' }))
    },
  )

  it.each(studyStatuses.flatMap((from) => studyStatuses.map((to) => [from, to] as const)))(
    'of the study from %s to %s goes forward only, or by force',
    (studyStatus, to) => {
      const steps = studyStatuses.indexOf(to) - studyStatuses.indexOf(studyStatus)
      const plan = (force: boolean) => planChange(record({ studyStatus }), { studyStatus: to, force })
      const expected = steps === 0 ? undefined : { ...none, studyStatus: to, forced: steps < 0 ? ['studyStatus'] : [] }
      expect(plan(true)).toEqual(expected)
      if (steps >= 0) expect(plan(false)).toEqual(expected)
      else expect(() => plan(false)).toThrow(/^studyStatus: .*force/)
    },
  )

  it("of a study whose status is another site's own goes to any", () => {
    const plan = planChange(record({ studyStatus: 'ARRIVED' }), { studyStatus: 'STARTED' })
    expect(plan).toEqual({ ...none, studyStatus: 'STARTED' })
  })

  it('takes what is corrected from what is known, and leaves what is known', () => {
    const said = { ...name, site: 'south', author: 'key:ris', at }
    const known = record({ corrections: [said] })
    expect(planChange(known, { corrections: [name] })).toBeUndefined()
    for (const other of [{ value: 'Roe' }, { source: 'HIS' }, { keyword: 'PatientID' as const }]) {
      const news = { ...name, ...other }
      expect(planChange(known, { corrections: [news] })).toEqual({ ...none, corrections: [news] })
    }
  })

  it.each(reportStatuses)('of a report nobody told of begins at %s', (reportStatus) => {
    expect(planChange(record(), { reportStatus })).toEqual({ ...none, reportStatus })
  })

  it.each(verifiedStatuses.flatMap((from) => verifiedStatuses.map((to) => [from, to] as const)))(
    'of the verification goes from %s to %s',
    (from, to) => {
      const before = record({ verified: from, ...(from === 'VERIFIED' && { verifiedAt: at }) })
      const time = to === 'VERIFIED' ? { verifiedAt: 'now' } : from === 'VERIFIED' ? { verifiedAt: null } : {}
      expect(planChange(before, { verified: to })).toEqual(from === to ? undefined : { ...none, verified: to, ...time })
    },
  )

  it.each<[string, LinkRecord, LinkChange, unknown]>([
    [
      'is told with its time',
      record(),
      { verified: 'VERIFIED', verifiedAt: at },
      { ...none, verified: 'VERIFIED', verifiedAt: at },
    ],
    [
      'has the same time',
      record({ verified: 'VERIFIED', verifiedAt: at }),
      { verified: 'VERIFIED', verifiedAt: new Date(at) },
      undefined,
    ],
    [
      'has another time',
      record({ verified: 'VERIFIED', verifiedAt: new Date(0) }),
      { verified: 'VERIFIED', verifiedAt: at },
      { ...none, verifiedAt: at },
    ],
  ])('of a verification that %s', (_, before, change, expected) => {
    expect(planChange(before, change)).toEqual(expected)
  })

  it('adds comments, the same one again too', () => {
    const before = record({ comments: [{ text: 'a', author: 'x', at }] })
    expect(planChange(before, { comments: [{ text: 'a' }] })).toEqual({ ...none, comments: ['a'] })
  })

  it('adds no more comments than a study may have', () => {
    const comments = Array.from({ length: maxComments - 1 }, () => ({ text: 'a', author: 'x', at }))
    expect(planChange(record({ comments }), { comments: [{ text: 'a' }] })).toEqual({ ...none, comments: ['a'] })
    const tooMany = () => planChange(record({ comments }), { comments: [{ text: 'a' }, { text: 'b' }] })
    expect(tooMany).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringMatching(/^comments: /) }),
    )
  })
})

import { describe, expect, it } from 'vitest'
import { parseUid } from '../../src/dicom/uid.ts'
import { type LinkChange, maxCommentLength, maxComments, parseChange, planChange } from '../../src/link/change.ts'
import { type LinkRecord, reportStatuses, verifiedStatuses } from '../../src/link/record.ts'

const now = Date.UTC(2026, 0, 31, 10, 15)
const at = new Date(now)

describe('a change as it is written', () => {
  it.each<[unknown, LinkChange]>([
    [{ reportStatus: 'APPROVED' }, { reportStatus: 'APPROVED' }],
    [
      { reportStatus: 'NEW', force: true },
      { reportStatus: 'NEW', force: true },
    ],
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

  it('never has the text of a comment repeated', () => {
    const parse = () => parseChange({ comments: [{ text: 'Doe^Jane\u0007' }] }, now)
    expect(parse).not.toThrow(/Doe/)
  })
})

describe('a change of a record', () => {
  const record = (told: Partial<LinkRecord> = {}): LinkRecord => ({
    study: parseUid('1.2.3', 'test'),
    comments: [],
    version: 1,
    ...told,
  })
  const none = { comments: [], forced: false }

  it.each(reportStatuses.flatMap((from) => reportStatuses.map((to) => [from, to] as const)))(
    'of the report from %s to %s goes forward only, or by force',
    (from, to) => {
      const steps = reportStatuses.indexOf(to) - reportStatuses.indexOf(from)
      const plan = (force?: boolean) =>
        planChange(record({ reportStatus: from }), { reportStatus: to, ...(force && { force }) })
      const expected = steps === 0 ? undefined : { ...none, reportStatus: to, forced: steps < 0 }
      expect(plan(true)).toEqual(expected)
      if (steps >= 0) expect(plan()).toEqual(expected)
      else expect(plan).toThrow(expect.objectContaining({ code: 'conflict' }))
    },
  )

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

import { beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import { type ChangeResult, changeLinkRecord, linkHistoryOf, linkRecordsOf } from '../../src/db/link-store.ts'
import { convergeJob, linkAudit, linkComment, linkSaid, linkStudy } from '../../src/db/schema.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { type LinkChange, maxCommentLength, maxComments } from '../../src/link/change.ts'
import { untold } from '../../src/link/record.ts'

const uid = (n: number): Uid => parseUid(`1.2.3.${n}`, 'test')
const study = uid(1)
const name = { keyword: 'PatientName', value: 'Doe^Jane', source: 'RIS' } as const
const time = new Date('2026-01-31T10:15:00.123Z')

/** What is kept about studies; `db` and `other` are two handles on the same database. */
export function linkStoreContract(db: () => Database, other: () => Database): void {
  const change = (wanted: LinkChange, author = 'key:viewer', handle = db()) =>
    changeLinkRecord(handle, study, wanted, { site: 'here', targets: ['south'], author })
  const recordOf = async (it: Uid = study) => (await linkRecordsOf(db(), [it])).get(it)

  describe('link attributes', () => {
    beforeEach(async () => {
      await db().delete(linkStudy)
      await db().delete(linkComment)
      await db().delete(linkAudit)
      await db().delete(linkSaid)
    })

    it('that were never told are not there', async () => {
      expect(await linkRecordsOf(db(), [study])).toEqual(new Map())
      expect(await linkRecordsOf(db(), [])).toEqual(new Map())
      expect(await linkHistoryOf(db(), study, 10)).toEqual([])
    })

    it('are read as they were told, each change a version', async () => {
      const first = await change({ reportStatus: 'DICTATED', verified: 'VERIFIED', verifiedAt: time })
      expect(first).toMatchObject({ status: 'changed', fields: ['reportStatus', 'verified', 'verifiedAt'] })
      const second = await change({ comments: [{ text: 'first' }, { text: 'söcond\nline' }] }, 'key:other')
      const record = await recordOf()
      expect(record).toEqual(second.record)
      expect(record).toMatchObject({
        study,
        reportStatus: 'DICTATED',
        verified: 'VERIFIED',
        verifiedAt: time,
        version: 2,
      })
      expect(record?.comments).toMatchObject([
        { text: 'first', author: 'key:other' },
        { text: 'söcond\nline', author: 'key:other' },
      ])
    })

    it('that are told again change nothing', async () => {
      const wanted: LinkChange = { reportStatus: 'APPROVED', verified: 'VERIFIED', corrections: [name] }
      const told = await change(wanted)
      expect(await change(wanted)).toEqual({ status: 'unchanged', record: told.record })
      expect(await recordOf()).toEqual(told.record)
      expect(await linkHistoryOf(db(), study, 10)).toHaveLength(4)
    })

    it('are how far the study is, which goes back by force only', async () => {
      await change({ studyStatus: 'READ' })
      await expect(change({ studyStatus: 'STARTED' })).rejects.toMatchObject({ code: 'conflict' })
      expect(await recordOf()).toMatchObject({ studyStatus: 'READ', version: 1 })
      const back = await change({ studyStatus: 'STARTED', reportStatus: 'NEW', force: true })
      expect(back).toMatchObject({ forced: true, fields: ['reportStatus', 'studyStatus'] })
      expect(await recordOf()).toEqual({ ...untold(study), studyStatus: 'STARTED', reportStatus: 'NEW', version: 2 })
      expect(await linkHistoryOf(db(), study, 2)).toMatchObject([
        { field: 'reportStatus', to: 'NEW', forced: false },
        { field: 'studyStatus', from: 'READ', to: 'STARTED', forced: true },
      ])
    })

    it('are what attributes should be, with who told it', async () => {
      const accession = { keyword: 'AccessionNumber', value: 'A1', source: 'HIS' } as const
      const { record } = await change({ corrections: [name, accession] }, 'key:ris')
      const said = { author: 'key:ris', site: 'here', at: expect.any(Date) }
      expect(record.corrections).toEqual([
        { ...accession, ...said },
        { ...name, ...said },
      ])
      expect(await recordOf()).toEqual(record)
      await change({ corrections: [{ ...name, value: 'Roe^Jane' }] }, 'key:other')
      expect((await recordOf())?.corrections).toEqual([
        record.corrections[0],
        { ...name, value: 'Roe^Jane', ...said, author: 'key:other' },
      ])
    })

    it('take their times from the database, never going back', async () => {
      const [one, two] = [await change({ comments: [{ text: 'a' }] }), await change({ comments: [{ text: 'b' }] })]
      const times = two.record.comments.map(({ at }) => at.getTime())
      expect(times).toEqual(times.toSorted((a, b) => a - b))
      expect(times[0]).toBe(one.record.comments[0]?.at.getTime())
      const { record } = await change({ verified: 'VERIFIED' })
      expect(record.verifiedAt?.getTime()).toBeGreaterThanOrEqual(times[1] ?? Number.NaN)
      expect((await recordOf())?.verifiedAt).toEqual(record.verifiedAt)
    })

    it('lose the time of a verification that does not hold any more', async () => {
      await change({ verified: 'VERIFIED' })
      const { record } = await change({ verified: 'FAILED' })
      expect(record).toEqual({ ...untold(study), verified: 'FAILED', version: 2 })
      expect(await recordOf()).toEqual(record)
    })

    it('are changed together with the requests to tell others of it, or neither is done', async () => {
      await db().delete(convergeJob)
      const failure = new Error('the database goes')
      const failing = db().transaction(async (tx) => {
        await changeLinkRecord(tx, study, { reportStatus: 'NEW' }, { site: 'here', targets: ['south'], author: 'x' })
        throw failure
      })
      await expect(failing).rejects.toBe(failure)
      expect(await db().select().from(convergeJob)).toEqual([])
      await change({ reportStatus: 'NEW' })
      expect(await db().select().from(convergeJob)).toMatchObject([{ studyInstanceUID: study, cluster: 'south' }])
      await db().delete(convergeJob)
      await change({ reportStatus: 'NEW' })
      expect(await db().select().from(convergeJob)).toEqual([])
    })

    it('of another version than expected stay as they are', async () => {
      const { record } = await change({ reportStatus: 'NEW' })
      const late = await changeLinkRecord(
        db(),
        study,
        { reportStatus: 'APPROVED' },
        { site: 'here', targets: [], author: 'x', ifVersion: [0, 2] },
      )
      expect(late).toEqual({ status: 'version-mismatch', record })
      expect(await recordOf()).toEqual(record)
      const right = await changeLinkRecord(
        db(),
        study,
        { reportStatus: 'APPROVED' },
        { site: 'here', targets: [], author: 'x', ifVersion: [0, 1] },
      )
      expect(right).toMatchObject({ status: 'changed', record: { version: 2 } })
    })

    it('that nobody told yet are of version 0, and a change that comes too late leaves no trace', async () => {
      const late = await changeLinkRecord(
        db(),
        study,
        { reportStatus: 'NEW' },
        { site: 'here', targets: [], author: 'x', ifVersion: [1] },
      )
      expect(late).toEqual({ status: 'version-mismatch', record: untold(study) })
      expect(await recordOf()).toBeUndefined()
      const first = await changeLinkRecord(
        db(),
        study,
        { reportStatus: 'NEW' },
        { site: 'here', targets: [], author: 'x', ifVersion: [0] },
      )
      expect(first).toMatchObject({ status: 'changed', record: { version: 1 } })
    })

    it('of a report that would go back are kept, and none of the change is made', async () => {
      await change({ reportStatus: 'APPROVED' })
      const back = change({ reportStatus: 'NEW', comments: [{ text: 'oops' }] })
      await expect(back).rejects.toMatchObject({ code: 'conflict', message: expect.stringMatching(/^reportStatus: /) })
      expect(await recordOf()).toMatchObject({ reportStatus: 'APPROVED', comments: [], version: 1 })
      const forced = await change({ reportStatus: 'NEW', force: true })
      expect(forced).toMatchObject({ forced: true, record: { reportStatus: 'NEW', version: 2 } })
    })

    it('have a bounded number of comments', async () => {
      const comments = Array.from({ length: maxComments }, () => ({ text: '.' }))
      await change({ comments })
      await expect(change({ comments: [{ text: 'one more' }] })).rejects.toMatchObject({ code: 'conflict' })
      expect((await recordOf())?.comments).toHaveLength(maxComments)
    })

    it('have comments of a bounded length together', async () => {
      const long = { text: 'ä'.repeat(maxCommentLength) }
      await change({ comments: Array.from({ length: 10 }, () => long) })
      await expect(change({ comments: [{ text: '.' }] })).rejects.toMatchObject({ code: 'conflict' })
    })

    it('of many studies are read together', async () => {
      for (let n = 1; n <= 3; n++) {
        await changeLinkRecord(
          db(),
          uid(n),
          { comments: [{ text: `of ${n}` }] },
          { site: 'here', targets: [], author: 'x' },
        )
      }
      const many = Array.from({ length: 20_000 }, (_, n) => uid(n))
      const records = await linkRecordsOf(db(), many)
      expect([...records].map(([key, { comments }]) => [key, comments[0]?.text]).toSorted()).toEqual([
        [uid(1), 'of 1'],
        [uid(2), 'of 2'],
        [uid(3), 'of 3'],
      ])
    })

    it('leave a trail of who changed what, the newest first', async () => {
      await change({ reportStatus: 'APPROVED' }, 'key:ris')
      await change(
        { reportStatus: 'DICTATED', verified: 'FAILED', force: true, comments: [{ text: 'secret' }] },
        'oidc:1',
      )
      const history = await linkHistoryOf(db(), study, 10)
      expect(history).toMatchObject([
        { version: 2, who: 'oidc:1', field: 'reportStatus', from: 'APPROVED', to: 'DICTATED', forced: true },
        { version: 2, who: 'oidc:1', field: 'verified', from: null, to: 'FAILED', forced: false },
        { version: 2, who: 'oidc:1', field: 'comments', from: null, to: '1', forced: false },
        { version: 1, who: 'key:ris', field: 'reportStatus', from: null, to: 'APPROVED', forced: false },
      ])
      expect(history[0]?.at).toBeInstanceOf(Date)
      expect(await linkHistoryOf(db(), study, 2)).toEqual(history.slice(0, 2))
      expect(JSON.stringify(history)).not.toContain('secret')
    })

    it('leave a trail of which attributes were corrected, without the values', async () => {
      await change({ corrections: [name] })
      await change({
        corrections: [
          { ...name, value: 'Roe^Jane' },
          { ...name, keyword: 'PatientID' },
        ],
      })
      const history = await linkHistoryOf(db(), study, 10)
      expect(history).toMatchObject([
        { version: 2, field: 'corrections', from: null, to: 'PatientID', forced: false },
        { version: 2, field: 'corrections', from: 'PatientName', to: 'PatientName', forced: false },
        { version: 1, field: 'corrections', from: null, to: 'PatientName', forced: false },
      ])
      expect(JSON.stringify(history)).not.toMatch(/Jane/)
    })

    it('changed by two proxies at the same time lose no update', async () => {
      const both = (n: number) => (n % 2 === 0 ? db() : other())
      const changes = Array.from({ length: 20 }, (_, n) => change({ comments: [{ text: `${n}` }] }, 'x', both(n)))
      const results = await Promise.all(changes)
      const versions = results.map(({ record }) => record.version).toSorted((a, b) => a - b)
      expect(versions).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
      const record = await recordOf()
      expect(record?.comments.map(({ text }) => text).toSorted()).toEqual(results.map((_, n) => `${n}`).toSorted())
      const times = record?.comments.map(({ at }) => at.getTime()) ?? []
      expect(times).toEqual(times.toSorted((a, b) => a - b))
      expect(await linkHistoryOf(db(), study, 100)).toHaveLength(20)
    })

    it('changed by two who saw the same version are changed by one of them', async () => {
      const { record } = await change({ reportStatus: 'NEW' })
      const options = { site: 'here', targets: [], author: 'x', ifVersion: [record.version] }
      const results: ChangeResult[] = await Promise.all([
        changeLinkRecord(db(), study, { reportStatus: 'DICTATED' }, options),
        changeLinkRecord(other(), study, { reportStatus: 'APPROVED' }, options),
      ])
      expect(results.map(({ status }) => status).toSorted()).toEqual(['changed', 'version-mismatch'])
      expect((await recordOf())?.version).toBe(2)
    })

    it('of a report moved by two at the same time only go forward', async () => {
      await change({ reportStatus: 'NEW' })
      const moves = (['TRANSCRIBED', 'DICTATED', 'APPROVED', 'DICTATED'] as const).map((reportStatus, n) =>
        change({ reportStatus }, 'x', n % 2 === 0 ? db() : other()).catch((error: unknown) => error),
      )
      await Promise.all(moves)
      expect(await recordOf()).toMatchObject({ reportStatus: 'APPROVED' })
    })
  })
}

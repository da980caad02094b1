import { and, eq, sql } from 'drizzle-orm'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import { claimConverge } from '../../src/db/converge-jobs.ts'
import { linkRecordsOf } from '../../src/db/link-store.ts'
import {
  acceptNotice,
  failAbandonedNotices,
  failNotices,
  findNotice,
  openNotices,
  pruneNotices,
  settleNotices,
  startNotices,
} from '../../src/db/notices.ts'
import {
  convergeJob,
  linkAudit,
  linkComment,
  linkSaid,
  linkStudy,
  studyNotice,
  studyVersion,
} from '../../src/db/schema.ts'
import { joinVersion, versionOf } from '../../src/db/study-version.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import type { StudyUpdateNotice } from '../../src/link/notice.ts'
import { emptySnapshot, maxSaidComments } from '../../src/link/snapshot.ts'
import { maxSites } from '../../src/link/version.ts'

const uid = (n: number): Uid => parseUid(`1.2.3.${n}`, 'test')
const study = uid(1)
const idOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const issuedAt = new Date('2026-01-31T10:15:00Z')
const options = { site: 'north', bodyDigest: 'aa', queue: 'south:pull' }
const done = { state: 'COMPLETE', held: 1, pulled: 2, refused: 0 } as const

const noticeOf = (n: number, some: Partial<StudyUpdateNotice> = {}): StudyUpdateNotice => ({
  ...{ noticeId: idOf(n), origin: 'south', hops: ['south'], maxHops: 4, issuedAt, trigger: 'OBJECT' },
  ...{ study, version: { south: n }, attributes: emptySnapshot, series: seriesOf(3) },
  ...some,
})

const seriesOf = (instances: number) => [
  {
    seriesInstanceUID: uid(100),
    modality: 'CT',
    instances: Array.from({ length: instances }, (_, n) => ({ sopInstanceUID: uid(1000 + n), sopClassUID: uid(7) })),
  },
]

/** Notices of other sites; `db` and `other` are two handles on the same database. */
export function noticesContract(db: () => Database, other: () => Database): void {
  const accept = (notice: StudyUpdateNotice, handle = db()) => acceptNotice(handle, notice, options)
  const claim = () => claimConverge(db(), { owner: 'test', clusters: ['south:pull'], limit: 10, leaseMs: 60_000 })
  const stateOf = async (n: number) => (await findNotice(db(), idOf(n)))?.receipt.state

  describe('a notice', () => {
    beforeEach(async () => {
      for (const table of [studyNotice, studyVersion, linkStudy, linkSaid, linkComment, linkAudit]) {
        await db().delete(table)
      }
    })

    it('is accepted with what it says of the study and the intent to pull', async () => {
      const attributes = { ...emptySnapshot, reportStatus: [{ site: 'south', value: 'NEW' as const, at: issuedAt }] }
      const receipt = await accept(noticeOf(1, { attributes }))
      expect(receipt).toEqual({
        ...{ noticeId: idOf(1), study, state: 'ACCEPTED', promised: 3, held: 0, pulled: 0, refused: 0 },
        ...{ receivedAt: expect.any(Date), updatedAt: receipt.receivedAt },
      })
      expect(await findNotice(db(), idOf(1))).toEqual({ origin: 'south', bodyDigest: 'aa', receipt })
      expect((await linkRecordsOf(db(), [study])).get(study)).toMatchObject({ reportStatus: 'NEW' })
      expect(await claim()).toMatchObject([{ study, cluster: 'south:pull' }])
      expect(await versionOf(db(), study)).toEqual({})
      expect(await findNotice(db(), idOf(2))).toBeUndefined()
    })

    it('that comes twice, also at the same time and to two proxies, is one', async () => {
      const both = await Promise.all(Array.from({ length: 6 }, (_, n) => accept(noticeOf(1), n % 2 ? db() : other())))
      expect(new Set(both.map((it) => JSON.stringify(it))).size).toBe(1)
      expect(await openNotices(db(), 'south', study, 10)).toHaveLength(1)
      expect(await claim()).toMatchObject([{ generation: 1 }])
    })

    it.each([
      ['body', noticeOf(1), { ...options, bodyDigest: 'bb' }],
      ['origin', noticeOf(1, { origin: 'west' }), options],
    ])('of another %s under the same id is refused', async (_, notice, its) => {
      const receipt = await accept(noticeOf(1))
      const refused = expect.objectContaining({ code: 'unprocessable', message: expect.stringMatching(/^noticeId: /) })
      await expect(acceptNotice(other(), notice, its)).rejects.toEqual(refused)
      expect((await findNotice(db(), idOf(1)))?.receipt).toEqual(receipt)
    })

    it('that says more than may be kept leaves no trace', async () => {
      const at = issuedAt
      const comments = Array.from({ length: maxSaidComments + 1 }, (_, n) => ({
        ...{ site: 'south', number: n + 1, text: 'a', author: 'x', at },
      }))
      const tooMuch = accept(noticeOf(1, { attributes: { ...emptySnapshot, comments } }))
      await expect(tooMuch).rejects.toMatchObject({ code: 'conflict', message: expect.stringMatching(/comments/) })
      await joinVersion(db(), study, Object.fromEntries(Array.from({ length: maxSites }, (_, n) => [`s${n}`, 1])))
      await expect(accept(noticeOf(1))).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(/^ver/),
      })
      expect(await findNotice(db(), idOf(1))).toBeUndefined()
      expect(await claim()).toEqual([])
    })

    it('is open with its manifest until it is settled, and its version is joined then', async () => {
      await accept(noticeOf(1, { trigger: 'RESYNC' }))
      await accept(noticeOf(2))
      await accept(noticeOf(3, { study: uid(2) }))
      await accept(noticeOf(4, { origin: 'west' }))
      const open = await openNotices(db(), 'south', study, 10)
      expect(open).toEqual([
        { noticeId: idOf(1), trigger: 'RESYNC', version: { south: 1 }, series: seriesOf(3) },
        { noticeId: idOf(2), trigger: 'OBJECT', version: { south: 2 }, series: seriesOf(3) },
      ])
      await startNotices(db(), [idOf(1), idOf(2)])
      expect(await stateOf(1)).toBe('PULLING')
      expect(await openNotices(db(), 'south', study, 10)).toEqual(open)
      expect(await openNotices(db(), 'south', study, 1)).toEqual(open.slice(0, 1))
      await settleNotices(db(), [idOf(2)], done)
      expect((await findNotice(db(), idOf(2)))?.receipt).toMatchObject({ ...done, promised: 3 })
      expect(await openNotices(db(), 'south', study, 10)).toEqual(open.slice(0, 1))
      expect(await versionOf(db(), study)).toEqual({ south: 2 })
      expect(await db().$count(studyNotice, sql`manifest is null`)).toBe(1)
    })

    it('of a study that has nothing any more is open, too', async () => {
      await accept(noticeOf(1, { series: [] }))
      expect(await openNotices(db(), 'south', study, 10)).toMatchObject([{ series: [] }])
    })

    it('that has ended does not change any more', async () => {
      await accept(noticeOf(1))
      await failNotices(db(), 'south', study, 'cluster south: no'.padEnd(2000, '.'))
      const failed = await findNotice(db(), idOf(1))
      expect(failed?.receipt).toMatchObject({ state: 'FAILED', error: expect.stringMatching(/^cluster south: no\.+$/) })
      expect(failed?.receipt.error).toHaveLength(1000)
      await startNotices(db(), [idOf(1)])
      await settleNotices(db(), [idOf(1)], done)
      expect(await findNotice(db(), idOf(1))).toEqual(failed)
      expect(await versionOf(db(), study)).toEqual({})
      expect(await accept(noticeOf(1))).toEqual(failed?.receipt)
    })

    it('fails with all that are open of its site and study, and no others', async () => {
      await accept(noticeOf(1))
      await accept(noticeOf(2, { study: uid(2) }))
      await accept(noticeOf(3, { origin: 'west' }))
      await failNotices(db(), 'south', study, 'no')
      expect([await stateOf(1), await stateOf(2), await stateOf(3)]).toEqual(['FAILED', 'ACCEPTED', 'ACCEPTED'])
    })

    it('fails when its pull is no job any more, or a dead letter', async () => {
      for (const n of [1, 2, 3]) await accept(noticeOf(n, { study: uid(n) }))
      const pull = eq(convergeJob.cluster, 'south:pull')
      await db()
        .delete(convergeJob)
        .where(and(pull, eq(convergeJob.studyInstanceUID, uid(1))))
      await db()
        .update(convergeJob)
        .set({ deadSince: new Date() })
        .where(and(pull, eq(convergeJob.studyInstanceUID, uid(2))))
      await failAbandonedNotices(other(), ':pull', 'given up')
      const states = [1, 2, 3].map(async (n) => (await findNotice(db(), idOf(n)))?.receipt)
      expect(await Promise.all(states)).toMatchObject([
        { state: 'FAILED', error: 'given up' },
        { state: 'FAILED', error: 'given up' },
        { state: 'ACCEPTED' },
      ])
    })

    it('settled by two proxies at the same time, while another one fails it, ends once', async () => {
      const ids = Array.from({ length: 8 }, (_, n) => idOf(n + 1))
      for (const n of ids.keys()) await accept(noticeOf(n + 1))
      await Promise.all([
        settleNotices(db(), ids, done),
        settleNotices(other(), ids.toReversed(), { ...done, state: 'PARTIAL' }),
        failNotices(other(), 'south', study, 'no'),
        startNotices(db(), ids.toReversed()),
        accept(noticeOf(9)),
      ])
      const states = new Set(await Promise.all(ids.map((_, n) => stateOf(n + 1))))
      expect(states.size).toBe(1)
      expect(states).not.toContain('PULLING')
    })

    it('is forgotten a while after it has ended, not before', async () => {
      for (const n of [1, 2, 3]) await accept(noticeOf(n, { study: uid(n) }))
      await settleNotices(db(), [idOf(1), idOf(2)], done)
      await db().execute(sql`
        update ${studyNotice} set updated_at = updated_at - interval '31 days' where notice_id <> ${idOf(2)}`)
      expect(await pruneNotices(other(), 30 * 86_400_000)).toBe(1)
      expect([await stateOf(1), await stateOf(2), await stateOf(3)]).toEqual([undefined, 'COMPLETE', 'ACCEPTED'])
    })

    it('may be large', async () => {
      const series = seriesOf(100_000)
      expect(await accept(noticeOf(1, { series }))).toMatchObject({ promised: 100_000 })
      const [open] = await openNotices(db(), 'south', study, 10)
      expect(open?.series[0]?.instances.at(-1)).toEqual(series[0]?.instances.at(-1))
    })
  })
}

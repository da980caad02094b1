import { beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import { claimHome, mergeSnapshot, snapshotOf } from '../../src/db/link-snapshot.ts'
import { changeLinkRecord, linkHistoryOf, linkRecordsOf } from '../../src/db/link-store.ts'
import { linkAudit, linkComment, linkSaid, linkStudy, studyVersion } from '../../src/db/schema.ts'
import { versionOf } from '../../src/db/study-version.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import type { LinkChange } from '../../src/link/change.ts'
import type { SaidCorrection } from '../../src/link/correction.ts'
import { emptySnapshot, type LinkSnapshot, maxSaidComments } from '../../src/link/snapshot.ts'
import { maxSites } from '../../src/link/version.ts'

const study = parseUid('1.2.3', 'test')
const at = (ms: number) => new Date(Date.UTC(2026, 0, 31) + ms)
const told = (some: Partial<LinkSnapshot>): LinkSnapshot => ({ ...emptySnapshot, ...some })
const report = (site: string, ms: number, value: 'NEW' | 'APPROVED') => ({
  reportStatus: [{ site, at: at(ms), value }],
})
const commentOf = (site: string, number: number, ms = number) => ({
  ...{ site, number, text: `${site} ${number}`, author: 'key:ris', at: at(ms) },
})

const name = { keyword: 'PatientName', value: 'Doe^Jane', source: 'RIS' } as const
const correctionOf = (site: string, time: Date): SaidCorrection => ({
  ...{ ...name, value: 'Roe^Jane', author: 'key:ris', site, at: time },
})

/** What sites tell each other of studies; `db` and `other` are two handles on the same database. */
export function linkSnapshotContract(db: () => Database, other: () => Database): void {
  const merge = (some: Partial<LinkSnapshot>, from = 'south', handle = db()) =>
    mergeSnapshot(handle, study, told(some), { site: 'north', from })
  const change = (wanted: LinkChange, handle = db()) =>
    changeLinkRecord(handle, study, wanted, { site: 'north', targets: [], author: 'key:viewer' })
  const recordOf = async () => (await linkRecordsOf(db(), [study])).get(study)
  const snapshot = () => snapshotOf(db(), study, 'north')

  describe('what sites tell of a study', () => {
    beforeEach(async () => {
      for (const table of [linkStudy, linkSaid, linkComment, linkAudit, studyVersion]) await db().delete(table)
    })

    it('is nothing at first', async () => {
      expect(await snapshot()).toEqual(emptySnapshot)
      expect(await merge({})).toBe(false)
      expect(await recordOf()).toBeUndefined()
    })

    it('is read by others as it was told here, with who told it and when', async () => {
      const { record } = await change({ reportStatus: 'NEW', verified: 'VERIFIED', verifiedAt: at(1) })
      await change({ comments: [{ text: 'a' }] })
      const { reportStatus, verified, comments } = await snapshot()
      expect(reportStatus).toEqual([{ site: 'north', value: 'NEW', at: expect.any(Date) }])
      expect(verified).toEqual([{ ...reportStatus[0], value: 'VERIFIED', verifiedAt: at(1) }])
      expect(comments).toMatchObject([{ site: 'north', number: 1, text: 'a', author: 'key:viewer' }])
      expect(record.version).toBe(1)
      expect(await versionOf(db(), study)).toEqual({ north: 2 })
    })

    it('that was told before it was kept who told it, is this site\u2019s', async () => {
      const state = { studyInstanceUID: study, reportStatus: 'NEW', verified: 'VERIFIED', verifiedAt: at(1) } as const
      await db()
        .insert(linkStudy)
        .values({ ...state, version: 2, updatedAt: at(2) })
      const comment = { version: 1, text: 'a', author: 'key:ris', at: at(0) }
      await db()
        .insert(linkComment)
        .values({ studyInstanceUID: study, number: 1, ...comment })
      const old = told({
        reportStatus: [{ site: 'north', value: 'NEW', at: at(2) }],
        verified: [{ site: 'north', value: 'VERIFIED', verifiedAt: at(1), at: at(2) }],
        comments: [{ site: 'north', number: 1, text: 'a', author: 'key:ris', at: at(0) }],
      })
      expect(await snapshot()).toEqual(old)
      await change({ comments: [{ text: 'b' }] })
      expect(await snapshot()).toMatchObject({ ...old, comments: [...old.comments, { number: 2, text: 'b' }] })
    })

    it('by another one is a change of the record, in the name of that site', async () => {
      await change({ reportStatus: 'NEW', comments: [{ text: 'ours' }] })
      const later = new Date(Date.now() + 60_000)
      const theirs = { reportStatus: [{ site: 'south', at: later, value: 'APPROVED' as const }] }
      expect(await merge({ ...theirs, comments: [commentOf('south', 1)] })).toBe(true)
      expect(await recordOf()).toMatchObject({
        reportStatus: 'APPROVED',
        comments: [{ text: 'ours' }, { text: 'south 1', author: 'key:ris', at: at(1) }],
        version: 2,
      })
      expect(await linkHistoryOf(db(), study, 2)).toMatchObject([
        { version: 2, who: 'south', field: 'reportStatus', from: 'NEW', to: 'APPROVED', forced: false },
        { version: 2, who: 'south', field: 'comments', from: null, to: '2' },
      ])
      expect((await snapshot()).reportStatus.map(({ site }) => site)).toEqual(['north', 'south'])
    })

    it('that does not change what counts is kept, and the record is of the version it was of', async () => {
      await change({ reportStatus: 'APPROVED' })
      expect(await merge(report('south', 0, 'NEW'))).toBe(true)
      expect(await recordOf()).toMatchObject({ reportStatus: 'APPROVED', version: 1 })
      expect(await linkHistoryOf(db(), study, 10)).toHaveLength(1)
      expect(await merge({ homeSite: { site: 'south', at: at(0) } })).toBe(true)
      expect(await recordOf()).toMatchObject({ reportStatus: 'NEW', version: 2 })
    })

    it('is a study status and corrections too, of each site its own, and the home\u2019s count', async () => {
      await change({ studyStatus: 'READ', corrections: [name] })
      const later = new Date(Date.now() + 60_000)
      const { site, ...theirs } = correctionOf('south', later)
      const studyStatus = [{ site: 'south', at: later, value: 'ARRIVED' }]
      expect(await merge({ studyStatus, corrections: [{ site, ...theirs }] })).toBe(true)
      expect(await recordOf()).toMatchObject({ studyStatus: 'ARRIVED', corrections: [{ site, ...theirs }], version: 2 })
      const both = await snapshot()
      expect(both.studyStatus).toMatchObject([{ site: 'north', value: 'READ' }, studyStatus[0]])
      expect(both.corrections).toMatchObject([
        { site: 'north', author: 'key:viewer', ...name },
        { site, ...theirs },
      ])
      expect(await merge({ homeSite: { site: 'north', at: at(0) } })).toBe(true)
      expect(await recordOf()).toMatchObject({ studyStatus: 'READ', corrections: [{ site: 'north', ...name }] })
      expect(await linkHistoryOf(db(), study, 2)).toMatchObject([
        { field: 'studyStatus', from: 'ARRIVED', to: 'READ', who: 'south' },
        { field: 'corrections', from: 'PatientName', to: 'PatientName', who: 'south' },
      ])
    })

    it('is not corrected by more sites than may tell of it', async () => {
      const corrections = Array.from({ length: maxSites }, (_, n) => correctionOf(`s${n}`, at(0)))
      expect(await merge({ corrections })).toBe(true)
      const [one] = corrections
      expect(await merge({ corrections: [{ ...correctionOf('s0', at(0)), keyword: 'PatientID' }] })).toBe(true)
      const more = merge({ corrections: [correctionOf('west', at(0))] })
      await expect(more).rejects.toMatchObject({ code: 'conflict' })
      expect((await snapshot()).corrections).toContainEqual(one)
      expect((await snapshot()).corrections).toHaveLength(maxSites + 1)
    })

    it('once more changes nothing', async () => {
      const theirs = {
        ...report('south', 0, 'NEW'),
        studyStatus: [{ site: 'south', at: at(0), value: 'READ' }],
        comments: [commentOf('south', 1)],
        corrections: [correctionOf('south', at(0))],
      }
      await merge(theirs)
      const [record, before] = [await recordOf(), await snapshot()]
      expect(await merge(theirs)).toBe(false)
      expect(await merge(before)).toBe(false)
      expect([await recordOf(), await snapshot()]).toEqual([record, before])
    })

    it('is what a change here goes on from, unless it is the home\u2019s', async () => {
      await merge({ ...report('south', 0, 'NEW'), comments: [commentOf('south', 1)] })
      const { record } = await change({ reportStatus: 'DICTATED', comments: [{ text: 'ours' }] })
      expect(record).toMatchObject({ reportStatus: 'DICTATED', version: 2 })
      expect((await snapshot()).comments).toMatchObject([{ site: 'south' }, { site: 'north', number: 2 }])
      await merge({ homeSite: { site: 'south', at: at(0) } })
      const refused = change({ reportStatus: 'APPROVED', comments: [{ text: 'not kept' }] })
      await expect(refused).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('south') })
      expect(await recordOf()).toMatchObject({ reportStatus: 'NEW', version: 3 })
      expect(await versionOf(db(), study)).toEqual({ north: 1 })
    })

    it('is bounded, and none of what is too much is kept', async () => {
      const many = Array.from({ length: maxSaidComments }, (_, n) => commentOf('south', n + 1))
      await merge({ comments: many })
      const more = merge({ ...report('west', 1, 'NEW'), comments: [commentOf('west', 1)] }, 'west')
      await expect(more).rejects.toMatchObject({ code: 'conflict' })
      expect(await snapshot()).toEqual(told({ comments: many }))
      expect((await recordOf())?.comments).toHaveLength(maxSaidComments)
    })

    it('at the same time is merged whole, whichever proxy is told it', async () => {
      const merges = Array.from({ length: 12 }, (_, n) =>
        merge({ ...report(`s${n}`, n, 'NEW'), comments: [commentOf('south', n + 1)] }, 'south', n % 2 ? db() : other()),
      )
      const changes = Array.from({ length: 6 }, (_, n) =>
        change({ comments: [{ text: `${n}` }] }, n % 2 ? db() : other()),
      )
      await Promise.all([...merges, ...changes])
      const { reportStatus, comments } = await snapshot()
      expect([reportStatus.length, comments.length]).toEqual([12, 18])
      const record = await recordOf()
      expect([record?.comments.length, record?.version]).toEqual([18, 18])
      expect(await versionOf(db(), study)).toEqual({ north: 6 })
    })

    it('belongs to the site that claimed the study first', async () => {
      await Promise.all([claimHome(db(), study, 'north'), claimHome(other(), study, 'north')])
      const { homeSite } = await snapshot()
      expect(homeSite).toEqual({ site: 'north', at: expect.any(Date) })
      await claimHome(db(), study, 'north')
      expect((await snapshot()).homeSite).toEqual(homeSite)
      await merge({ homeSite: { site: 'south', at: at(0) } })
      await claimHome(db(), study, 'north')
      expect((await snapshot()).homeSite).toEqual({ site: 'south', at: at(0) })
      expect(await recordOf()).toBeUndefined()
    })
  })
}

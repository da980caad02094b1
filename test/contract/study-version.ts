import { beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import { studyVersion } from '../../src/db/schema.ts'
import { changedStudies, joinVersion, raiseVersion, versionOf, versionsOf } from '../../src/db/study-version.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'

const uid = (n: number): Uid => parseUid(`1.2.3.${n}`, 'test')
const study = uid(1)

/** Versions of studies; `db` and `other` are two handles on the same database. */
export function studyVersionContract(db: () => Database, other: () => Database): void {
  const changes = async (page: Partial<Parameters<typeof changedStudies>[1]> = {}) =>
    changedStudies(db(), { limit: 100, ...page })

  describe('the version of a study', () => {
    beforeEach(async () => {
      await db().delete(studyVersion)
    })

    it('is empty until something is known', async () => {
      expect(await versionOf(db(), study)).toEqual({})
      expect(await versionsOf(db(), [])).toEqual(new Map())
    })

    it('counts the changes of each site', async () => {
      await raiseVersion(db(), study, 'north')
      await raiseVersion(db(), study, 'north')
      await raiseVersion(db(), study, 'site-2')
      expect(await versionOf(db(), study)).toEqual({ north: 2, 'site-2': 1 })
      expect(await versionsOf(db(), [uid(2), study])).toEqual(new Map([[study, { north: 2, 'site-2': 1 }]]))
    })

    it('counts every change that two proxies make at the same time', async () => {
      const raises = Array.from({ length: 40 }, (_, n) => raiseVersion(n % 2 === 0 ? db() : other(), study, 'north'))
      await Promise.all(raises)
      expect(await versionOf(db(), study)).toEqual({ north: 40 })
    })

    it('has all changes of what it is joined with, and loses none that is made meanwhile', async () => {
      await joinVersion(db(), study, { north: 3, south: Number.MAX_SAFE_INTEGER })
      await Promise.all([
        joinVersion(db(), study, { north: 2, west: 1 }),
        raiseVersion(other(), study, 'east'),
        joinVersion(other(), study, { west: 4 }),
        raiseVersion(db(), study, 'east'),
      ])
      expect(await versionOf(db(), study)).toEqual({ north: 3, south: Number.MAX_SAFE_INTEGER, west: 4, east: 2 })
    })

    it('is joined by two proxies at the same time with all that they join', async () => {
      const joins = Array.from({ length: 40 }, (_, n) => joinVersion(n % 2 ? db() : other(), study, { [`s${n}`]: 1 }))
      await Promise.all(joins)
      expect(Object.keys(await versionOf(db(), study))).toHaveLength(40)
    })

    it('that is joined with what it has already is no change', async () => {
      await joinVersion(db(), study, { north: 3 })
      const [before] = await changes()
      await joinVersion(db(), study, { north: 2 })
      expect(await changes()).toEqual([before])
    })
  })

  describe('changed studies', () => {
    const moment = new Date('2026-01-31T10:15:00.123Z')
    const changedAt = (n: number, at: Date) =>
      db()
        .insert(studyVersion)
        .values({ studyInstanceUID: uid(n), version: { north: n }, changedAt: at })
    beforeEach(async () => {
      await db().delete(studyVersion)
    })

    it('are listed page by page, none lost and none twice, also when many changed in one moment', async () => {
      for (const n of [3, 1, 2]) await changedAt(n, moment)
      await changedAt(4, new Date(moment.getTime() - 1))
      const listed: Uid[] = []
      for (let after: readonly [Date, Uid] | undefined; ; ) {
        const [one, ...more] = await changes({ limit: 1, after })
        if (!one) break
        expect(more).toEqual([])
        listed.push(one.study)
        after = [one.changedAt, one.study]
      }
      expect(listed).toEqual([uid(4), uid(1), uid(2), uid(3)])
    })

    it('are listed from a moment on', async () => {
      await changedAt(1, moment)
      await changedAt(2, new Date(moment.getTime() + 1))
      expect(await changes({ since: moment })).toHaveLength(2)
      const since = new Date(moment.getTime() + 1)
      expect(await changes({ since })).toEqual([{ study: uid(2), changedAt: since, version: { north: 2 } }])
    })

    it('are at the end of the list, at a time that is read exactly as it is kept', async () => {
      await changedAt(1, moment)
      await changedAt(2, new Date(moment.getTime() + 1))
      await raiseVersion(db(), uid(1), 'north')
      const last = (await changes()).at(-1)
      if (!last) throw new Error('nothing changed')
      expect(last.study).toBe(uid(1))
      expect(await changes({ after: [last.changedAt, last.study] })).toEqual([])
      expect(await changes({ since: last.changedAt })).toContainEqual(last)
    })
  })
}

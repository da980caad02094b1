import { beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import { peerTold, tombstone, visitorInstance } from '../../src/db/schema.ts'
import { rememberTold, toldTo } from '../../src/db/told.ts'
import { bury, exhume, listTombstones, type Tombstone, tombstonesOf } from '../../src/db/tombstones.ts'
import { forgetVisitors, markVisitors, visitorsOf } from '../../src/db/visitors.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'

const uid = (n: number): Uid => parseUid(`1.2.3.${n}`, 'test')
const study = uid(1)
const many = Array.from({ length: 5000 }, (_, n) => uid(n))

/** What is remembered between notices; `db` and `other` are two handles on the same database. */
export function peerMemoryContract(db: () => Database, other: () => Database): void {
  beforeEach(async () => {
    for (const table of [visitorInstance, tombstone, peerTold]) await db().delete(table)
  })

  describe('instances of other sites', () => {
    it('are counted by study, with where they came from', async () => {
      await markVisitors(db(), study, many, 'west')
      await markVisitors(db(), study, [uid(1), uid(6000), uid(6000)], 'south')
      await markVisitors(db(), uid(2), [uid(1)], 'south')
      await markVisitors(db(), uid(3), [], 'south')
      expect(await visitorsOf(db(), [study, uid(2), uid(3)])).toEqual(
        new Map([
          [study, { instances: 5001, origins: ['south', 'west'] }],
          [uid(2), { instances: 1, origins: ['south'] }],
        ]),
      )
      expect(await visitorsOf(db(), [])).toEqual(new Map())
    })

    it('that did not come after all are none', async () => {
      await markVisitors(db(), study, [uid(1), uid(2)], 'south')
      await forgetVisitors(db(), study, [uid(2), uid(9)], 'south')
      await forgetVisitors(db(), study, [], 'south')
      expect((await visitorsOf(db(), [study])).get(study)?.instances).toBe(1)
    })

    it('that did not come from one site may have come from another', async () => {
      await markVisitors(db(), study, [uid(1), uid(2)], 'south')
      await markVisitors(db(), study, [uid(2), uid(3)], 'west')
      expect((await visitorsOf(db(), [study])).get(study)).toEqual({ instances: 3, origins: ['south', 'west'] })
      await forgetVisitors(db(), study, [uid(1), uid(2)], 'south')
      expect((await visitorsOf(db(), [study])).get(study)).toEqual({ instances: 2, origins: ['west'] })
    })

    it('may be marked by two proxies at the same time', async () => {
      await Promise.all([
        markVisitors(db(), study, many, 'south'),
        markVisitors(other(), study, many.toReversed(), 'south'),
      ])
      expect((await visitorsOf(db(), [study])).get(study)).toEqual({ instances: 5000, origins: ['south'] })
    })
  })

  describe('what was deleted on purpose', () => {
    const listed = async (page: Partial<Parameters<typeof listTombstones>[1]> = {}) =>
      (await listTombstones(db(), { limit: 10, ...page })).map(({ at: _, ...rest }) => rest)

    it('is known as instances or as the whole study, until it is taken back', async () => {
      expect(await tombstonesOf(db(), study)).toEqual({ whole: false, instances: new Set() })
      await bury(db(), study, [uid(5), uid(6), uid(5)], 'key:admin')
      expect(await tombstonesOf(db(), study)).toEqual({ whole: false, instances: new Set([uid(5), uid(6)]) })
      await bury(db(), study, undefined, 'key:admin')
      expect(await tombstonesOf(db(), study)).toEqual({ whole: true, instances: new Set([uid(5), uid(6)]) })
      expect(await exhume(db(), study, uid(5))).toBe(true)
      expect(await exhume(db(), study, uid(5))).toBe(false)
      expect(await tombstonesOf(db(), study)).toEqual({ whole: true, instances: new Set([uid(6)]) })
      expect(await exhume(db(), study, undefined)).toBe(true)
      expect(await tombstonesOf(db(), study)).toEqual({ whole: false, instances: new Set() })
      expect(await exhume(db(), study, undefined)).toBe(false)
    })

    it('is listed page by page, with who deleted it first', async () => {
      await bury(db(), uid(2), undefined, 'key:one')
      await bury(other(), uid(2), undefined, 'key:two')
      await bury(db(), study, [uid(6), uid(5)], 'key:one')
      await bury(db(), study, [], 'key:one')
      const all: Omit<Tombstone, 'at'>[] = [
        { study, instance: uid(5), by: 'key:one' },
        { study, instance: uid(6), by: 'key:one' },
        { study: uid(2), by: 'key:one' },
      ]
      expect(await listed()).toEqual(all)
      expect(await listed({ limit: 1 })).toEqual(all.slice(0, 1))
      expect(await listed({ after: [study, uid(5)] })).toEqual(all.slice(1))
      expect(await listed({ after: [uid(2), ''] })).toEqual([])
    })

    it('may be much, and deleted at two proxies at the same time', async () => {
      await Promise.all([bury(db(), study, many, 'a'), bury(other(), study, many.toReversed(), 'b')])
      expect((await tombstonesOf(db(), study)).instances.size).toBe(5000)
    })
  })

  it('what a peer was told last is remembered by study and peer', async () => {
    expect(await toldTo(db(), study, 'south')).toBeUndefined()
    await rememberTold(db(), study, 'south', { version: { north: 1 }, manifest: 'aa' })
    await rememberTold(other(), study, 'south', { version: { north: 2, south: 1 }, manifest: 'bb' })
    expect(await toldTo(db(), study, 'south')).toEqual({ version: { north: 2, south: 1 }, manifest: 'bb' })
    expect(await toldTo(db(), study, 'west')).toBeUndefined()
  })
}

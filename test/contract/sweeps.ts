import { beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import { sweepTurn } from '../../src/db/schema.ts'
import { claimSweep, finishSweep } from '../../src/db/sweeps.ts'

const hour = 3_600_000

/** Whose turn it is to sweep; `db` and `other` are two handles on the same database. */
export function sweepsContract(db: () => Database, other: () => Database): void {
  const hoursAgo = (hours: number) =>
    db()
      .update(sweepTurn)
      .set({ startedAt: new Date(Date.now() - hours * hour) })

  beforeEach(() => db().delete(sweepTurn))

  describe('a sweep', () => {
    it('is first due when its time has passed since somebody asked', async () => {
      expect(await claimSweep(db(), hour)).toBeUndefined()
      await hoursAgo(2)
      const turn = await claimSweep(db(), hour)
      expect(Date.now() - Number(turn?.since)).toBeGreaterThan(hour)
      expect(turn).not.toHaveProperty('before')
    })

    it('is made by one of those who ask, and not again before its time', async () => {
      await claimSweep(db(), hour)
      await hoursAgo(2)
      const turns = await Promise.all([db(), other(), db(), other()].map((it) => claimSweep(it, hour)))
      expect(turns.filter((turn) => turn !== undefined)).toHaveLength(1)
      expect(await claimSweep(other(), hour)).toBeUndefined()
    })

    it('asks for changes since the last one to which all have answered', async () => {
      await claimSweep(db(), hour)
      await hoursAgo(5)
      const [first] = await db().select().from(sweepTurn)
      for (const isComplete of [false, false, true]) {
        expect((await claimSweep(db(), hour))?.since).toEqual(first?.startedAt)
        await finishSweep(db(), undefined, isComplete)
        await hoursAgo(2)
      }
      const since = (await claimSweep(db(), hour))?.since
      expect(Number(since)).toBeGreaterThan(Number(first?.startedAt) + hour)
    })

    it('goes on where the one before it ended, also when it ended with all', async () => {
      await claimSweep(db(), hour)
      for (const before of ['20240131', undefined]) {
        await finishSweep(db(), before, true)
        await hoursAgo(2)
        expect((await claimSweep(other(), hour))?.before).toBe(before)
      }
    })
  })
}

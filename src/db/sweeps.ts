import { eq, sql } from 'drizzle-orm'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { sweepTurn } from './schema.ts'

const name = 'sweep'

/** A sweep to be made, and where the one before left off. */
export interface SweepTurn {
  /** When the last one began to which all have answered; else when it was first to be swept. */
  readonly since: Date
  /** What {@link finishSweep} was told. */
  readonly before?: string
}

/** The turn to sweep; `undefined` when the last one began less than so long ago. Of several who ask, one gets it. */
export const claimSweep = (db: Queries, everyMs: number): Promise<SweepTurn | undefined> =>
  guard('claim a sweep', () =>
    db.transaction(async (tx) => {
      // Where there was none yet, it is as if one had been made now: what is just being set up has its time.
      await tx.insert(sweepTurn).values({ name, startedAt: sql`now()` }).onConflictDoNothing()
      const due = sql<boolean>`${sweepTurn.startedAt} <= now() - ${everyMs}::double precision * interval '1 millisecond'`
      const [last] = await tx
        .select({
          since: sql<Date>`coalesce(${sweepTurn.completeAt}, ${sweepTurn.startedAt})`.mapWith(sweepTurn.startedAt),
          before: sweepTurn.before,
          due,
        })
        .from(sweepTurn)
        .where(eq(sweepTurn.name, name))
        .for('update')
      if (!last?.due) return undefined
      await tx.update(sweepTurn).set({ startedAt: sql`now()`, completeAt: last.since }).where(eq(sweepTurn.name, name))
      return { since: last.since, ...(last.before !== null && { before: last.before }) }
    }),
  )

/**
 * `before`: the day before which the sample of the next sweep begins, `YYYYMMDD`; absent: with the newest. `isComplete`:
 * all have answered, so that what changed before this one began is not asked for again.
 */
export const finishSweep = (db: Queries, before: string | undefined, isComplete: boolean): Promise<void> =>
  guard('note how far a sweep came', async () => {
    const completeAt = isComplete ? { completeAt: sql`${sweepTurn.startedAt}` } : {}
    await db
      .update(sweepTurn)
      .set({ before: before ?? null, ...completeAt })
      .where(eq(sweepTurn.name, name))
  })

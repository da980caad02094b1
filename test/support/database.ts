import { sql } from 'drizzle-orm'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { convergeJob } from '../../src/db/schema.ts'
import { dataDirectory } from './folders.ts'

/** A fresh embedded database in a folder of its own, both gone after `close`. */
export async function openTestDatabase(): Promise<{ db: Database; dataDir: string; close(): Promise<void> }> {
  const folder = await dataDirectory()
  const db = await openDatabase({ dataDir: folder.path })
  const close = async () => {
    await db.close()
    await folder.remove()
  }
  return { db, dataDir: folder.path, close }
}

/** Moves every job into the past instead of waiting: to the jobs it is as if `ms` had gone by. */
export async function letTimePass(db: Database, ms: number): Promise<void> {
  const earlier = (column: unknown) => sql`${column} - ${ms}::double precision * interval '1 millisecond'`
  await db.update(convergeJob).set({
    runAt: earlier(convergeJob.runAt),
    leaseUntil: earlier(convergeJob.leaseUntil),
    requestedAt: earlier(convergeJob.requestedAt),
    failedAt: earlier(convergeJob.failedAt),
    failingSince: earlier(convergeJob.failingSince),
  })
}

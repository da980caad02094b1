import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { convergeJob } from '../../src/db/schema.ts'

/** An empty folder of the test's own; `remove` deletes it with all that is in it. */
export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'link-test-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** A data directory with an empty embedded database in it, not open. */
export async function dataDirectory(): Promise<{ path: string; remove(): Promise<void> }> {
  const folder = await temporaryFolder()
  await cp(await template(), folder.path, { recursive: true })
  return folder
}

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

/**
 * The folder of an empty database, made once a machine and schema: PGlite takes seconds to make one, copying takes
 * none. Made aside and renamed, so that tests that start at the same time never copy half of it.
 */
async function template(): Promise<string> {
  const folder = join(tmpdir(), `link-test-template-${await fingerprint()}`)
  if (existsSync(folder)) return folder
  const draft = await temporaryFolder()
  const db = await openDatabase({ dataDir: draft.path })
  await db.close()
  // Another test may have been faster; its template is as good.
  await rename(draft.path, folder).catch(() => draft.remove())
  return folder
}

async function fingerprint(): Promise<string> {
  const root = join(import.meta.dirname, '..', '..')
  const hash = createHash('sha256')
  for (const file of ['drizzle/meta/_journal.json', 'node_modules/@electric-sql/pglite/package.json']) {
    hash.update(await readFile(join(root, file)))
  }
  return hash.digest('hex').slice(0, 16)
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

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

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

/**
 * The folder of an empty database, made once a machine and schema: PGlite takes seconds to make one, copying takes
 * none. Made aside and renamed, so that tests that start at the same time never copy half of it.
 */
async function template(): Promise<string> {
  const folder = join(tmpdir(), `link-test-template-${await fingerprint()}`)
  if (existsSync(folder)) return folder
  // Loading the database takes longer than copying one, so only who makes the template does.
  const { openDatabase } = await import('../../src/db/connect.ts')
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

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterEach, describe, expect, it } from 'vitest'
import type { Cluster } from '../../src/clusters/cluster.ts'
import { removeEmptyFolders, removeStudy } from '../../src/clusters/embedded/remove.ts'
import { noLog } from '../../src/core/telemetry.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { removeStudyRows } from '../../src/db/embedded-remove.ts'
import { embeddedStudy } from '../../src/db/schema.ts'
import { firstNumber, firstString } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { openArchive, openTestArchive } from '../support/embedded.ts'
import { temporaryFolder } from '../support/folders.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { postgresAvailable, startPostgres } from '../support/postgres.ts'
import { uploadsOf } from '../support/uploads.ts'

const never = new AbortController().signal
const opened: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

const study = madeUid() as Uid
const [first, second] = [madeInstance({ study }), madeInstance({ study })]
const other = madeInstance()
const only = (...made: readonly MadeInstance[]) => new Set<string>(made.map(({ instance }) => instance))

/** Study Instance UID and Number of Study Related Instances of all that is there. */
async function studiesIn(cluster: Cluster) {
  const { rows } = await cluster.search({ level: 'study', constraints: [], includeFields: [], limit: 10 }, never)
  return rows.map((row) => [
    firstString(row, tag.StudyInstanceUID),
    firstNumber(row, tag.NumberOfStudyRelatedInstances),
  ])
}

async function setup() {
  const { cluster, db, dataDir, close } = await openTestArchive()
  opened.push(close)
  const folder = join(dataDir, 'clusters', 'north')
  const names = async () => (await readdir(folder, { recursive: true })).filter((name) => name.includes('.'))
  return { cluster, archive: { cluster: 'north', folder, db, log: noLog }, names }
}

describe('removing a study', () => {
  it('takes its rows and files, and nothing of others', async () => {
    const { cluster, archive, names } = await setup()
    await cluster.store(uploadsOf(first.bytes, second.bytes, other.bytes), never)
    expect(await removeStudy(archive, study, only(first, second))).toBe(true)
    expect(await studiesIn(cluster)).toEqual([[other.study, 1]])
    await removeEmptyFolders(archive.folder)
    const left = await names()
    expect(left).toHaveLength(3)
    expect(left.every((name) => name.startsWith(other.study))).toBe(true)
  })

  it('leaves all of it when one of its instances must stay', async () => {
    const { cluster, archive, names } = await setup()
    await cluster.store(uploadsOf(first.bytes, second.bytes), never)
    const before = await names()
    expect(await removeStudy(archive, study, only(first))).toBe(false)
    expect(await studiesIn(cluster)).toEqual([[study, 2]])
    expect(await names()).toEqual(before)
  })

  it('leaves room for the same study to come again', async () => {
    const { cluster, archive } = await setup()
    await cluster.store(uploadsOf(first.bytes), never)
    await removeStudy(archive, study, only(first))
    await cluster.store(uploadsOf(first.bytes, second.bytes), never)
    expect(await studiesIn(cluster)).toEqual([[study, 2]])
  })

  it.skipIf(!postgresAvailable)('does not take what is being stored into it at the same time', async () => {
    const server = await startPostgres()
    opened.push(() => server.stop())
    const folder = await temporaryFolder()
    opened.push(() => folder.remove())
    const url = await server.createDatabase()
    const [db, others] = await Promise.all([1, 2].map(() => openDatabase({ url, dataDir: folder.path })))
    if (!db || !others) throw new Error('no database')
    opened.push(
      () => db.close(),
      () => others.close(),
    )
    const cluster = await openArchive({ dataDir: folder.path, db })
    opened.push(() => cluster.close())
    await cluster.store(uploadsOf(first.bytes), never)

    let storing: ReturnType<Cluster['store']> | undefined
    const waiting = () => others.$count(sql`pg_locks`, sql`not granted`)
    await others.transaction(async (tx) => {
      await tx.select().from(embeddedStudy).for('update')
      storing = cluster.store(uploadsOf(second.bytes), never)
      await expect.poll(waiting).toBe(1)
      expect(await removeStudyRows(tx, 'north', study, only(first))).toHaveLength(1)
    })
    expect((await storing)?.map(({ outcome }) => outcome.status)).toEqual(['stored'])
    expect(await studiesIn(cluster)).toEqual([[study, 1]])
  })
})

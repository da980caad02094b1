import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import type { Cluster } from '../../src/clusters/cluster.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { firstNumber, firstString } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import { isUid, parseUid, type Uid } from '../../src/dicom/uid.ts'
import { openArchive } from '../support/embedded.ts'
import { dataDirectory, temporaryFolder } from '../support/folders.ts'
import { postgresAvailable, postgresMissing, startPostgres } from '../support/postgres.ts'
import { readParts } from '../support/uploads.ts'

const never = new AbortController().signal

/** Runs the storing process until it has acknowledged `acknowledgements`, kills it, and answers what it had said. */
async function storeUntilKilled(dataDir: string, url: string, acknowledgements: number): Promise<string[]> {
  const script = join(import.meta.dirname, '../support/embedded-child.ts')
  const child = spawn(process.execPath, [script, dataDir, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  const gone = once(child, 'exit')
  const said: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line)
    // What it says between now and its end counts as well.
    if (said.length === acknowledgements) child.kill('SIGKILL')
  }
  expect(await gone, 'how it ended').toEqual([null, 'SIGKILL'])
  return said
}

async function everythingIn(cluster: Cluster) {
  const search = { constraints: [], includeFields: [], limit: 100_000 }
  const studies = await cluster.search({ level: 'study', ...search }, never)
  const instances = await cluster.search({ level: 'instance', ...search }, never)
  const counted = studies.rows.reduce((sum, row) => sum + (firstNumber(row, tag.NumberOfStudyRelatedInstances) ?? 0), 0)
  return {
    counted,
    studies: uids(studies.rows, tag.StudyInstanceUID),
    instances: uids(instances.rows, tag.SOPInstanceUID),
  }
}

const uids = (rows: readonly Parameters<typeof firstString>[0][], key: string): Uid[] =>
  rows.map((row) => firstString(row, key)).filter((it) => isUid(it))

const filesIn = async (folder: string): Promise<number> =>
  (await readdir(folder, { recursive: true })).filter((it) => it.endsWith('.dcm')).length

/** SHA-256 of each stored file, over all studies. */
async function hashesOf(cluster: Cluster, studies: readonly Uid[]): Promise<Set<string>> {
  const hashes = new Set<string>()
  for (const study of studies) {
    const parts = await cluster.retrieve({ kind: 'instances', target: { study }, transferSyntax: '*' }, never)
    for (const { bytes } of await readParts(parts)) hashes.add(createHash('sha256').update(bytes).digest('hex'))
  }
  return hashes
}

async function killAndCheck(dataDir: string, url: string): Promise<void> {
  const acknowledged: string[] = []
  for (let round = 0; round < 2; round++) {
    const enough = 10 + Math.floor(Math.random() * 40)
    acknowledged.push(...(await storeUntilKilled(dataDir, url, enough)))
    const db = await openDatabase({ dataDir, url: url || undefined })
    const cluster = await openArchive({ dataDir, db })
    const all = await everythingIn(cluster)
    const lost = acknowledged.filter((it) => !all.instances.includes(parseUid(it.split(' ')[1] ?? '', 'said')))
    expect(lost, 'acknowledged, not found').toEqual([])
    const hashes = await hashesOf(cluster, all.studies)
    const changed = acknowledged.filter((it) => !hashes.has(it.split(' ')[2] ?? ''))
    expect(changed, 'acknowledged, other bytes').toEqual([])
    expect(hashes.size, 'seen and whole').toBe(all.instances.length)
    expect(all.counted, 'counted').toBe(all.instances.length)
    expect(await filesIn(join(dataDir, 'clusters')), 'files').toBe(all.instances.length)
    await cluster.close()
    await db.close()
  }
}

describe('an embedded archive that is killed while it stores', () => {
  it('has all that it acknowledged, byte for byte, and shows nothing half', async () => {
    const folder = await dataDirectory()
    try {
      await killAndCheck(folder.path, '')
    } finally {
      await folder.remove()
    }
  })

  it.skipIf(!postgresAvailable)(
    postgresAvailable ? 'keeps that with its index in PostgreSQL as well' : postgresMissing,
    async () => {
      const folder = await temporaryFolder()
      const server = await startPostgres()
      try {
        await killAndCheck(folder.path, await server.createDatabase())
      } finally {
        await server.stop()
        await folder.remove()
      }
    },
  )
})

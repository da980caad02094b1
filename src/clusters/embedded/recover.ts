import { existsSync } from 'node:fs'
import { opendir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../../core/telemetry.ts'
import { isEmpty } from '../../db/embedded-search.ts'
import { addInstances, knownPaths } from '../../db/embedded-store.ts'
import { datasetDigest } from '../../dicom/digest.ts'
import { sniffInstance } from '../../dicom/part10.ts'
import { isUid, type Uid } from '../../dicom/uid.ts'
import { addOptions } from './commit.ts'
import { discard, prepareFolder, readChunks, sizeOf, sync, uidInName } from './files.ts'
import { understandFile } from './receive.ts'
import type { Archive } from './retrieve.ts'

/** Present while the archive is closed and its files and rows are known to agree. */
const marker = 'clean'

/**
 * Makes files and rows agree again. After an orderly end they do; after a crash, or when the index is new while files
 * are there (the database was lost), every file is looked at: one without a row is taken in, unless its instance is
 * there already with its own file. Rows are never removed.
 */
export async function recover(target: Archive, log: Log): Promise<void> {
  await prepareFolder(target.folder)
  const clean = existsSync(join(target.folder, marker)) && !(await isEmpty(target.db, target.cluster))
  if (!clean) {
    const { adopted, removed, unreadable } = await reconcile(target)
    const found = { cluster: target.cluster, adopted, removed, unreadable }
    if (adopted + removed + unreadable > 0) log.warn(found, 'embedded archive repaired')
  }
  await rm(join(target.folder, marker), { force: true })
  await sync(target.folder)
}

/** To be called when nothing is being stored any more. */
export async function markClean(folder: string): Promise<void> {
  await writeFile(
    join(folder, marker),
    'Files and index agree. Remove this file to have the index checked at the next start.\n',
  )
}

type Verdict = 'adopted' | 'removed' | 'unreadable'

async function reconcile(target: Archive): Promise<Record<Verdict, number>> {
  const counts = { adopted: 0, removed: 0, unreadable: 0 }
  for await (const study of folders(target.folder)) {
    const known = await knownPaths(target.db, target.cluster, study)
    for await (const series of folders(join(target.folder, study))) {
      for await (const path of files(target.folder, join(study, series))) {
        if (!known.has(path)) counts[await adopt(target, path)]++
      }
    }
  }
  return counts
}

async function* folders(parent: string): AsyncGenerator<Uid> {
  for await (const entry of await opendir(parent)) {
    if (entry.isDirectory() && isUid(entry.name)) yield entry.name
  }
}

async function* files(folder: string, relative: string): AsyncGenerator<string> {
  for await (const entry of await opendir(join(folder, relative))) {
    if (entry.isFile() && uidInName(entry.name) !== undefined) yield join(relative, entry.name)
  }
}

/** A file that cannot be read as an instance stays where it is: somebody may be able to mend it. */
async function adopt(target: Archive, path: string): Promise<Verdict> {
  const absolute = join(target.folder, path)
  const size = await sizeOf(absolute)
  const read = () => readChunks(absolute, size, new AbortController().signal)
  const sniffed = await sniffInstance(read(), { maxHeaderBytes: 16 * 1024 ** 2 }).catch(() => undefined)
  if (sniffed === undefined) return 'unreadable'
  const digest = await datasetDigest(sniffed.body, sniffed.header.datasetOffset)
  const understood = await understandFile(absolute, size, { header: sniffed.header, digest, path })
  if ('failureReason' in understood) return 'unreadable'
  const [added] = await addInstances(target.db, target.cluster, [understood.instance], addOptions(target.folder))
  if (added === 'inserted' || added === 'replaced') return 'adopted'
  await discard(absolute)
  return 'removed'
}

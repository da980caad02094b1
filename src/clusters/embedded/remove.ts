import { opendir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../../core/telemetry.ts'
import { removeStudyRows } from '../../db/embedded-remove.ts'
import { isUid, type Uid } from '../../dicom/uid.ts'
import { discard } from './files.ts'
import type { Archive } from './retrieve.ts'

/**
 * Removes a study of which every instance is among `expendable`: its rows in one transaction, then its files. False when
 * an instance is there that must stay, and with it the whole study. A crash in between leaves files without rows, which
 * opening the archive takes in again.
 */
export async function removeStudy(
  { cluster, folder, db, log }: Archive & { readonly log: Log },
  study: Uid,
  expendable: { has(instance: Uid): boolean },
): Promise<boolean> {
  const paths = await removeStudyRows(db, cluster, study, expendable)
  if (paths === undefined) return false
  let left = 0
  for (const path of paths) await discard(join(folder, path)).catch(() => left++)
  if (left > 0) log.warn({ cluster, files: left }, 'files of no instance could not be removed')
  return true
}

/** Removes the folders that removed studies leave. Only while nothing is stored: an upload may be about to use one. */
export async function removeEmptyFolders(folder: string): Promise<void> {
  for await (const study of await opendir(folder)) {
    if (!study.isDirectory() || !isUid(study.name)) continue
    const path = join(folder, study.name)
    for await (const series of await opendir(path)) await rmdir(join(path, series.name)).catch(() => undefined)
    await rmdir(path).catch(() => undefined)
  }
}

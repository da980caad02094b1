import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { LinkError } from '../core/errors.ts'

/** A directory that belongs to this process until it releases it or dies, however it dies. */
export interface DirectoryLock {
  release(): void
}

/**
 * Makes `directory` (created when missing) this process's own. The lock is the operating system's lock on a file,
 * taken through SQLite because Node offers no such call itself: the kernel drops it with the process, so after
 * kill -9 there is nothing stale to judge by a pid that another process, or the same one in a restarted container,
 * may have by now.
 *
 * Throws `config` when another process holds it or the directory cannot be written.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  try {
    await mkdir(directory, { recursive: true })
    return exclusive(join(directory, 'lock'))
  } catch (error) {
    throw new LinkError('config', `dataDir ${directory}: ${whyNot(error)}`, { cause: error })
  }
}

/** Nothing is ever written to the file; without a journal SQLite makes no second one beside it either. */
function exclusive(file: string): DirectoryLock {
  const handle = new DatabaseSync(file)
  try {
    handle.exec('PRAGMA journal_mode=OFF; BEGIN EXCLUSIVE')
  } catch (error) {
    handle.close()
    throw error
  }
  return { release: () => handle.close() }
}

function whyNot(error: unknown): string {
  const { code, errcode } = error as { code?: string; errcode?: number }
  if (errcode === 5) return 'in use by another dicomweb-link process; stop that one, or give this one its own dataDir'
  if (code === 'ENOSPC' || errcode === 13) return 'the disk is full; free some space'
  return 'cannot be written; check that it exists and that the user running dicomweb-link may write to it'
}

import { join } from 'node:path'
import type { Queries } from '../../db/connect.ts'
import { type Added, addInstances } from '../../db/embedded-store.ts'
import { DatabaseError } from '../../db/errors.ts'
import type { StoreResult } from '../cluster.ts'
import { discard, isDiskFull, place } from './files.ts'
import { rules } from './levels.ts'
import { failure, type Received } from './receive.ts'

type StoredOutcome = StoreResult['outcome']

export interface CommitTarget {
  readonly cluster: string
  readonly folder: string
  readonly db: Queries
}

/**
 * Makes received instances part of the archive: files first, durable and in their places, then one transaction that
 * makes them visible. A crash in between leaves files without rows, which nobody sees and which opening the
 * archive takes in. Throws what is wrong with the archive itself.
 */
export async function commit(target: CommitTarget, batch: readonly Received[]): Promise<readonly StoredOutcome[]> {
  try {
    await place(
      target.folder,
      batch.map(({ file, instance }) => ({ from: file, path: instance.path })),
    )
    const added = await addInstances(
      target.db,
      target.cluster,
      batch.map(({ instance }) => instance),
      rules,
    )
    await removeFiles(
      target,
      batch.filter((_, index) => added[index] !== 'inserted'),
    )
    return added.map(outcomeOf)
  } catch (error) {
    await discardAll(target, batch, error)
    const failureReason = reasonOf(error)
    if (failureReason === undefined) throw error
    return batch.map(() => ({ status: 'failed', failureReason }))
  }
}

const outcomeOf = (added: Added): StoredOutcome =>
  added === 'conflict' ? { status: 'failed', failureReason: failure.duplicateWithOtherContent } : { status: 'stored' }

const removeFiles = (target: CommitTarget, batch: readonly Received[]) =>
  Promise.all(batch.map(({ instance }) => discard(join(target.folder, instance.path))))

/**
 * Not when the connection broke: the transaction may have been committed, and its rows then need their files. What
 * is left over is taken in or removed when the archive is opened next.
 */
async function discardAll(target: CommitTarget, batch: readonly Received[], error: unknown): Promise<void> {
  await Promise.all(batch.map(({ file }) => discard(file)))
  if (!(error instanceof DatabaseError) || error.sqlState !== undefined) await removeFiles(target, batch)
}

/** PostgreSQL's class 53 is its own lack of room. */
const reasonOf = (error: unknown): number | undefined =>
  isDiskFull(error) || (error instanceof DatabaseError && error.sqlState?.startsWith('53'))
    ? failure.outOfResources
    : undefined

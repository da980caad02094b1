import { join } from 'node:path'
import type { Queries } from '../../db/connect.ts'
import { type Added, addInstances, type NewInstance } from '../../db/embedded-store.ts'
import { DatabaseError } from '../../db/errors.ts'
import type { StoreResult } from '../cluster.ts'
import { discard, isDiskFull, place, writeIncoming } from './files.ts'
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
  const files = await Promise.all(batch.map((received) => onDisk(target, received)))
  const written = batch.flatMap(({ instance }, index) => {
    const from = files[index]
    return from === undefined ? [] : [{ from, instance }]
  })
  const outcomes = new Map(await commitWritten(target, written))
  return batch.map(({ instance }) => outcomes.get(instance.path) ?? outOfResources)
}

const outOfResources: StoredOutcome = { status: 'failed', failureReason: failure.outOfResources }

/** The file an instance is in, synced; `undefined` when there is no room for it. */
async function onDisk(target: CommitTarget, { content }: Received): Promise<string | undefined> {
  if ('file' in content) return content.file
  try {
    return await writeIncoming(target.folder, content)
  } catch (error) {
    if (isDiskFull(error)) return undefined
    throw error
  }
}

interface Written {
  /** Absolute, aside. */
  readonly from: string
  readonly instance: NewInstance
}

/** What became of each, by its path. */
async function commitWritten(target: CommitTarget, batch: readonly Written[]): Promise<[string, StoredOutcome][]> {
  if (batch.length === 0) return []
  const instances = batch.map(({ instance }) => instance)
  try {
    await place(
      target.folder,
      batch.map(({ from, instance }) => ({ from, path: instance.path })),
    )
    const added = await addInstances(target.db, target.cluster, instances, rules)
    await removeFiles(
      target,
      instances.filter((_, index) => added[index] !== 'inserted'),
    )
    return instances.map(({ path }, index) => [path, outcomeOf(added[index])])
  } catch (error) {
    await discardAll(target, batch, error)
    if (!isOutOfRoom(error)) throw error
    return instances.map(({ path }) => [path, outOfResources])
  }
}

const outcomeOf = (added: Added | undefined): StoredOutcome =>
  added === 'conflict' ? { status: 'failed', failureReason: failure.duplicateWithOtherContent } : { status: 'stored' }

const removeFiles = (target: CommitTarget, instances: readonly NewInstance[]) =>
  Promise.all(instances.map(({ path }) => discard(join(target.folder, path))))

/**
 * Not when the connection broke: the transaction may have been committed, and its rows then need their files. What
 * is left over is taken in or removed when the archive is opened next.
 */
async function discardAll(target: CommitTarget, batch: readonly Written[], error: unknown): Promise<void> {
  await Promise.all(batch.map(({ from }) => discard(from)))
  const certain = !(error instanceof DatabaseError) || error.sqlState !== undefined
  if (certain)
    await removeFiles(
      target,
      batch.map(({ instance }) => instance),
    )
}

/** Of the disk, or by PostgreSQL's class 53 of the database. */
const isOutOfRoom = (error: unknown): boolean =>
  isDiskFull(error) || (error instanceof DatabaseError && error.sqlState?.startsWith('53') === true)

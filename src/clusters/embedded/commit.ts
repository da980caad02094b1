import { join } from 'node:path'
import type { Log } from '../../core/telemetry.ts'
import type { Queries } from '../../db/connect.ts'
import { type Added, addInstances, type KnownFile, type NewInstance } from '../../db/embedded-store.ts'
import { DatabaseError } from '../../db/errors.ts'
import type { StoreResult } from '../cluster.ts'
import { discard, isDiskFull, place, sizeOf, writeIncoming } from './files.ts'
import { rules } from './levels.ts'
import { failure, type Received } from './receive.ts'

type StoredOutcome = StoreResult['outcome']

export interface CommitTarget {
  readonly cluster: string
  readonly folder: string
  readonly db: Queries
  readonly log: Log
  /** Told when files may lie in the archive without a row: it has to be looked through when it is opened next. */
  readonly untidy: () => void
}

/**
 * Makes received instances part of the archive: files first, durable and in their places, then one transaction that
 * makes them visible. A crash in between leaves files without rows, which nobody sees and which opening the
 * archive takes in. Throws what is wrong with the archive itself.
 */
export async function commit(target: CommitTarget, batch: readonly Received[]): Promise<readonly StoredOutcome[]> {
  const files = await allOnDisk(target, batch)
  const written = batch.flatMap(({ instance }, index) => {
    const from = files[index]
    return from === undefined ? [] : [{ from, instance }]
  })
  const outcomes = new Map(await commitWritten(target, written))
  return batch.map(({ instance }) => outcomes.get(instance.path) ?? outOfResources)
}

const outOfResources: StoredOutcome = { status: 'failed', failureReason: failure.outOfResources }

/** The files of all, synced; `undefined` where there is no room. When one cannot be written, none is left. */
async function allOnDisk(target: CommitTarget, batch: readonly Received[]): Promise<readonly (string | undefined)[]> {
  const files = await Promise.allSettled(batch.map((received) => onDisk(target, received)))
  const failed = files.find((file) => file.status === 'rejected')
  const paths = files.map((file) => (file.status === 'fulfilled' ? file.value : undefined))
  if (failed === undefined) return paths
  await removeLeftovers(target, [...batch.flatMap(({ content }) => fileOf(content)), ...paths])
  throw failed.reason
}

const fileOf = (content: Received['content']): string[] => ('file' in content ? [content.file] : [])

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
  const added = await addPlaced(target, batch)
  if (added === 'no room') return instances.map(({ path }) => [path, outOfResources])
  // From here on rows need their files: whatever fails now takes nothing back.
  const unused = instances.filter((_, index) => added[index] === 'duplicate' || added[index] === 'conflict')
  await removeLeftovers(target, inPlace(target, unused))
  for (const [index, { sopInstanceUID }] of instances.entries()) {
    const fields = { cluster: target.cluster, sopInstanceUID }
    if (added[index] === 'replaced') target.log.warn(fields, 'lost file replaced')
  }
  return instances.map(({ path }, index) => [path, outcomeOf(added[index])])
}

/** All of a batch or none of it: files in their places and rows of them. */
async function addPlaced(target: CommitTarget, batch: readonly Written[]): Promise<readonly Added[] | 'no room'> {
  const instances = batch.map(({ instance }) => instance)
  try {
    await place(
      target.folder,
      batch.map(({ from, instance }) => ({ from, path: instance.path })),
    )
    return await addInstances(target.db, target.cluster, instances, addOptions(target.folder))
  } catch (error) {
    await takeBack(target, batch, error)
    if (!isOutOfRoom(error)) throw error
    return 'no room'
  }
}

/** How instances are added whose files are below `folder`. */
export const addOptions = (folder: string) => ({
  rules,
  isThere: async ({ path, size }: KnownFile): Promise<boolean> =>
    (await sizeOf(join(folder, path)).catch(() => undefined)) === size,
})

const outcomeOf = (added: Added | undefined): StoredOutcome =>
  added === 'conflict' ? { status: 'failed', failureReason: failure.duplicateWithOtherContent } : { status: 'stored' }

const inPlace = ({ folder }: CommitTarget, instances: readonly NewInstance[]): string[] =>
  instances.map(({ path }) => join(folder, path))

/**
 * Not when the connection broke: the transaction may have been committed, and its rows then need their files. What
 * is left over is taken in or removed when the archive is opened next.
 */
async function takeBack(target: CommitTarget, batch: readonly Written[], error: unknown): Promise<void> {
  const aside = batch.map(({ from }) => from)
  const certain = !(error instanceof DatabaseError) || error.sqlState !== undefined
  if (!certain) target.untidy()
  const instances = batch.map(({ instance }) => instance)
  await removeLeftovers(target, certain ? [...aside, ...inPlace(target, instances)] : aside)
}

/** As well as it can be done: a file without a row is seen by nobody, and is no reason for anything to fail. */
async function removeLeftovers(target: CommitTarget, paths: readonly (string | undefined)[]): Promise<void> {
  const known = paths.filter((path) => path !== undefined)
  const results = await Promise.allSettled(known.map((path) => discard(path)))
  const left = results.filter(({ status }) => status === 'rejected').length
  if (left === 0) return
  target.untidy()
  target.log.warn({ cluster: target.cluster, files: left }, 'files of no instance could not be removed')
}

/** Of the disk, or by PostgreSQL's class 53 of the database. */
const isOutOfRoom = (error: unknown): boolean =>
  isDiskFull(error) || (error instanceof DatabaseError && error.sqlState?.startsWith('53') === true)

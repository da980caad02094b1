import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { InstanceHeader } from '../../dicom/part10.ts'
import type { ByteReader } from '../../dicom/part10-window.ts'

/*
 * Files lie at `<study>/<series>/<instance>.<eight random digits>.dcm`: by UID, so that people find them and the index
 * can be made anew from them; with a suffix of its own each, so that no upload ever touches the file of another
 * one and it is the index alone that decides which of two counts.
 */

/** Where an upload is written until it is whole; on the same file system as the rest. */
const incoming = 'incoming'

/** Paths of an instance's file relative to the cluster's folder; a new one each time. */
export const pathFor = (header: InstanceHeader): string =>
  join(
    header.studyInstanceUID,
    header.seriesInstanceUID,
    `${header.sopInstanceUID}.${randomBytes(4).toString('hex')}.dcm`,
  )

/** The SOP Instance UID in the name of a file that {@link pathFor} named. */
export const uidInName = (name: string): string | undefined => /^([\d.]+)\.[\da-f]{8}\.dcm$/.exec(name)?.[1]

export async function prepareFolder(folder: string): Promise<void> {
  // What a crash left half written was never acknowledged.
  await rm(join(folder, incoming), { recursive: true, force: true })
  await mkdir(join(folder, incoming), { recursive: true })
}

/** A new file for an upload, open for writing and reading. */
export async function createIncoming(folder: string): Promise<{ path: string; handle: FileHandle }> {
  const path = join(folder, incoming, randomBytes(16).toString('hex'))
  return { path, handle: await open(path, 'wx+') }
}

export async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, at, chunk.length - at)
    at += bytesWritten
  }
}

/** A small upload goes to disk in one piece. */
export async function writeIncoming(folder: string, bytes: Uint8Array): Promise<string> {
  const { path, handle } = await createIncoming(folder)
  try {
    await writeAll(handle, bytes)
    await handle.sync()
    return path
  } catch (error) {
    await discard(path)
    throw error
  } finally {
    await handle.close()
  }
}

/** A whole and synced file on its way from `incoming` to its place. */
export interface Move {
  readonly from: string
  /** Relative to the cluster's folder. */
  readonly path: string
}

/** Puts files in their places so that they survive a power cut; each folder that holds names is synced once for all. */
export async function place(folder: string, moves: readonly Move[]): Promise<void> {
  const changed = new Set<string>()
  for (const series of new Set(moves.map(({ path }) => dirname(path)))) await makeFolders(folder, series, changed)
  await Promise.all(moves.map(({ from, path }) => rename(from, join(folder, path))))
  await Promise.all([...changed].map((directory) => sync(directory)))
}

/** Makes `<study>/<series>` when missing and notes every folder whose entries change. */
async function makeFolders(folder: string, relative: string, changed: Set<string>): Promise<void> {
  const series = join(folder, relative)
  changed.add(series)
  if ((await mkdir(series, { recursive: true })) === undefined) return
  changed.add(dirname(series)).add(folder)
}

/** Syncs a file, or a folder's entries. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Removes what may be there and may be gone already. */
export const discard = (path: string): Promise<void> => rm(path, { force: true })

/** Random access to an open file. */
export const readerOf = (handle: FileHandle, size: number): ByteReader => ({
  size,
  read: (offset, length) => readFully(handle, offset, Math.max(0, Math.min(length, size - offset))),
})

/** The operating system may give less than was asked for before the file ends. */
async function readFully(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

const chunkBytes = 256 * 1024

/**
 * The `size` bytes of a stored file; it is open only while they are read, and closed however the reading ends.
 * Throws when the file is shorter: an answer that was promised longer must not end well.
 */
export async function* readChunks(
  path: string,
  size: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  await using handle = await open(path, 'r')
  for (let at = 0; at < size; ) {
    signal.throwIfAborted()
    const chunk = await readFully(handle, at, Math.min(chunkBytes, size - at))
    if (chunk.length === 0) throw new Error('a stored file is shorter than its row says')
    at += chunk.length
    yield chunk
  }
}

export const sizeOf = async (path: string): Promise<number> => (await stat(path)).size

/** Whether an error means that there is no room left, by whatever limit. */
export const isDiskFull = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(String(error.code))

/** Bytes that may still be written. Throws when the folder cannot be written to. */
export async function probeFolder(folder: string): Promise<number> {
  const { path, handle } = await createIncoming(folder)
  await handle.close()
  await discard(path)
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

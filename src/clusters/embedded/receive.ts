import { type FileHandle, open } from 'node:fs/promises'
import { LinkError } from '../../core/errors.ts'
import { ClusterError } from '../../core/outcome.ts'
import type { NewInstance } from '../../db/embedded-store.ts'
import { firstString } from '../../dicom/dataset.ts'
import { type Hashing, hashing } from '../../dicom/digest.ts'
import { readMetadata } from '../../dicom/metadata.ts'
import type { InstanceHeader } from '../../dicom/part10.ts'
import { tag } from '../../dicom/tags.ts'
import type { InstanceUpload } from '../cluster.ts'
import { createIncoming, discard, isDiskFull, pathFor, readerOf, writeAll } from './files.ts'
import { levelsOf } from './levels.ts'

/** Failure reasons of PS3.18 10.5.3 and PS3.4 annex B that this archive gives. */
export const failure = {
  /** 0111H */
  duplicateWithOtherContent: 273,
  /** A700H */
  outOfResources: 42_752,
  /** A900H */
  identifiersDiffer: 43_264,
  /** C000H */
  cannotUnderstand: 49_152,
} as const

/** An instance whose bytes are on disk, aside, not yet synced; `file` is to be moved to `instance.path` or discarded. */
export interface Received {
  readonly file: string
  readonly instance: NewInstance
}

/** The whole upload was read either way, so the next one can be asked for. */
export type Reception = { readonly received: Received } | { readonly failureReason: number }

/**
 * Writes one upload to a file of its own while hashing it, then reads it back as an archive would have to later.
 * What is wrong with the upload, or with the room for it, is a failure reason; the file is gone then. Throws what
 * the upload's body throws.
 */
export async function receive(
  upload: InstanceUpload,
  where: { folder: string; maxBytes: number; signal: AbortSignal },
): Promise<Reception> {
  const hashed = hashing(upload.body, upload.header.datasetOffset)
  const target = await create(where.folder, hashed)
  if ('failureReason' in target) return target
  const { path, handle } = target
  let kept = false
  try {
    const size = await spool(hashed.body, handle, where)
    if (typeof size !== 'number') return size
    const facts = { header: upload.header, digest: hashed.digest(), size, path: pathFor(upload.header) }
    const understood = await understand(handle, facts)
    if ('failureReason' in understood) return understood
    kept = true
    return { received: { file: path, instance: understood.instance } }
  } finally {
    await handle.close()
    if (!kept) await discard(path)
  }
}

async function create(folder: string, { body }: Hashing): Promise<Awaited<ReturnType<typeof createIncoming>> | Failed> {
  try {
    return await createIncoming(folder)
  } catch (error) {
    if (!isDiskFull(error)) throw error
    for await (const _ of body);
    return outOfResources
  }
}

interface Failed {
  readonly failureReason: number
}

const outOfResources: Failed = { failureReason: failure.outOfResources }

/**
 * Answers the bytes written. After a write has failed the body is still read to its end: it is one of several in a
 * message, and breaking off would end the message.
 */
async function spool(
  body: AsyncIterable<Uint8Array>,
  handle: FileHandle,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<number | Failed> {
  let size = 0
  let full = false
  for await (const chunk of body) {
    signal.throwIfAborted()
    size += chunk.length
    full ||= size > maxBytes || !(await fits(handle, chunk))
  }
  return full ? outOfResources : size
}

async function fits(handle: FileHandle, chunk: Uint8Array): Promise<boolean> {
  try {
    await writeAll(handle, chunk)
    return true
  } catch (error) {
    if (isDiskFull(error)) return false
    throw error
  }
}

interface Facts {
  readonly header: InstanceHeader
  readonly digest: string
  readonly size: number
  readonly path: string
}

/** Reads the dataset of a whole file: what cannot be read back is not accepted. */
async function understand(handle: FileHandle, facts: Facts): Promise<{ instance: NewInstance } | Failed> {
  const { header, digest, size, path } = facts
  try {
    const metadata = await readMetadata(readerOf(handle, size))
    if (!agrees(header, (key) => firstString(metadata, key))) return { failureReason: failure.identifiersDiffer }
    const { datasetOffset: _, ...identity } = header
    return { instance: { ...identity, digest, size, path, metadata, ...levelsOf(metadata) } }
  } catch (error) {
    if (error instanceof LinkError) return { failureReason: failure.cannotUnderstand }
    throw error
  }
}

const agrees = (header: InstanceHeader, value: (key: string) => string | undefined): boolean =>
  value(tag.SOPInstanceUID) === header.sopInstanceUID &&
  value(tag.SeriesInstanceUID) === header.seriesInstanceUID &&
  value(tag.StudyInstanceUID) === header.studyInstanceUID

/** {@link understand} for a file that is in its place already. */
export async function understandFile(
  path: string,
  facts: Facts,
): Promise<{ instance: NewInstance } | { failureReason: number }> {
  await using handle = await open(path, 'r')
  return understand(handle, facts)
}

/** Anything but what the upload or the caller did is the archive's own failure. */
export const storeFailed = (cluster: string, cause: unknown): ClusterError =>
  new ClusterError(cluster, 'failed', 'cannot store instances; see the log', { cause })

import { type FileHandle, open } from 'node:fs/promises'
import { LinkError } from '../../core/errors.ts'
import type { NewInstance } from '../../db/embedded-store.ts'
import { firstString } from '../../dicom/dataset.ts'
import { hashing } from '../../dicom/digest.ts'
import { readMetadata } from '../../dicom/metadata.ts'
import type { InstanceHeader } from '../../dicom/part10.ts'
import type { ByteReader } from '../../dicom/part10-window.ts'
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

/**
 * An upload of this size is kept in memory until it is committed: writing many small files at the same time is
 * several times faster than one after the other.
 */
const maxInMemoryBytes = 1024 ** 2

/** An instance that can be committed, and its bytes: in memory, or in a file aside that is to be moved or discarded. */
export interface Received {
  readonly content: Uint8Array | { readonly file: string }
  readonly instance: NewInstance
}

interface Failed {
  readonly failureReason: number
}

export type Reception = { readonly received: Received } | Failed

export interface ReceiveOptions {
  readonly folder: string
  readonly maxBytes: number
  readonly signal: AbortSignal
}

/**
 * Takes in one upload while hashing it and reads it back as an archive has to later. What is wrong with the upload,
 * or with the room for it, is a failure reason, and nothing is left of it; the upload was read to its end either way,
 * so that the next one can be asked for. Throws what the upload's body throws.
 */
export async function receive(upload: InstanceUpload, options: ReceiveOptions): Promise<Reception> {
  const hashed = hashing(upload.body, upload.header.datasetOffset)
  const spool = new Spool(options)
  let kept = false
  try {
    for await (const chunk of hashed.body) {
      options.signal.throwIfAborted()
      await spool.write(chunk)
    }
    if (spool.failed) return { failureReason: failure.outOfResources }
    const facts = { header: upload.header, digest: hashed.digest(), path: pathFor(upload.header) }
    const understood = await understand(spool.reader(), facts)
    if ('failureReason' in understood) return understood
    const content = await spool.end()
    kept = true
    return { received: { content, instance: understood.instance } }
  } finally {
    if (!kept) await spool.discard()
  }
}

/** Bytes as they arrive: in memory while they are few, then in a file. */
class Spool {
  readonly #options: ReceiveOptions
  #size = 0
  #chunks: Uint8Array[] = []
  #file: { readonly path: string; readonly handle: FileHandle } | undefined
  /**
   * There was no room. What comes after is thrown away: it is one upload of several in a message, and breaking off
   * would end the message.
   */
  failed = false

  constructor(options: ReceiveOptions) {
    this.#options = options
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.failed) return
    this.#size += chunk.length
    this.#chunks.push(chunk)
    if (this.#file === undefined && this.#size <= Math.min(maxInMemoryBytes, this.#options.maxBytes)) return
    this.failed = this.#size > this.#options.maxBytes || !(await this.#flush())
    if (this.failed) await this.discard()
  }

  reader(): ByteReader {
    if (this.#file) return readerOf(this.#file.handle, this.#size)
    const bytes = this.#joined()
    return { size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) }
  }

  /** The bytes, or the file they are in: closed, and on the disk for good. */
  async end(): Promise<Received['content']> {
    if (this.#file === undefined) return this.#joined()
    const { path, handle } = this.#file
    await handle.sync()
    await handle.close()
    return { file: path }
  }

  async discard(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    this.#chunks = []
    await file?.handle.close()
    if (file) await discard(file.path)
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    const bytes = this.#chunks.length === 1 && Buffer.isBuffer(first) ? first : Buffer.concat(this.#chunks)
    this.#chunks = [bytes]
    return bytes
  }

  /** False when there is no room. */
  async #flush(): Promise<boolean> {
    try {
      this.#file ??= await createIncoming(this.#options.folder)
      for (const chunk of this.#chunks.splice(0)) await writeAll(this.#file.handle, chunk)
      return true
    } catch (error) {
      if (isDiskFull(error)) return false
      throw error
    }
  }
}

interface Facts {
  readonly header: InstanceHeader
  readonly digest: string
  readonly path: string
}

/** Reads the dataset of a whole file: what cannot be read back is not accepted. */
async function understand(file: ByteReader, facts: Facts): Promise<{ instance: NewInstance } | Failed> {
  const { header, digest, path } = facts
  try {
    const metadata = await readMetadata(file)
    if (!agrees(header, (key) => firstString(metadata, key))) return { failureReason: failure.identifiersDiffer }
    const { datasetOffset: _, ...identity } = header
    return { instance: { ...identity, digest, size: file.size, path, metadata, ...levelsOf(metadata) } }
  } catch (error) {
    if (error instanceof LinkError) return { failureReason: failure.cannotUnderstand }
    throw error
  }
}

const agrees = (header: InstanceHeader, value: (key: string) => string | undefined): boolean =>
  value(tag.SOPInstanceUID) === header.sopInstanceUID &&
  value(tag.SeriesInstanceUID) === header.seriesInstanceUID &&
  value(tag.StudyInstanceUID) === header.studyInstanceUID

/** The same for a file of `size` bytes that is in its place already. */
export async function understandFile(
  file: string,
  size: number,
  facts: Facts,
): Promise<{ instance: NewInstance } | Failed> {
  await using handle = await open(file, 'r')
  return understand(readerOf(handle, size), facts)
}

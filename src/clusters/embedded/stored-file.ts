import { type FileHandle, open } from 'node:fs/promises'
import { ClusterError } from '../../core/outcome.ts'
import type { ByteReader } from '../../dicom/part10-window.ts'
import { readerOf } from './files.ts'

/**
 * Random access to one stored file, open only from the first read to `close`; it opens again when read after that.
 * So an answer that nobody reads holds no file open.
 */
export class StoredFile implements ByteReader, AsyncDisposable {
  readonly size: number
  readonly #path: string
  #handle: Promise<FileHandle> | undefined

  constructor(path: string, size: number) {
    this.#path = path
    this.size = size
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#handle ??= open(this.#path, 'r')
    return readerOf(await this.#handle, this.size).read(offset, length)
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await (await handle?.catch(() => undefined))?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** A file that is not what its row says: somebody changed the data directory, or its disk is failing. */
export const damaged = (cluster: string, instance: string, cause?: unknown): ClusterError =>
  new ClusterError(cluster, 'failed', `the file of instance ${instance} is missing or damaged; restore it`, { cause })

import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LinkError, toError } from '../core/errors.ts'
import { readMappingsFile } from './service.ts'

export interface Replacement {
  /** Of the file in use. */
  readonly path: string
  /** What was in it when the new text was compared to it. */
  readonly before: string
  readonly after: string
}

/**
 * Puts new tables in the place of the old ones, which stay as `<path>.bak`: whoever reads the file finds the one or the
 * other, whole, also after a crash. Throws `LinkError` `config` when the file cannot be written, and `conflict` when
 * somebody else changed it meanwhile.
 */
export async function replaceMappingsFile({ path, before, after }: Replacement): Promise<void> {
  if ((await readMappingsFile(path)) !== before) {
    throw new LinkError('conflict', `mapping tables ${path}: somebody changed the file meanwhile; compare again`)
  }
  try {
    const { mode } = await stat(path)
    await writeWhole(`${path}.bak`, before, mode)
    await writeWhole(path, after, mode)
  } catch (thrown) {
    const { message } = toError(thrown)
    throw new LinkError('config', `mapping tables ${path} cannot be replaced: ${message}`, { cause: thrown })
  }
}

/** Written aside, onto the disk, and renamed. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`
  try {
    await withFile(await open(draft, 'wx', mode), async (file) => {
      await file.writeFile(text)
      await file.sync()
    })
    await rename(draft, path)
  } catch (thrown) {
    await rm(draft, { force: true })
    throw thrown
  }
  await withFile(await open(dirname(path)), (folder) => folder.sync())
}

async function withFile(file: FileHandle, work: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    await work(file)
  } finally {
    await file.close()
  }
}

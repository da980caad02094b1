import { open } from 'node:fs/promises'
import { LinkError, toError } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import { type Mappings, parseMappings } from '../link/mappings.ts'

/** The tables in force, and how they are replaced without a restart. */
export interface MappingsService {
  /** The tables in force. */
  current(): Mappings
  /** When they were read. */
  loadedAt(): Date
  /**
   * Reads the file again. Throws `LinkError` `config` when it cannot be used; the tables in force stay then. Calls at
   * the same time are served in turn, so that what was read last is in force in the end.
   */
  reload(): Promise<Mappings>
}

export interface MappingsOptions {
  /** Of the file with the tables, in YAML or JSON. */
  readonly path: string
  readonly log: Log
  readonly clock: { now(): number }
  /** How a file is read; from the disk by default. */
  readonly read?: (path: string) => Promise<string>
}

/** Reads the tables for the first time. Throws `LinkError` `config` when they cannot be used. */
export async function createMappings(options: MappingsOptions): Promise<MappingsService> {
  const { path, log, clock, read = readMappingsFile } = options
  const load = async () => ({ mappings: parseMappings(await read(path), path), at: new Date(clock.now()) })
  let loaded = await load()
  let last: Promise<unknown> = Promise.resolve()
  const reload = async () => {
    try {
      loaded = await load()
    } catch (thrown) {
      log.warn({ error: toError(thrown).message }, 'mappings-refused')
      throw thrown
    }
    const { digest, specialty, bodyPart } = loaded.mappings
    log.info({ digest, specialty: specialty.length, bodyPart: bodyPart.length }, 'mappings-reloaded')
    return loaded.mappings
  }
  return {
    current: () => loaded.mappings,
    loadedAt: () => loaded.at,
    reload: () => {
      const turn = last.then(reload)
      last = turn.catch(() => undefined)
      return turn
    },
  }
}

/** More than the largest tables that are taken, however they are encoded. */
const maxBytes = 32 * 1024 ** 2

/** The text of a file with tables. Throws `LinkError` `config` when it cannot be read, or is not in UTF-8. */
export async function readMappingsFile(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await bytesOf(path))
  } catch (thrown) {
    const { message } = toError(thrown)
    throw new LinkError('config', `mapping tables ${path} cannot be read: ${message}`, { cause: thrown })
  }
}

async function bytesOf(path: string): Promise<Uint8Array> {
  await using file = await open(path)
  const stat = await file.stat()
  if (!stat.isFile()) throw new Error('this is no file')
  if (stat.size > maxBytes) throw new Error(`the file is longer than ${maxBytes} bytes`)
  return file.readFile()
}

import { resolve } from 'node:path'
import { clustersForCommand } from '../compose/commands.ts'
import type { Config } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import { parseMappings } from '../link/mappings.ts'
import { type DryRun, dryRun } from '../mappings/dry-run.ts'
import { replaceMappingsFile } from '../mappings/replace.ts'
import { readMappingsFile } from '../mappings/service.ts'
import { shippedMappings } from '../mappings/shipped.ts'
import type { Console } from './console.ts'
import { renderDryRun } from './mappings-text.ts'
import { progressOn } from './progress.ts'

export interface ApplyOptions {
  /** The new tables. */
  readonly file: string
  readonly config: Config
  readonly dryRun?: boolean
  readonly json?: boolean
}

const stopped = 130

/** Says what new tables would change, and puts them in use when that is wanted and all clusters were looked at. */
export async function apply(options: ApplyOptions, console: Console): Promise<void> {
  const { file, config } = options
  const path = options.dryRun ? (config.mappings ?? shippedMappings()) : fileInUse(config, file)
  const [before, after] = [await readMappingsFile(path), await readMappingsFile(file)]
  const signal = console.interrupted()
  const result = await compare({ config, before: [before, path], after: [after, file] }, console, signal)
  if (!result) {
    console.say('stopped; nothing was changed')
    return console.end(stopped)
  }
  const incomplete = result.clusters.some(({ failed }) => failed !== undefined)
  const applied = !options.dryRun && !incomplete
  if (applied) await replaceMappingsFile({ path, before, after })
  const outcome = { ...result, applied }
  console.say(options.json ? JSON.stringify(outcome, null, 2) : renderDryRun(result))
  if (!options.json && !options.dryRun) console.say(applied ? inUse(path) : notInUse(path))
  console.end(incomplete ? 1 : 0)
}

function fileInUse({ mappings }: Config, file: string): string {
  if (mappings === undefined) {
    throw new LinkError(
      'config',
      'mappings: the configuration does not name a file; add the key, with a copy of the new tables, or use --dry-run',
    )
  }
  if (resolve(file) !== resolve(mappings)) return mappings
  throw new LinkError('config', `${file} is the file in use: edit a copy of it, and apply that`)
}

interface Sides {
  readonly config: Config
  /** The text of each, and what to call it. */
  readonly before: readonly [text: string, path: string]
  readonly after: readonly [text: string, path: string]
}

/** Nothing when it was stopped. */
async function compare(
  { config, before, after }: Sides,
  { progress }: Console,
  signal: AbortSignal,
): Promise<DryRun | undefined> {
  const sides = { before: parseMappings(...before), after: parseMappings(...after) }
  await using configured = clustersForCommand(config)
  const clusters = configured.all.map(({ id, constrained, open }) => ({ id, open, ...(constrained && { skip }) }))
  const shown = progressOn(progress)
  try {
    const { maxRowsPerCluster: maxRows } = config.limits
    return await dryRun({ ...sides, clusters, maxRows, clock, signal, onProgress: shown.tell })
  } catch (thrown) {
    if (signal.aborted) return undefined
    throw thrown
  } finally {
    shown.end()
  }
}

const skip = 'it is constrained: asked only with a patient ID, an accession number or three letters of a name'

const inUse = (path: string): string =>
  [
    `${path} is replaced; what it was is kept as ${path}.bak`,
    'a running proxy reads it when it gets the signal SIGHUP, or POST /link/v1/mappings/reload',
  ].join('\n')

const notInUse = (path: string): string =>
  `${path} is not replaced, since not all clusters could be looked at; copy the new file there yourself to use it anyway`

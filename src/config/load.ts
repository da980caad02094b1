import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { z } from 'zod'
import { LinkError, toError } from '../core/errors.ts'
import { explain } from './explain.ts'
import { interpolate, isInterpolated, type Sources } from './interpolate.ts'
import { type KeyPath, valueAt, withValueAt } from './key-path.ts'
import { type ClusterConfig, type Config, configSchema } from './schema.ts'

/**
 * Reads a configuration file in YAML or JSON into one frozen value. Relative paths in it start from its folder.
 * Throws `LinkError` with code `config` whose text has a line for every problem: the key, the value, what is allowed.
 */
export async function loadConfig(path: string, env: Sources['env']): Promise<Config> {
  const folder = dirname(resolve(path))
  const written = parse(await read(path), path)
  const problems: string[] = []
  const filled = await interpolate(written, { env, folder }, problems)
  if (problems.length > 0) throw configError(path, problems)
  const result = check(filled, written)
  if (!result.success) throw configError(path, explain(result.error.issues, written))
  return deepFreeze(fromFolder(result.data, folder))
}

/** What runs when nobody configured anything: two embedded clusters, reachable from this machine only. */
export function demoConfig(dataDir: string): Config {
  const clusters = [
    { id: 'north', role: 'home', embedded: {}, priority: 10 },
    { id: 'south', role: 'linked', embedded: {} },
  ]
  return deepFreeze(configSchema.parse({ site: 'demo', dataDir: resolve(dataDir), log: { level: 'warn' }, clusters }))
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw configError(path, [`the file cannot be read: ${toError(error).message}`], error)
  }
}

/** JSON is YAML. */
function parse(text: string, path: string): unknown {
  const documents = parseAllDocuments(text, { prettyErrors: true, logLevel: 'error' })
  const [document, second] = 'empty' in documents ? [] : documents
  if (!document || document.contents === null) throw configError(path, ['the file is empty'])
  if (second) throw configError(path, ['more than one document; a "---" line too many?'])
  const problems = document.errors.map(({ message, linePos }) => {
    return `${linePos ? `line ${linePos[0].line}, column ${linePos[0].col}: ` : ''}${withoutQuote(message)}`
  })
  if (problems.length > 0) throw configError(path, problems)
  try {
    return document.toJS()
  } catch (error) {
    throw configError(path, [withoutQuote(toError(error).message)])
  }
}

/** The parser's messages quote the file, which may hold secrets, on later lines and behind colons. */
const withoutQuote = (message: string): string => message.split(/ at line \d+|\n|: /)[0] ?? ''

/** `port: ${PORT}` is a text in the file; where a number or a boolean belongs, it is read as one. */
function check(filled: unknown, written: unknown): z.ZodSafeParseResult<Config> {
  const first = configSchema.safeParse(filled)
  if (first.success) return first
  let converted = filled
  for (const issue of first.error.issues) {
    const path = issue.path as KeyPath
    if (issue.code !== 'invalid_type' || !isInterpolated(valueAt(written, path))) continue
    const value = convert(String(valueAt(filled, path)), issue.expected)
    if (value !== undefined) converted = withValueAt(converted, path, value)
  }
  return converted === filled ? first : configSchema.safeParse(converted)
}

function convert(text: string, expected: string): number | boolean | undefined {
  if (expected === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined
  return (expected === 'number' || expected === 'int') && /^-?\d{1,15}$/.test(text) ? Number(text) : undefined
}

function fromFolder(config: Config, folder: string): Config {
  return {
    ...config,
    dataDir: resolve(folder, config.dataDir),
    ...(config.mappings !== undefined && { mappings: resolve(folder, config.mappings) }),
    clusters: config.clusters.map((cluster) => clusterFromFolder(cluster, folder)),
  }
}

function clusterFromFolder(cluster: ClusterConfig, folder: string): ClusterConfig {
  const certificate = cluster.auth?.clientCertificate
  const { ca } = cluster
  return {
    ...cluster,
    ...(ca === undefined ? {} : { ca: resolve(folder, ca) }),
    ...(certificate && {
      auth: {
        ...cluster.auth,
        clientCertificate: {
          ...certificate,
          cert: resolve(folder, certificate.cert),
          key: resolve(folder, certificate.key),
        },
      },
    }),
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const item of Object.values(value)) deepFreeze(item)
  return Object.freeze(value)
}

function configError(path: string, problems: readonly string[], cause?: unknown): LinkError {
  const lines = problems.map((problem) => `  ${problem}`)
  return new LinkError('config', `configuration ${path} cannot be used:\n${lines.join('\n')}`, { cause })
}

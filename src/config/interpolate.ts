import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { toError } from '../core/errors.ts'
import { type KeyPath, showPath } from './key-path.ts'

/** Where `${…}` takes its values from. */
export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder that relative paths of `${file:…}` start from. */
  readonly folder: string
}

const maxSecretBytes = 64 * 1024

/** `$${` stands for a literal `${`. */
const reference = /\$\$\{|\$\{([^}]*)\}/g

/** Whether a text of the configuration file takes something from outside; its value is then never shown. */
export const isInterpolated = (value: unknown): boolean => typeof value === 'string' && /(^|[^$])\$\{/.test(value)

/**
 * Replaces `${NAME}` and `${file:path}` in every string of a parsed configuration. What is put in is not looked
 * at again. Problems are added to `problems`, one line each, and leave the text as it was.
 */
export async function interpolate(value: unknown, sources: Sources, problems: string[]): Promise<unknown> {
  return walk(value, [])

  async function walk(node: unknown, path: KeyPath): Promise<unknown> {
    if (typeof node === 'string') return replaceIn(node, path)
    if (Array.isArray(node)) return Promise.all(node.map((item, index) => walk(item, [...path, index])))
    if (typeof node !== 'object' || node === null) return node
    const entries = Object.entries(node).map(async ([key, item]) => [key, await walk(item, [...path, key])] as const)
    return Object.fromEntries(await Promise.all(entries))
  }

  async function replaceIn(text: string, path: KeyPath): Promise<string> {
    let result = ''
    let from = 0
    for (const match of text.matchAll(reference)) {
      result += text.slice(from, match.index) + (await resolved(match, path))
      from = match.index + match[0].length
    }
    return result + text.slice(from)
  }

  async function resolved(match: RegExpMatchArray, path: KeyPath): Promise<string> {
    const name = match[1]
    if (name === undefined) return '${'
    try {
      return name.startsWith('file:') ? await fromFile(name.slice(5), sources.folder) : fromEnvironment(name, sources)
    } catch (error) {
      problems.push(`${showPath(path)}: ${toError(error).message}`)
      return match[0]
    }
  }
}

function fromEnvironment(name: string, { env }: Sources): string {
  if (!/^[A-Za-z_]\w*$/.test(name)) {
    // Not quoted: it may be a piece of a password.
    throw new Error(`a "\${" begins neither \${NAME} nor \${file:path}; write "$\${" for a literal "\${"`)
  }
  const value = env[name]
  if (value === undefined) throw new Error(`the environment variable ${name} is not set`)
  return value
}

/** The file without the newline at its end, as secrets are mounted. */
async function fromFile(path: string, folder: string): Promise<string> {
  const file = resolve(folder, path)
  try {
    const { size } = await stat(file)
    if (size > maxSecretBytes) throw new Error(`it has ${size} bytes, at most ${maxSecretBytes} are read`)
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  } catch (error) {
    throw new Error(`the file ${file} cannot be read: ${toError(error).message}`)
  }
}

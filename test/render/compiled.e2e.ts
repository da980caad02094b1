import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../support/processes.ts'
import { madeImage, wedge } from './made-image.ts'
import { fromPng, shown } from './pictures.ts'

const root = join(import.meta.dirname, '../..')
let folder = ''

/** As `prepack` compiles it, in a folder of its own. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'compiled-'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const out = join(folder, 'dist')
  const compiling = run(
    join(root, 'node_modules/.bin/tsc'),
    ['-p', 'tsconfig.build.json', '--outDir', out, '--noCheck'],
    {
      cwd: root,
    },
  )
  expect(await compiling.ended, compiling.stdout()).toMatchObject({ code: 0 })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const script = `
import { readFile } from 'node:fs/promises'
import { createRenderer } from './dist/render/renderer.js'
const renderer = createRenderer({ threads: 1 })
const request = { file: await readFile('image.dcm'), frame: 1, mediaTypes: ['image/png'], parameters: {} }
const { bytes } = await renderer.render(request, new AbortController().signal)
console.log(Buffer.from(bytes).toString('base64'))
`

test('the compiled package renders in threads of its own, which do not keep the process', async () => {
  const file = madeImage({ rows: 30, columns: 40, pixels: Uint8Array.from(wedge(30, 40, 0, 255)) })
  await writeFile(join(folder, 'image.dcm'), file)
  await writeFile(join(folder, 'script.js'), script)
  await using running = run(process.execPath, ['script.js'], { cwd: folder })
  expect(await running.ended, running.stderr()).toMatchObject({ code: 0 })
  expect(fromPng(Buffer.from(running.stdout(), 'base64'))).toEqual(await shown(file))
})

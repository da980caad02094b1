import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseMappings } from '../../src/link/mappings.ts'
import { dataDirectory } from '../support/folders.ts'
import { startProxy } from '../support/processes.ts'

const tables = (value: string) => `specialty: [{ rule: 1, when: {}, gives: ${value} }]`

let folder: Awaited<ReturnType<typeof dataDirectory>>
let path: string
beforeEach(async () => {
  folder = await dataDirectory()
  path = join(folder.path, 'mappings.yaml')
  await writeFile(path, tables('OLD'))
})
afterEach(() => folder.remove())

const start = () =>
  startProxy({
    config: { site: 'north', mappings: path, viewer: false, clusters: [{ id: 'north', role: 'home', embedded: {} }] },
    dataDir: folder.path,
  })

const digest = async ({ url }: { readonly url: string }) =>
  ((await (await fetch(`${url}/link/v1/mappings`)).json()) as { digest: string }).digest

test('a running proxy reads its mapping tables again at SIGHUP, and keeps them when the file is bad', async () => {
  await using proxy = await start()
  await writeFile(path, tables('NEW'))
  process.kill(proxy.pid, 'SIGHUP')
  await proxy.says(/^mapping tables read again$/m)
  expect(await digest(proxy)).toBe(parseMappings(tables('NEW'), 'x').digest)

  await writeFile(path, tables('""'))
  process.kill(proxy.pid, 'SIGHUP')
  await proxy.says(/^mapping tables not read again, the old ones stay: .*\n.*specialty, rule 1: gives: ""/m)
  expect(await digest(proxy)).toBe(parseMappings(tables('NEW'), 'x').digest)
  expect(await proxy.kill()).toEqual({ code: 0, signal: null })
})

test('a proxy does not start with bad mapping tables, and says what is wrong', async () => {
  await writeFile(path, tables('""'))
  await expect(start()).rejects.toThrow(/dicomweb-link: mapping tables .* cannot be used:\n.*specialty, rule 1: gives/)
})

import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { replaceMappingsFile } from '../../src/mappings/replace.ts'
import { temporaryFolder } from '../support/folders.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let path: string
beforeEach(async () => {
  folder = await temporaryFolder()
  path = join(folder.path, 'mappings.yaml')
  await writeFile(path, 'before')
})
afterEach(() => folder.remove())

const read = (name: string) => readFile(join(folder.path, name), 'utf8')

describe('a replaced file of tables', () => {
  test('has the new text and the rights of the old one, which is kept', async () => {
    await chmod(path, 0o640)
    await replaceMappingsFile({ path, before: 'before', after: 'after' })
    expect((await readdir(folder.path)).toSorted()).toEqual(['mappings.yaml', 'mappings.yaml.bak'])
    expect(await read('mappings.yaml')).toBe('after')
    expect(await read('mappings.yaml.bak')).toBe('before')
    expect((await stat(path)).mode & 0o777).toBe(0o640)
    await replaceMappingsFile({ path, before: 'after', after: 'third' })
    expect(await read('mappings.yaml.bak')).toBe('after')
  })

  test('is not replaced when somebody changed it after it was compared', async () => {
    await writeFile(path, 'changed')
    await expect(replaceMappingsFile({ path, before: 'before', after: 'after' })).rejects.toMatchObject({
      code: 'conflict',
    })
    expect(await read('mappings.yaml')).toBe('changed')
    expect(await readdir(folder.path)).toEqual(['mappings.yaml'])
  })

  test('is as it was, with nothing beside it, when it cannot be written', async () => {
    await writeFile(join(folder.path, 'x'), '')
    const inFile = join(folder.path, 'x', 'mappings.yaml')
    await expect(replaceMappingsFile({ path: inFile, before: '', after: 'after' })).rejects.toMatchObject({
      code: 'config',
    })
    expect((await readdir(folder.path)).toSorted()).toEqual(['mappings.yaml', 'x'])
  })

  test('is found whole by whoever reads it meanwhile', async () => {
    const [before, after] = ['a'.repeat(1_000_000), 'b'.repeat(1_000_000)]
    await writeFile(path, before)
    let done = false
    const reading = (async () => {
      const seen = new Set<string>()
      while (!done) seen.add(await read('mappings.yaml'))
      return seen
    })()
    await replaceMappingsFile({ path, before, after })
    done = true
    for (const text of await reading) expect([before, after]).toContain(text)
  })
})

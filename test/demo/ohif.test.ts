import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create } from 'tar'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fetchViewer, type Pack, startViewer, type ViewerPackage } from '../../src/demo/ohif.ts'

let folder = ''
let cache = ''
let packed = new Uint8Array()
let viewer: ViewerPackage = { name: '@ohif/app', version: '1.0.0', bytes: 0, sha512: '' }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ohif-'))
  const site = join(folder, 'source/package/dist')
  mkdirSync(site, { recursive: true })
  writeFileSync(join(site, 'index.html'), 'the viewer')
  writeFileSync(join(site, 'app.js'), 'run()')
  writeFileSync(join(site, 'app.js.map'), '{}')
  writeFileSync(join(folder, 'source/package/package.json'), '{}')
  const file = join(folder, 'viewer.tgz')
  await create({ file, cwd: join(folder, 'source'), gzip: true }, ['package'])
  packed = readFileSync(file)
  const sha512 = createHash('sha512').update(packed).digest('base64')
  viewer = { ...viewer, bytes: packed.length, sha512 }
})
beforeEach(async () => {
  cache = await mkdtemp(join(folder, 'cache-'))
})
afterAll(() => rm(folder, { recursive: true }))

const packing =
  (bytes: Uint8Array = packed): Pack =>
  async (_viewer, into) => {
    writeFileSync(join(into, 'viewer.tgz'), bytes)
    return join(into, 'viewer.tgz')
  }

const refusing: Pack = async () => {
  throw new Error('the npm registry cannot be reached (ENOTFOUND)')
}

describe('fetching the viewer', () => {
  test('its site is kept, without source maps, and nothing else is left behind', async () => {
    const result = await fetchViewer(cache, { viewer, pack: packing() })
    expect(result).toEqual({ status: 'ready', dist: join(cache, 'ohif-1.0.0') })
    expect(readdirSync(cache)).toEqual(['ohif-1.0.0'])
    expect(readdirSync(join(cache, 'ohif-1.0.0')).sort()).toEqual(['app.js', 'index.html'])
  })

  test('it is fetched once: later starts need no network', async () => {
    await fetchViewer(cache, { viewer, pack: packing() })
    expect(await fetchViewer(cache, { viewer, pack: refusing })).toMatchObject({ status: 'ready' })
  })

  test('without a network there is a reason, and the next start tries again', async () => {
    expect(await fetchViewer(cache, { viewer, pack: refusing })).toEqual({
      status: 'unavailable',
      reason: '@ohif/app@1.0.0 could not be fetched: the npm registry cannot be reached (ENOTFOUND).',
    })
    expect(readdirSync(cache)).toEqual([])
    expect(await fetchViewer(cache, { viewer, pack: packing() })).toMatchObject({ status: 'ready' })
  })

  test('a package that is not the published one is refused', async () => {
    const altered = Uint8Array.from(packed, (byte, index) => (index === 100 ? byte ^ 1 : byte))
    const result = await fetchViewer(cache, { viewer, pack: packing(altered) })
    expect(result).toMatchObject({ status: 'unavailable', reason: expect.stringContaining('SHA-512') })
    expect(readdirSync(cache)).toEqual([])
  })

  test('two processes that fetch at once end with one whole site', async () => {
    const results = await Promise.all([1, 2, 3].map(() => fetchViewer(cache, { viewer, pack: packing() })))
    expect(results.map((it) => it.status)).toEqual(['ready', 'ready', 'ready'])
    expect(readdirSync(cache)).toEqual(['ohif-1.0.0'])
  })

  test('what a killed process left is no site, and is cleared away an hour later', async () => {
    const [fresh, old] = [join(cache, '.fetching-fresh'), join(cache, '.fetching-old')]
    for (const path of [fresh, old]) mkdirSync(path)
    utimesSync(old, 0, 0)
    await fetchViewer(cache, { viewer, pack: packing() })
    expect(existsSync(fresh)).toBe(true)
    expect(existsSync(old)).toBe(false)
  })

  test('a caller that leaves ends it, and nothing is left behind', async () => {
    const leaving = new AbortController()
    const pack: Pack = (_viewer, _into, signal) =>
      new Promise((_fulfil, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
        leaving.abort()
      })
    const result = await fetchViewer(cache, { viewer, pack, signal: leaving.signal })
    expect(result).toEqual({ status: 'unavailable', reason: '@ohif/app@1.0.0 could not be fetched: stopped.' })
    expect(readdirSync(cache)).toEqual([])
  })

  test('a folder that cannot be written is a reason, not a crash', async () => {
    const file = join(cache, 'file')
    writeFileSync(file, '')
    expect(await fetchViewer(file, { viewer, pack: packing() })).toMatchObject({ status: 'unavailable' })
  })

  test('nobody waits for it: the state goes from fetching to ready by itself', async () => {
    const fetch = startViewer(cache, { viewer, pack: packing() })
    expect(fetch.state()).toEqual({ status: 'fetching', receivedBytes: 0, totalBytes: viewer.bytes })
    await fetch.done
    expect(fetch.state()).toEqual({ status: 'ready', dist: join(cache, 'ohif-1.0.0') })
  })
})

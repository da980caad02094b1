import { existsSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type ViewerState, viewer } from '../../src/http/viewer.ts'
import { RawClient, type Site, startSite } from './harness.ts'

const folder = mkdtempSync(join(tmpdir(), 'viewer-'))
const dist = join(folder, 'dist')
const bundle = `console.log('${'long '.repeat(1000)}')`

beforeAll(() => {
  mkdirSync(join(dist, 'assets'), { recursive: true })
  writeFileSync(join(folder, 'secret.txt'), 'not for the web')
  writeFileSync(join(dist, 'index.html'), '<!doctype html><script>window.PUBLIC_URL="/"</script><div id="root"></div>')
  writeFileSync(join(dist, 'app-config.js'), 'window.config = { dataSources: ["https://elsewhere.example"] }')
  writeFileSync(join(dist, 'app.bundle.0f6159c501addfe9.js'), bundle)
  writeFileSync(join(dist, '0ddf166f7a343eda.wasm'), new Uint8Array(8))
  writeFileSync(join(dist, 'app.bundle.css'), 'body { color: red }')
  writeFileSync(join(dist, 'assets/favicon.ico'), new Uint8Array(4))
})
afterAll(() => rmSync(folder, { recursive: true }))

const open: Site[] = []
afterAll(async () => {
  for (const site of open) await site.close()
})

/** As compose mounts it: behind the API, in front of the one answer for what nobody has. */
const served = async (state: ViewerState | (() => ViewerState), settings: object = {}) => {
  const site = await startSite(settings, { pages: viewer(typeof state === 'function' ? state : () => state) })
  open.push(site)
  return site
}

describe('the viewer', () => {
  let get: Site['fetch']
  beforeAll(async () => {
    get = (await served({ status: 'ready', dist })).fetch
  })

  test.each(['/', '/viewer?StudyInstanceUIDs=1.2.3', '/segmentation', '/index.html'])(
    'its pages are all index.html: %s',
    async (path) => {
      const response = await get(path)
      expect(response.status).toBe(200)
      expect(response.headers.get('Content-Type')).toBe('text/html; charset=utf-8')
      expect(await response.text()).toContain('id="root"')
    },
  )

  test.each([
    ['/app.bundle.0f6159c501addfe9.js', 'text/javascript; charset=utf-8'],
    ['/0ddf166f7a343eda.wasm', 'application/wasm'],
    ['/app.bundle.css', 'text/css; charset=utf-8'],
    ['/assets/favicon.ico', 'image/x-icon'],
  ])('%s is sent as %s', async (path, type) => {
    const response = await get(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('Content-Type')).toBe(type)
    await response.arrayBuffer()
  })

  test('it is configured to ask this very address for everything', async () => {
    const text = await (await get('/app-config.js')).text()
    const config = JSON.parse(text.replace('window.config = ', ''))
    expect(config.dataSources).toHaveLength(1)
    expect(config.dataSources[0].configuration).toMatchObject({
      qidoRoot: '/dicom-web',
      wadoRoot: '/dicom-web',
      wadoUriRoot: '/wado',
    })
    expect(text).not.toContain('://')
  })

  test('a file whose name carries its hash is kept for ever, any other is asked about again', async () => {
    const hashed = await get('/app.bundle.0f6159c501addfe9.js', { method: 'HEAD' })
    expect(hashed.headers.get('Cache-Control')).toContain('immutable')
    for (const path of ['/', '/app.bundle.css', '/app-config.js']) {
      expect((await get(path, { method: 'HEAD' })).headers.get('Cache-Control')).toBe('no-cache')
    }
  })

  test('a browser that has the file is told so', async () => {
    const etag = (await get('/app.bundle.css', { method: 'HEAD' })).headers.get('ETag') ?? ''
    const response = await get('/app.bundle.css', { headers: { 'If-None-Match': etag } })
    expect(response.status).toBe(304)
    expect(await response.text()).toBe('')
  })

  test('scripts travel compressed to whoever takes that', async () => {
    const response = await get('/app.bundle.0f6159c501addfe9.js', { headers: { 'Accept-Encoding': 'gzip' } })
    expect(response.headers.get('Content-Encoding')).toBe('gzip')
    expect(await response.text()).toBe(bundle)
  })

  test.each(['identity', 'gzip;q=0', 'br'])('and as they are to whoever takes only %s', async (coding) => {
    const response = await get('/app.bundle.0f6159c501addfe9.js', { headers: { 'Accept-Encoding': coding } })
    expect(response.headers.get('Content-Encoding')).toBeNull()
    expect(response.headers.get('Content-Length')).toBe(String(bundle.length))
    expect(await response.text()).toBe(bundle)
  })

  test('its pages are isolated, so that OHIF may share memory between workers', async () => {
    const { headers } = await get('/', { method: 'HEAD' })
    expect(headers.get('Cross-Origin-Opener-Policy')).toBe('same-origin')
    expect(headers.get('Cross-Origin-Embedder-Policy')).toBe('require-corp')
  })

  test('only the inline scripts of the published page may run, and nothing of another host', async () => {
    const policy = (await get('/', { method: 'HEAD' })).headers.get('Content-Security-Policy') ?? ''
    expect(policy).toMatch(/script-src [^;]*'sha256-[A-Za-z0-9+/]{43}='/)
    expect(policy).not.toMatch(/script-src [^;]*'unsafe-inline'/)
    expect(policy).not.toMatch(/https?:|\*/)
  })

  test.each(['/..%2fsecret.txt', '/%2e%2e/secret.txt', '/assets/..%2f..%2fsecret.txt', '/..%5csecret.txt', '/%zz.txt'])(
    'no path leads out of its folder: %s',
    async (path) => {
      const response = await get(path)
      expect(response.status).toBe(404)
      expect(await response.text()).not.toContain('not for the web')
    },
  )

  test.each(['/dicom-web/nonsense', '/link/v1/nothing', '/docs/nothing', '/missing.js'])(
    'what the API or the site does not have stays not found: %s',
    async (path) => {
      expect((await get(path)).status).toBe(404)
    },
  )

  test('it leaves other methods and the routes before it alone', async () => {
    expect(await (await get('/healthz')).json()).toEqual({ status: 'ok' })
    expect((await get('/', { method: 'POST' })).status).toBe(404)
  })
})

describe('files that cannot be sent', () => {
  const ready = { status: 'ready', dist } as const
  const large = join(dist, 'large.bin')
  beforeAll(() => writeFileSync(large, new Uint8Array(32 * 1024 * 1024)))

  const isOpen = (path: string) =>
    readdirSync('/proc/self/fd').some((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === path
      } catch {
        return false
      }
    })

  test.skipIf(!existsSync('/proc/self/fd'))('are closed when their client takes nothing, or leaves', async () => {
    const site = await served(ready, { limits: { clientIdleTimeoutMs: 50 } })
    using stuck = await RawClient.open(site.address)
    const cut = site.logged('answer-cut')
    stuck.get('/large.bin')
    stuck.socket.pause()
    expect(await cut).toMatchObject({ err: { code: 'cancelled' } })
    await expect.poll(() => isOpen(large)).toBe(false)

    const left = site.logged('request')
    using leaving = await RawClient.open(site.address)
    leaving.get('/large.bin')
    await leaving.until('\r\n\r\n')
    leaving.socket.destroy()
    expect(await left).toMatchObject({ incomplete: true })
    await expect.poll(() => isOpen(large)).toBe(false)
  })

  test.each(['identity', 'gzip'])('are told to the log alone, and to the client with a 500 (%s)', async (coding) => {
    const gone = join(dist, 'gone.js')
    writeFileSync(gone, bundle)
    const site = await served(ready)
    await (await site.fetch('/gone.js')).arrayBuffer()
    rmSync(gone)
    const printed = (['log', 'info', 'warn', 'error'] as const).map((name) => vi.spyOn(console, name))
    const line = site.logged('request-failed')
    const response = await site.fetch('/gone.js', { headers: { 'Accept-Encoding': coding } })
    expect(response.status).toBe(500)
    expect(response.headers.get('Cache-Control')).toBe('no-store')
    expect(await response.json()).toMatchObject({ code: 'internal' })
    expect(await line).toMatchObject({ err: { code: 'ENOENT' } })
    for (const spy of printed) expect(spy).not.toHaveBeenCalled()
    vi.restoreAllMocks()
  })
})

describe('without a viewer', () => {
  const unavailable = { status: 'unavailable', reason: 'The registry <cannot> be reached.' } as const
  const fetching = { status: 'fetching', receivedBytes: 12_300_000, totalBytes: 49_900_000 } as const

  test('the page says why, how to get it, and where the endpoints are', async () => {
    const response = await (await served(unavailable)).fetch('/')
    const text = await response.text()
    expect(response.status).toBe(200)
    expect(text).toContain('The registry &lt;cannot&gt; be reached.')
    expect(text).toContain('restart the proxy')
    for (const path of ['/dicom-web/studies', '/docs', '/healthz', '/readyz', '/metrics']) {
      expect(text).toContain(`href="${path}"`)
    }
  })

  test('while it is being fetched the page tells how far it is and comes back by itself', async () => {
    const text = await (await (await served(fetching)).fetch('/')).text()
    expect(text).toContain('12.3 of 49.9 MB')
    expect(text).toContain('http-equiv="refresh"')
  })

  test('switched off is said as such', async () => {
    expect(await (await (await served({ status: 'off' })).fetch('/')).text()).toContain('viewer: false')
  })

  test('an address inside the viewer is unavailable, not a success', async () => {
    const without = await served(unavailable)
    expect((await without.fetch('/viewer')).status).toBe(503)
    expect((await without.fetch('/app-config.js')).status).toBe(404)
    expect((await (await served(fetching)).fetch('/viewer')).headers.get('Retry-After')).toBe('5')
  })

  test('it is served as soon as it is there', async () => {
    let state: ViewerState = fetching
    const { fetch } = await served(() => state)
    expect(await (await fetch('/')).text()).toContain('being fetched')
    state = { status: 'ready', dist }
    expect(await (await fetch('/')).text()).toContain('id="root"')
  })
})

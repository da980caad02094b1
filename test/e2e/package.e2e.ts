import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Ending, type RunOptions, run } from '../support/processes.ts'

const root = join(import.meta.dirname, '../..')
/** The Node of this test, whatever the system's is; nothing of the checkout's own node_modules. */
const env = { PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter) }
const noNetwork = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED/

let folder = ''
let offline = false
let contents: readonly string[] = []

const finished = async (command: string, args: readonly string[], options: RunOptions) => {
  const running = run(command, args, { ...options, env })
  const ending: Ending = await running.ended
  return { ...ending, stdout: running.stdout(), stderr: running.stderr() }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'package-'))
  const pack = await finished('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root })
  expect(pack.code, pack.stderr).toBe(0)
  const [tarball] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'))
  contents = (await finished('tar', ['-tzf', join(folder, String(tarball))], {})).stdout.trim().split('\n')
  await writeFile(join(folder, 'package.json'), '{"private":true}')
  const args = ['install', '--omit=dev', '--omit=optional', '--ignore-scripts', '--prefer-offline', '--no-audit']
  const install = await finished('npm', [...args, join(folder, String(tarball))], { cwd: folder })
  offline = install.code !== 0 && noNetwork.test(install.stderr)
  if (!offline) expect(install.code, install.stderr).toBe(0)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A site without archives and without a viewer to fetch, on a free port. */
const configuration = async (more: object): Promise<string> => {
  const file = join(folder, 'config.json')
  const clusters = [{ id: 'north', role: 'home', embedded: {} }]
  await writeFile(
    file,
    JSON.stringify({ site: 'north', listen: { port: 0 }, dataDir: 'data', viewer: false, clusters, ...more }),
  )
  return file
}

describe('the published package', () => {
  test('carries compiled code, migrations, API description and licence, and no sources or tests', () => {
    const names = contents.map((name) => name.replace(/^package\//, ''))
    expect(names).toEqual(
      expect.arrayContaining([
        'dist/main.js',
        'drizzle/meta/_journal.json',
        'examples/mappings.yaml',
        'openapi.yaml',
        'LICENSE',
        'README.md',
      ]),
    )
    const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { bin: Record<string, string> }
    expect(names).toEqual(expect.arrayContaining(Object.values(bin)))
    expect(names.filter((name) => /^(src|test|scripts)\/|\.ts$/.test(name))).toEqual([])
  })

  test('its command explains itself', async (context) => {
    if (offline) return context.skip('the npm registry cannot be reached')
    const help = await finished('npx', ['--no-install', 'dicomweb-link', '--help'], { cwd: folder })
    expect(help.code, help.stderr).toBe(0)
    expect(help.stdout).toMatch(/serve[\s\S]*check[\s\S]*hash-key/)
  })

  test('its command says which Node it needs when it runs on an older one', async (context) => {
    if (offline) return context.skip('the npm registry cannot be reached')
    const older = join(folder, 'older.cjs')
    await writeFile(older, "Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })")
    const command = join(folder, 'node_modules/dicomweb-link/bin/dicomweb-link.js')
    const ending = await finished('node', ['--require', older, command, 'serve'], { cwd: folder })
    expect(ending.code).toBe(1)
    expect(ending.stderr).toMatch(
      /^dicomweb-link needs Node 24 or newer; this is Node 20\.20\.2 \(\S+\)\.\nInstall .+\n$/,
    )
  })

  test('it serves, and finds its migrations and its documentation', async (context) => {
    if (offline) return context.skip('the npm registry cannot be reached')
    const command = join(folder, 'node_modules/.bin/dicomweb-link')
    const clusters = [{ id: 'north', role: 'home', embedded: {}, prefetch: false }]
    await using proxy = run(command, ['serve', '--config', await configuration({ clusters })], { cwd: folder, env })
    const [, url] = await proxy.says(/listening on (http:\/\/\S+:\d+)/)
    expect(proxy.stdout()).toContain('clusters[0].prefetch has no effect yet')
    for (const path of ['/healthz', '/docs', '/', '/dicom-web/studies']) {
      expect((await fetch(`${url}${path}`)).status, path).toBe(200)
    }
    expect(await proxy.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

describe('the command of the container', () => {
  const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8')
  const instruction = (name: string): string[] =>
    JSON.parse(new RegExp(`^${name} (\\[.+\\])$`, 'm').exec(dockerfile)?.[1] ?? '[]')

  test('starts with credentials configured, tells its health without any, and ends on SIGTERM', async (context) => {
    if (offline) return context.skip('the npm registry cannot be reached')
    const [, health = ''] = /HEALTHCHECK [^\n]+\n *CMD (\[.+\])/.exec(dockerfile) ?? []
    const hash = `sha256:${'0'.repeat(64)}`
    const config = await configuration({ auth: { apiKeys: [{ name: 'client', hash, scopes: ['query'] }] } })
    const places: Readonly<Record<string, string>> = {
      '/app/dist/main.js': join(folder, 'node_modules/dicomweb-link/dist/main.js'),
      '/etc/dicomweb-link/config.yaml': config,
      '/data': join(folder, 'volume'),
    }
    const [command = '', ...args] = [...instruction('ENTRYPOINT'), ...instruction('CMD')].map((it) => places[it] ?? it)
    await using proxy = run(command, args, { cwd: folder, env })
    const [, url = ''] = await proxy.says(/listening on (http:\/\/\S+:\d+)/)
    expect((await fetch(`${url}/dicom-web/studies`)).status).toBe(401)
    const [node = '', ...check] = JSON.parse(health.replace('http://127.0.0.1:8080', url))
    expect((await finished(node, check, {})).code).toBe(0)
    expect(await proxy.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect((await finished(node, check, {})).code).toBe(1)
    expect(await readdir(join(folder, 'volume'))).not.toEqual([])
  })
})

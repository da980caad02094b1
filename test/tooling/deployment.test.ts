import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { validate } from 'dockerfile-utils'
import { afterAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { isLoopback } from '../../src/config/schema.ts'

const root = join(import.meta.dirname, '../..')
const text = (path: string) => readFileSync(join(root, path), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'deployment-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** An example as its users have it: secrets in their files, passwords in the environment. */
const load = (name: string) => {
  const hash = `sha256:${'0'.repeat(64)}`
  writeFileSync(join(folder, 'postgres_password'), 'secret\n')
  writeFileSync(join(folder, 'api_key_hash'), `${hash}\n`)
  const source = text(`examples/${name}`)
  writeFileSync(join(folder, name), source.replaceAll('${file:/run/secrets/', `\${file:${folder}/`))
  const names = [...source.matchAll(/\$\{([A-Z_]+)\}/g)].map(([, variable = '']) => variable)
  const env = Object.fromEntries(names.map((it) => [it, it.endsWith('_HASH') ? hash : 'secret']))
  return loadConfig(join(folder, name), env)
}

/** Beside the configurations, tables that one of them may name. */
const configurations = readdirSync(join(root, 'examples')).filter((name) => name !== 'mappings.yaml')

describe('the example configurations', () => {
  test.each(configurations)('%s is one the proxy accepts', async (name) => {
    const config = await load(name)
    expect(config.clusters.filter((it) => it.role === 'home')).toHaveLength(1)
  })

  test('they show every role a cluster can have', async () => {
    const config = await load('home-linked-third-party.yaml')
    expect(config.clusters.map((it) => it.role)).toEqual(['home', 'linked', 'thirdParty'])
  })
})

describe('the container', () => {
  const dockerfile = text('Dockerfile')
  const compose = parse(text('compose.yaml'), { merge: true })

  test('the Dockerfile has no fault', () => {
    expect(validate(dockerfile)).toEqual([])
  })

  test('the linter would tell one', () => {
    expect(validate(dockerfile.replace('USER node', 'USR node'))).not.toEqual([])
  })

  test('what runs is not root, and writes to the data volume only', () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
    expect(last).toMatch(/^USER node$/m)
    expect(last).toMatch(/^VOLUME \/data$/m)
    expect(last).toMatch(/^HEALTHCHECK /m)
    expect(compose.services.proxy.read_only).toBe(true)
  })

  test('everything it copies exists and is let through to the build', () => {
    const ignored = text('.dockerignore')
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) => files.split(' '))
    expect(copied).toEqual(expect.arrayContaining(['drizzle', 'examples/mappings.yaml']))
    for (const path of copied) {
      expect(existsSync(join(root, path)), path).toBe(true)
      expect(ignored.split('\n')).toContain(`!${path}`)
    }
  })

  test('its configuration is mounted where its command looks for it', () => {
    const [, command = '[]'] = /^CMD (.+)$/m.exec(dockerfile) ?? []
    const target = JSON.parse(command)[2]
    expect(compose.services.proxy.volumes).toContainEqual(`./examples/container.yaml:${target}:ro`)
  })

  test('it is reachable from outside the container only with credentials', async () => {
    const config = await load('container.yaml')
    expect(isLoopback(config.listen.host)).toBe(false)
    expect(config.auth?.apiKeys).toHaveLength(1)
    for (const port of compose.services.proxy.ports) expect(port).toMatch(/^127\.0\.0\.1:/)
  })

  test('every secret, volume and host that is used is there', async () => {
    const services: Record<string, { secrets?: string[]; volumes?: string[] }> = compose.services
    const used = Object.values(services)
    for (const name of used.flatMap((it) => it.secrets ?? [])) expect(compose.secrets).toHaveProperty(name)
    const volumes = used.flatMap((it) => it.volumes ?? []).map((it) => it.split(':')[0] ?? '')
    for (const name of volumes.filter((it) => !it.startsWith('.'))) expect(compose.volumes).toHaveProperty(name)
    const { clusters, database } = await load('container.yaml')
    const urls = [...clusters.map((it) => it.dicomweb ?? ''), database.url ?? '']
    for (const url of urls) expect(services).toHaveProperty(new URL(url).hostname)
  })
})

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration file
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoConfig, loadConfig } from '../../src/config/load.ts'
import { isLoopback } from '../../src/config/schema.ts'
import { keysWithoutEffect } from '../../src/config/without-effect.ts'
import { LinkError } from '../../src/core/errors.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'config-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function load(text: string, env: Record<string, string> = {}) {
  const path = join(folder, 'link.yaml')
  await writeFile(path, text)
  return loadConfig(path, env)
}

/** The problems a file has, one a line. */
async function problems(text: string, env: Record<string, string> = {}): Promise<string[]> {
  const error = await load(text, env).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(LinkError)
  const { code, message } = error as LinkError
  expect(code).toBe('config')
  return message
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
}

const minimal = `
site: north
clusters:
  - { id: north, role: home, embedded: {} }
`

describe('a configuration that is right', () => {
  it('gets the documented defaults', async () => {
    const config = await load(minimal)
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 8080 })
    expect(config.clusters[0]).toMatchObject({
      id: 'north',
      role: 'home',
      priority: 0,
      timeoutMs: 5000,
      queries: { internal: true, external: true },
      updates: 'all',
      prefetch: true,
      constrained: false,
    })
    expect(config.auth).toBeUndefined()
  })

  it('may be JSON', async () => {
    const config = await load(JSON.stringify({ site: 'a', clusters: [{ id: 'b', role: 'home', embedded: {} }] }))
    expect(config.clusters[0]?.id).toBe('b')
  })

  it('is frozen to its leaves', async () => {
    const config = await load(minimal)
    expect(Object.isFrozen(config.clusters[0]?.queries)).toBe(true)
    expect(() => Object.assign(config.listen, { port: 1 })).toThrow(TypeError)
  })

  it('reads relative paths from the folder of the file', async () => {
    const config = await load(`
site: north
dataDir: ./archive
mappings: tables/mappings.yaml
clusters:
  - id: north
    role: home
    dicomweb: https://127.0.0.1/dicom-web
    ca: certs/ca.pem
    auth: { clientCertificate: { cert: me.pem, key: /etc/me.key } }
`)
    expect(config.dataDir).toBe(join(folder, 'archive'))
    expect(config.mappings).toBe(join(folder, 'tables/mappings.yaml'))
    expect(config.clusters[0]?.ca).toBe(join(folder, 'certs/ca.pem'))
    expect(config.clusters[0]?.auth?.clientCertificate).toEqual({ cert: join(folder, 'me.pem'), key: '/etc/me.key' })
  })

  it('takes values from the environment and from files, inside of texts too', async () => {
    await writeFile(join(folder, 'secret'), 'p$ss ${HOST}\n')
    const config = await load(
      `
site: north
listen: { port: "\${PORT}" }
viewer: \${VIEWER}
clusters:
  - id: north
    role: home
    dicomweb: http://\${HOST}:8042/dicom-web
    auth: { basic: { username: "$\${literal}", password: "\${file:secret}" } }
`,
      { PORT: '9090', HOST: 'orthanc', VIEWER: 'false' },
    )
    expect(config.listen.port).toBe(9090)
    expect(config.viewer).toBe(false)
    expect(config.clusters[0]?.dicomweb).toBe('http://orthanc:8042/dicom-web')
    expect(config.clusters[0]?.auth?.basic).toEqual({ username: '${literal}', password: 'p$ss ${HOST}' })
  })

  it('is what the demo runs on: an embedded home and an embedded linked cluster, on loopback', () => {
    const config = demoConfig(folder)
    expect(config.site).toBe('demo')
    expect(config.clusters.map(({ role, embedded }) => [role, embedded])).toEqual([
      ['home', {}],
      ['linked', {}],
    ])
    expect(isLoopback(config.listen.host)).toBe(true)
    expect(config.dataDir).toBe(folder)
  })
})

describe('a configuration that is wrong', () => {
  it('is refused with every problem: key, value and what is allowed', async () => {
    const lines = await problems(`
site: North Site
listen: { port: 99999 }
database: { url: "mysql://root:hunter2@db/x" }
clusters:
  - { id: north, role: boss, embedded: {}, timeoutMs: soon }
  - { id: south, role: linked, dicomweb: "ftp://x", constrained: 1 }
`)
    expect(lines).toEqual([
      'site: "North Site" is not allowed; expected lower-case letters, digits and dashes, at most 32 characters, e.g. "north"',
      'listen.port: 99999 is not allowed; expected a whole number from 0 to 65535',
      'database.url: the value (not shown) is not allowed; expected postgres://…',
      'clusters[0].role: "boss" is not allowed; expected home, linked or thirdParty',
      'clusters[0].timeoutMs: "soon" is not allowed; expected a whole number from 1 to 3600000',
      'clusters[1].dicomweb: the value (not shown) is not allowed; expected an http:// or https:// address',
      'clusters[1].constrained: 1 is not allowed; expected true or false',
    ])
  })

  it('names what is missing', async () => {
    expect(await problems('clusters: []')).toEqual([
      'site: missing; expected lower-case letters, digits and dashes, at most 32 characters, e.g. "north"',
      'clusters: a list of 0 is not allowed; expected a list with at least one entry',
    ])
  })

  it('suggests the key that was meant', async () => {
    const lines = await problems(
      `${minimal}  - { id: b, role: linked, embedded: {}, timeoutMS: 3, foo: 1 }\nlisen: {}\n`,
    )
    expect(lines).toContain('clusters[1].timeoutMS: unknown key; did you mean timeoutMs?')
    expect(lines).toContain('lisen: unknown key; did you mean listen?')
    expect(lines.find((line) => line.startsWith('clusters[1].foo: unknown key; known keys: id, role'))).toBeDefined()
  })

  it('never shows a secret, whether written down or taken from outside', async () => {
    const text = (
      await problems(
        `
site: north
auth: { apiKeys: [{ name: a, hash: "my-plain-key", scopes: [query] }] }
clusters:
  - id: north
    role: home
    dicomweb: "https://user:hunter2@host/x"
    auth: { bearer: { token: "" }, basic: { username: "", password: 12345 } }
  - { id: south, role: linked, dicomweb: "\${SOUTH}" }
`,
        { SOUTH: 'not-a-url-but-secret' },
      )
    ).join('\n')
    expect(text).toContain('clusters[0].auth.bearer.token: the value (not shown) is not allowed')
    expect(text).toContain('clusters[0].auth.basic.password: the value (not shown) is not allowed')
    expect(text).toContain('clusters[1].dicomweb: the value of "${SOUTH}" is not allowed')
    for (const secret of ['my-plain-key', 'hunter2', '12345', 'not-a-url-but-secret'])
      expect(text).not.toContain(secret)
  })

  const inNorth = (more: string) => `
site: north
clusters:
  - { id: north, role: home, ${more} }
`
  it.each([
    ['a bare bearer token', inNorth('dicomweb: http://a, auth: { bearer: "S3CRET" }')],
    ['user and password in one', inNorth('dicomweb: http://a, auth: { basic: "user:S3CRET" }')],
    ['a credential alone', inNorth('dicomweb: http://a, auth: "S3CRET"')],
    ['a forgotten colon', inNorth('dicomweb: http://a, auth: { bearer S3CRET }')],
    ['a key of its own', inNorth('dicomweb: http://a, auth: { S3CRET: bearer }')],
    ['braces as of a template', inNorth('dicomweb: http://a, auth: { bearer: { token: {{S3CRET}} } }')],
    ['a list of keys', `${minimal}auth: { apiKeys: ["S3CRET"] }`],
    ['keys by name', `${minimal}auth: { apiKeys: { S3CRET: [query] } }`],
    ['one key', `${minimal}auth: { apiKeys: S3CRET }`],
    ['a scope', `${minimal}auth: { apiKeys: [{ name: a, hash: x, scopes: [S3CRET] }] }`],
    ['the issuer', `${minimal}auth: { oidc: { issuer: "ftp://a?S3CRET", audience: a } }`],
    ['an address with user and password', inNorth('dicomweb: "https://user:S3CRET@host/x"')],
    ['an address with an @ in the password', inNorth('dicomweb: "https://user:p@S3CRET@host/x"')],
    ['an address with a query', inNorth('dicomweb: "https://host/x?token=S3CRET"')],
    ['an address without scheme', inNorth('dicomweb: "user:S3CRET@host/x"')],
    ['an address from outside in part', inNorth('dicomweb: "https://user:S3CRET@${HOST}/x"')],
    ['an address in another place', inNorth('embedded: "https://user:S3CRET@host/x"')],
    ['a list of addresses', inNorth('dicomweb: ["https://user:S3CRET@host/x"]')],
    ['an address as a key', inNorth('dicomweb: { "https://user:S3CRET@host/x" }')],
    ['an origin', `${minimal}cors: { origins: ["https://user:S3CRET@host"] }`],
    ['the database', `${minimal}database: { url: "user:S3CRET@host/x" }`],
    ['an alias', inNorth('dicomweb: http://a, auth: { bearer: { token: *S3CRET } }')],
    ['a block', `${minimal}auth: |S3CRET\n`],
    ['two scalars', `${minimal}auth: "a" S3CRET\n"b" S3CRET\n`],
    ['a password with a reference in it', inNorth('dicomweb: "a", auth: { bearer: { token: "x${S3CRET !}y" } }')],
  ])('does not show the secret of %s', async (_, text) => {
    const lines = await problems(text, { HOST: 'host' })
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.join('\n')).not.toContain('S3CRET')
  })

  it('still suggests the key that was meant inside of an auth', async () => {
    const lines = await problems(`${minimal}auth: { apikeys: [] }`)
    expect(lines).toContain('auth.apikeys: unknown key; did you mean apiKeys?')
  })

  it('names key and variable when the environment or a file lacks a value', async () => {
    const lines = await problems(
      minimal.replace('embedded: {}', 'dicomweb: "${NORTH_URL}", auth: { bearer: { token: "${file:none}" } }'),
    )
    expect(lines[0]).toBe('clusters[0].dicomweb: the environment variable NORTH_URL is not set')
    expect(lines[1]).toContain(`clusters[0].auth.bearer.token: the file ${join(folder, 'none')} cannot be read`)
  })

  it('refuses a reference that is neither a variable nor a file', async () => {
    expect((await problems('site: "${a b}"'))[0]).toContain('site: a "${" begins neither ${NAME} nor ${file:path}')
  })

  it('points to the line of a syntax error without quoting the file', async () => {
    const lines = await problems('site: north\nclusters:\n  - { id: "secret-text\n')
    expect(lines[0]).toMatch(/^line \d+, column \d+: /)
    expect(lines.join()).not.toContain('secret-text')
  })

  it.each([
    ['', 'the file is empty'],
    ['site: a\n---\nsite: b', 'more than one document'],
    ['site: a\nsite: b', 'Map keys must be unique'],
    ['- a', 'the file: a list of 1 is not allowed; expected an object with the keys site'],
  ])('refuses %j', async (text, expected) => {
    expect((await problems(text)).join()).toContain(expected)
  })

  it('keeps the id of the spool for the spool', async () => {
    const text = 'site: x\nstore: { spool: true }\nclusters:\n  - { id: spool, role: home, embedded: {} }'
    const [problem] = await problems(text)
    expect(problem).toContain('clusters[0].id: "spool" is not allowed; expected another id')
  })

  it('refuses a file that is not there', async () => {
    await expect(loadConfig(join(folder, 'nowhere.yaml'), {})).rejects.toThrow(/nowhere\.yaml cannot be used/)
  })

  it.each([
    ['no home', [['a', 'linked']], 'exactly one cluster with role home (there are 0)'],
    [
      'two homes',
      [
        ['a', 'home'],
        ['b', 'home'],
      ],
      'exactly one cluster with role home (there are 2)',
    ],
    [
      'one id twice',
      [
        ['a', 'home'],
        ['a', 'linked'],
      ],
      'clusters[1].id: "a" is not allowed; expected an id no other',
    ],
  ])('refuses %s', async (_, clusters, expected) => {
    const rows = clusters.map(([id, role]) => `  - { id: ${id}, role: ${role}, embedded: {} }`).join('\n')
    expect((await problems(`site: x\nclusters:\n${rows}`)).join()).toContain(expected)
  })

  it('refuses two ways of credentials for one cluster', async () => {
    const auth = 'auth: { bearer: { token: x }, basic: { username: a, password: b } }'
    const lines = await problems(minimal.replace('embedded: {}', `dicomweb: http://a, ${auth}`))
    expect(lines[0]).toContain('clusters[0].auth: the value (not shown) is not allowed; expected only one of')
  })
})

describe('the link address of another site', () => {
  const sites = (role: string, at: string, id = 'east') => `
site: north
clusters:
  - { id: ${role === 'home' ? id : 'here'}, role: home, ${role === 'home' ? at : 'embedded: {}'} }
${role === 'home' ? '' : `  - { id: ${id}, role: ${role}, ${at} }`}
`
  const link = 'link: "https://east.example.org/link/v1"'
  const dicomweb = 'dicomweb: "https://east.example.org/dicom-web"'

  it('is that of a linked cluster reached by DICOMweb', async () => {
    const { clusters } = await load(sites('linked', `${dicomweb}, ${link}`))
    expect(clusters[1]).toMatchObject({ id: 'east', link: 'https://east.example.org/link/v1' })
  })

  it.each([
    ['home', `${dicomweb}, ${link}`, 0],
    ['thirdParty', `${dicomweb}, ${link}`, 1],
    ['linked', `embedded: {}, ${link}`, 1],
  ])('is refused of a cluster with role %s and %s', async (role, at, index) => {
    const [problem, ...others] = await problems(sites(role, at))
    expect(problem).toMatch(`clusters[${index}].link`)
    expect(problem).toContain('only for a cluster with role linked and a dicomweb address')
    expect(problem).toContain('whose id is the site id of the proxy')
    expect(others).toEqual([])
  })

  it('is refused of a cluster that has the id of this very site', async () => {
    const [problem] = await problems(sites('linked', `${dicomweb}, ${link}`, 'north'))
    expect(problem).toContain('the id of the cluster has to be its site id, and "north" is this one')
  })
})

describe('keys that have no effect yet', () => {
  it('are named when they are set to anything but their default', async () => {
    const { clusters } = await load(`
site: north
clusters:
  - { id: north, role: home, embedded: {}, queries: { internal: true }, prefetch: true }
  - { id: south, role: linked, embedded: {}, queries: { external: false } }
  - { id: east, role: linked, embedded: {}, prefetch: false }
`)
    expect(keysWithoutEffect({ clusters })).toEqual(['clusters[2].prefetch has no effect yet'])
  })

  it('are none in a file that leaves them out', async () => {
    expect(keysWithoutEffect(await load(minimal))).toEqual([])
  })
})

describe('access without authentication', () => {
  const key = `auth: { apiKeys: [{ name: viewer, hash: "sha256:${'0'.repeat(64)}", scopes: [query] }] }`

  it('is refused on an address others can reach', async () => {
    const lines = await problems(`${minimal}listen: { host: 0.0.0.0 }`)
    expect(lines[0]).toContain('listen.host: "0.0.0.0" is not allowed; expected a loopback address')
    await expect(load(`${minimal}listen: { host: 0.0.0.0 }\n${key}`)).resolves.toBeDefined()
  })

  it('is refused to the pages of any origin', async () => {
    expect((await problems(`${minimal}cors: { origins: ["*"] }`))[0]).toContain('cors.origins: ')
    await expect(load(`${minimal}cors: { origins: ["*"] }\n${key}`)).resolves.toBeDefined()
  })

  it('cannot be had by an empty auth', async () => {
    expect((await problems(`${minimal}auth: {}`))[0]).toContain('expected apiKeys, oidc or both')
  })

  it.each([
    ['127.0.0.1', true],
    ['127.8.9.10', true],
    ['::1', true],
    ['[::1]', true],
    ['LOCALHOST', true],
    ['0.0.0.0', false],
    ['::', false],
    ['127.evil.example', false],
    ['10.0.0.1', false],
  ])('counts %s as loopback: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected)
  })

  it.each(['https://viewer.example.org/', 'viewer.example.org', 'null'])('refuses the origin %s', async (origin) => {
    expect((await problems(`${minimal}cors: { origins: ["${origin}"] }`))[0]).toContain('cors.origins[0]: ')
  })
})

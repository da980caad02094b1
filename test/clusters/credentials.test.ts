import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SearchRequest } from '../../src/clusters/cluster.ts'
import { readTlsMaterial } from '../../src/clusters/credentials.ts'
import { type Answer, type FakeArchive, json, silence, startFakeArchive, status } from '../support/fake-archive.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { clusterAt, clusterConfig, failureOf, forever } from './setup.ts'

const anyStudy: SearchRequest = { level: 'study', constraints: [], includeFields: [], limit: 10 }

/** Answers a search only with this in Authorization. */
const only =
  (authorization: string): Answer =>
  (request, response) =>
    (request.headers.authorization === authorization ? json([]) : status(401))(request, response)

describe('credentials', () => {
  let archive: FakeArchive
  beforeEach(async () => {
    archive = await startFakeArchive()
  })
  afterEach(() => archive.close())

  const asks = async (auth: object): Promise<void> => {
    const cluster = clusterAt(archive.dicomweb, { cluster: { auth } })
    await cluster.search(anyStudy, forever()).finally(() => cluster.close())
  }

  it('are a name and a password, also beyond ASCII', async () => {
    archive.on('/studies', only(`Basic ${Buffer.from('proxy:gehäim').toString('base64')}`))
    await asks({ basic: { username: 'proxy', password: 'gehäim' } })
  })

  it('are a token', async () => {
    archive.on('/studies', only('Bearer abc'))
    await asks({ bearer: { token: 'abc' } })
  })

  it('that are refused deny access, without being shown', async () => {
    archive.on('/studies', status(401))
    const failure = await failureOf(asks({ basic: { username: 'proxy', password: 'gehäim' } }))
    expect(failure.reason).toBe('access-denied')
    expect(JSON.stringify([failure.message, failure.cause])).not.toContain('gehäim')
  })
})

describe('an OAuth2 client', () => {
  let archive: FakeArchive
  let issuer: FakeArchive
  let issued: string[]
  let clock: FakeClock

  beforeEach(async () => {
    archive = await startFakeArchive()
    issuer = await startFakeArchive()
    clock = new FakeClock()
    issued = []
    issuer.on('/token', (request, response) => {
      issued.push(`token-${issued.length + 1}`)
      json({ access_token: issued.at(-1), token_type: 'Bearer', expires_in: 600 })(request, response)
    })
    archive.on('/studies', (request, response) => {
      const known = request.headers.authorization === `Bearer ${issued.at(-1)}`
      ;(known ? json([]) : status(401))(request, response)
    })
  })
  afterEach(async () => {
    await archive.close()
    await issuer.close()
  })

  const client = () =>
    clusterAt(archive.dicomweb, {
      clock,
      cluster: {
        auth: {
          oauth2: {
            tokenUrl: `${issuer.dicomweb}/token`,
            clientId: 'link:1',
            clientSecret: 's3cret',
            scope: 'dicom',
            audience: 'pacs',
          },
        },
      },
    })

  it('proves itself to the token endpoint and asks for what is configured', async () => {
    let form = ''
    issuer.on('/token', async (request, response) => {
      form = await text(request)
      issued.push('token-1')
      json({ access_token: 'token-1', expires_in: 600 })(request, response)
    })
    const cluster = client()
    await cluster.search(anyStudy, forever())
    expect(issuer.seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('link%3A1:s3cret').toString('base64')}`)
    expect(Object.fromEntries(new URLSearchParams(form))).toEqual({
      grant_type: 'client_credentials',
      scope: 'dicom',
      audience: 'pacs',
    })
    await cluster.close()
  })

  it('asks anew when the token endpoint never came to the end of its answer', async () => {
    const cluster = client()
    const dripping = Promise.withResolvers<void>()
    issuer.on('/token', (_, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).write('{')
      dripping.resolve()
    })
    const stuck = failureOf(cluster.search(anyStudy, forever()))
    await dripping.promise
    await clock.advance(cluster.timeoutMs)
    expect((await stuck).cluster).toBe(cluster.id)
    issuer.on('/token', (request, response) => {
      issued.push('token-1')
      json({ access_token: 'token-1', expires_in: 600 })(request, response)
    })
    await cluster.search(anyStudy, forever())
    expect(issued).toEqual(['token-1'])
    await cluster.close()
  })

  it('asks once for all who need a token at the same time', async () => {
    const cluster = client()
    await Promise.all(Array.from({ length: 8 }, () => cluster.search(anyStudy, forever())))
    expect(issued).toEqual(['token-1'])
    await cluster.close()
  })

  it('renews its token before it expires and not much earlier', async () => {
    const cluster = client()
    await cluster.search(anyStudy, forever())
    await clock.advance(530_000)
    await cluster.search(anyStudy, forever())
    expect(issued).toHaveLength(1)
    await clock.advance(20_000)
    await cluster.search(anyStudy, forever())
    expect(issued).toHaveLength(2)
    await cluster.close()
  })

  it('gets another token, once, when the archive refuses the one it has', async () => {
    const cluster = client()
    await cluster.search(anyStudy, forever())
    issued.push('revoked-all-before')
    issuer.on('/token', json({ access_token: 'revoked-all-before' }))
    await cluster.search(anyStudy, forever())
    archive.on('/studies', status(401))
    const before = archive.seen.length
    expect((await failureOf(cluster.search(anyStudy, forever()))).reason).toBe('access-denied')
    expect(archive.seen.length - before).toBe(2)
    await cluster.close()
  })

  it('sends its secret in the form to a token endpoint that wants it there', async () => {
    issuer.on('/token', async (request, response) => {
      if (request.headers.authorization) return status(401, '{"error":"invalid_client"}')(request, response)
      const form = new URLSearchParams(await text(request))
      issued.push(`${form.get('client_id')}/${form.get('client_secret')}`)
      json({ access_token: issued.at(-1) })(request, response)
    })
    const cluster = client()
    await cluster.search(anyStudy, forever())
    await cluster.close()
  })

  it.each([
    ['refuses', status(400, '{"error":"invalid_scope","error_description":"s3cret"}'), /400 \(invalid_scope\)/],
    ['is broken', status(500, 's3cret'), /500/],
    ['gives no token', json({ token: 's3cret' }), /without an access_token/],
    ['gives a token that would break the header', json({ access_token: 'a\r\nX-Evil: s3cret' }), /without an access/],
    ['closes the connection', (request) => void request.destroy(), /cannot be reached/],
  ] as [string, Answer, RegExp][])('says so when the token endpoint %s', async (_what, answer, message) => {
    issuer.on('/token', answer)
    const cluster = client()
    const failure = await failureOf(cluster.search(anyStudy, forever()))
    expect(failure.reason).toBe('access-denied')
    expect(failure.message).toMatch(message)
    expect(failure.message).not.toMatch(/s3cret|127\.0\.0\.1/)
    await cluster.close()
  })

  it('whose caller leaves does not take the token from the others', async () => {
    let answer: () => void = () => undefined
    issuer.on('/token', (request, response) => {
      answer = () => {
        issued.push('token-1')
        json({ access_token: 'token-1' })(request, response)
      }
    })
    const cluster = client()
    const leaving = new AbortController()
    const first = cluster.search(anyStudy, leaving.signal)
    const second = cluster.search(anyStudy, forever())
    await issuer.next()
    leaving.abort(new Error('gone'))
    await expect(first).rejects.toThrow('gone')
    answer()
    expect((await second).rows).toEqual([])
    await cluster.close()
  })

  it('is timed out when the token endpoint is silent', async () => {
    issuer.on('/token', silence)
    const cluster = client()
    const search = failureOf(cluster.search(anyStudy, forever()))
    await issuer.next()
    await clock.advance(cluster.timeoutMs)
    expect((await search).reason).toBe('timed-out')
    await cluster.close()
  })
})

describe('certificates', () => {
  let directory: string
  const at = (name: string) => join(directory, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'certificates-'))
    for (const name of ['server', 'client']) {
      const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost', '-days', '2']
      openssl('req', '-x509', ...key, '-noenc', '-keyout', `${name}.key`, '-out', `${name}.pem`, ...subject)
    }
    openssl('pkey', '-in', 'client.key', '-aes256', '-passout', 'pass:open sesame', '-out', 'locked.key')
    writeFileSync(at('note.txt'), 'not a certificate')
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const archiveOverTls = () =>
    startFakeArchive({
      key: readFileSync(at('server.key')),
      cert: readFileSync(at('server.pem')),
      ca: readFileSync(at('client.pem')),
      requestCert: true,
      rejectUnauthorized: false,
    })

  it.each([
    ['client.key', {}],
    ['locked.key', { passphrase: 'open sesame' }],
  ])('prove the proxy to an archive, with the key in %s', async (file, passphrase) => {
    await using archive = await archiveOverTls()
    archive.on('/studies', (request, response) => {
      const { authorized } = request.socket as unknown as { authorized: boolean }
      ;(authorized ? json([]) : status(403))(request, response)
    })
    const clientCertificate = { cert: at('client.pem'), key: at(file), ...passphrase }
    const known = clusterAt(archive.dicomweb, { cluster: { ca: at('server.pem'), auth: { clientCertificate } } })
    expect((await known.search(anyStudy, forever())).rows).toEqual([])
    const unknown = clusterAt(archive.dicomweb, { cluster: { ca: at('server.pem') } })
    expect((await failureOf(unknown.search(anyStudy, forever()))).reason).toBe('access-denied')
    await Promise.all([known.close(), unknown.close()])
  })

  it('of an authority nobody named are not trusted', async () => {
    await using archive = await archiveOverTls()
    const cluster = clusterAt(archive.dicomweb)
    const failure = await failureOf(cluster.search(anyStudy, forever()))
    expect(failure.reason).toBe('unreachable')
    expect(archive.seen).toEqual([])
    await cluster.close()
  })

  it.each([
    ['a file that is missing', { ca: 'missing.pem' }, /clusters\.north\.ca: cannot read .*ENOENT/],
    ['a file that is no PEM', { ca: 'note.txt' }, /clusters\.north\.ca: .* is no PEM file/],
    ['a key of another certificate', { cert: 'client.pem', key: 'server.key' }, /does not belong to its cert/],
    ['a key without its passphrase', { cert: 'client.pem', key: 'locked.key' }, /passphrase is missing or wrong/],
    [
      'a wrong passphrase',
      { cert: 'client.pem', key: 'locked.key', passphrase: 'x' },
      /passphrase is missing or wrong/,
    ],
  ] as [string, Record<string, string>, RegExp][])(
    'name the configuration to correct for %s',
    (_what, files, message) => {
      const { ca, cert, key: file, passphrase } = files
      const clientCertificate = cert && file && { cert: at(cert), key: at(file), ...(passphrase && { passphrase }) }
      const { cluster } = clusterConfig('https://localhost/dicom-web', {
        ...(ca && { ca: at(ca) }),
        ...(clientCertificate && { auth: { clientCertificate } }),
      })
      expect(() => readTlsMaterial(cluster)).toThrow(message)
    },
  )
})

import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Clock } from '../../src/core/clock.ts'
import { fakePeers } from './fake-peers.ts'
import { type Site, startSite } from './harness.ts'

const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })

let site: Site
afterEach(() => site.close())

describe('API keys', () => {
  const auth = {
    apiKeys: [
      { name: 'viewer', hash: sha256('viewer-key'), scopes: ['query', 'retrieve'] },
      { name: 'ops', hash: sha256('ops-key'), scopes: ['admin'] },
    ],
  }
  beforeEach(async () => {
    site = await startSite({ auth })
  })

  it.each([
    ['as a bearer token', bearer('viewer-key')],
    ['in X-API-Key', { 'X-API-Key': 'viewer-key' }],
    ['as the password of any user', { Authorization: `Basic ${Buffer.from('any:viewer-key').toString('base64')}` }],
  ])('open the door %s', async (_, headers) => {
    const line = site.logged('request')
    expect((await site.fetch('/dicom-web/studies', { headers })).status).toBe(200)
    expect(await line).toMatchObject({ principal: 'key:viewer' })
    expect(JSON.stringify(site.log)).not.toContain('viewer-key')
  })

  it('that are missing are a 401 with a challenge', async () => {
    const response = await site.fetch('/dicom-web/studies')
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="dicomweb-link"')
    expect(await response.json()).toMatchObject({ code: 'unauthenticated' })
  })

  it.each([
    ['unknown', bearer('viewer-kez')],
    ['empty', { 'X-API-Key': '' }],
    ['the hash itself', bearer(sha256('viewer-key'))],
    ['very long', bearer('x'.repeat(20_000))],
    ['looking like a token', bearer('a.b.c')],
    ['of another scheme', { Authorization: 'Digest abc' }],
    ['without scheme', { Authorization: 'viewer-key' }],
  ])('that are %s are a 401', async (_, headers: Record<string, string>) => {
    const response = await site.fetch('/dicom-web/studies', { headers })
    expect(response.status).toBe(401)
    expect(site.services.asked).toEqual([])
  })

  it.each([
    ['/dicom-web/studies', 'ops-key', 'query', 'GET'],
    ['/dicom-web/studies/1.2/metadata', 'ops-key', 'retrieve', 'GET'],
    ['/wado', 'ops-key', 'retrieve', 'GET'],
    ['/dicom-web/studies', 'viewer-key', 'store', 'POST'],
    ['/metrics', 'viewer-key', 'admin', 'GET'],
  ])('for %s %s need the scope %s', async (path, key, scope, method) => {
    const response = await site.fetch(path, { method, headers: bearer(key) })
    expect(response.status).toBe(403)
    expect(response.headers.get('www-authenticate')).toContain(`error="insufficient_scope", scope="${scope}"`)
    expect(((await response.json()) as { detail: string }).detail).toContain(`"${scope}"`)
  })

  it.each(['/healthz', '/readyz', '/openapi.yaml', '/docs'])('are not needed for %s', async (path) => {
    expect((await site.fetch(path)).status).toBe(200)
  })

  it('are needed to see which clusters there are', async () => {
    expect(await (await site.fetch('/readyz')).json()).toEqual({ status: 'ready' })
    expect(await (await site.fetch('/readyz', { headers: bearer('viewer-key') })).json()).toHaveProperty('clusters')
  })
})

describe('tokens of an identity provider', () => {
  const now = Date.UTC(2025, 0, 1)
  const clock: Clock = { now: () => now, sleep: () => new Promise(() => undefined) }
  const seconds = now / 1000
  let keys: Awaited<ReturnType<typeof generateKeyPair>>
  let issuer = ''
  let fetched: string[] = []
  let broken = false
  const provider = createServer(async (incoming, outgoing) => {
    fetched.push(incoming.url ?? '')
    if (broken) {
      outgoing.writeHead(500).end()
      return
    }
    const key = { ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'ES256' }
    const documents: Record<string, object> = {
      '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/keys` },
      '/keys': { keys: [key] },
    }
    outgoing.end(JSON.stringify(documents[incoming.url ?? '']))
  })

  beforeAll(async () => {
    keys = await generateKeyPair('ES256')
    await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve))
    issuer = `http://127.0.0.1:${(provider.address() as { port: number }).port}`
  })
  afterAll(() => {
    provider.closeAllConnections()
    provider.close()
  })
  beforeEach(async () => {
    fetched = []
    broken = false
    const oidc = { issuer, audience: 'dicomweb-link', clockSkewSeconds: 60 }
    site = await startSite({ auth: { oidc } }, { clock })
  })

  const claims = () => ({ iss: issuer, aud: 'dicomweb-link', sub: 'Dr. Jane Doe', exp: seconds + 300, scope: 'query' })
  const sign = (payload: JWTPayload, options: { kid?: string; key?: typeof keys.privateKey } = {}) =>
    new SignJWT(payload)
      .setProtectedHeader({ alg: 'ES256', kid: options.kid ?? 'k1' })
      .sign(options.key ?? keys.privateKey)
  const ask = async (token: string, path = '/dicom-web/studies') => site.fetch(path, { headers: bearer(token) })

  it('open the door; the keys are fetched once', async () => {
    const line = site.logged('request')
    expect((await ask(await sign(claims()))).status).toBe(200)
    expect((await ask(await sign(claims()))).status).toBe(200)
    expect(fetched).toEqual(['/.well-known/openid-configuration', '/keys'])
    expect((await line).principal).toMatch(/^oidc:[0-9a-f]{12}$/)
    expect(JSON.stringify(site.log)).not.toContain('Jane')
  })

  it.each([
    ['scope', { scope: 'openid query' }],
    ['a prefixed scope', { scope: 'dicomweb-link:query' }],
    ['scp', { scope: undefined, scp: ['query'] }],
    ['roles', { scope: undefined, roles: ['dicomweb-link:query'] }],
    ['roles of the realm', { scope: undefined, realm_access: { roles: ['dicomweb-link:query'] } }],
  ])('carry scopes in %s', async (_, more) => {
    expect((await ask(await sign({ ...claims(), ...more } as JWTPayload))).status).toBe(200)
  })

  it.each([
    ['roles', { roles: ['admin', 'query'] }],
    ['roles, as one text', { roles: 'admin query' }],
    ['roles of the realm', { realm_access: { roles: ['admin', 'query'] } }],
  ])('grant nothing by plain words in %s: those may be of another system', async (_, more) => {
    const token = await sign({ ...claims(), scope: 'openid', ...more })
    for (const path of ['/metrics', '/dicom-web/studies']) expect((await ask(token, path)).status).toBe(403)
  })

  it.each([
    ['internal', {}],
    ['internal', { scope: 'query external', roles: ['external'] }],
    ['external', { scope: 'query dicomweb-link:external' }],
    ['external', { scp: ['dicomweb-link:external'] }],
    ['external', { roles: ['dicomweb-link:external'] }],
    ['external', { realm_access: { roles: ['viewer', 'dicomweb-link:external'] } }],
  ])('are those of an %s caller with the claims %j', async (audience, more) => {
    expect((await ask(await sign({ ...claims(), ...more } as JWTPayload))).status).toBe(200)
    expect(site.services.asked.at(-1)?.request).toMatchObject({ caller: { audience } })
  })

  it.each([
    ['client_id', { client_id: 'south' }, 'south'],
    ['azp', { azp: 'south' }, 'south'],
    ['client_id before azp', { client_id: 'south', azp: 'east' }, 'south'],
    ['no client', {}, undefined],
    ['a client that could be no site', { azp: 'Jane Doe' }, undefined],
    ['a person', { sub: 'south' }, undefined],
  ])('speak for the site that %s names', async (_, more, named) => {
    const peers = fakePeers()
    await using linked = await startSite({ auth: { oidc: { issuer, audience: 'dicomweb-link' } } }, { clock, peers })
    const token = await sign({ ...claims(), scope: 'link', ...more })
    await linked.fetch('/link/v1/digests', { headers: bearer(token) })
    expect(peers.asked).toMatchObject([['digests', {}, named ?? expect.stringMatching(/^oidc:/)]])
  })

  it('without the scope are a 403', async () => {
    expect((await ask(await sign({ ...claims(), scope: 'other:query queries' }))).status).toBe(403)
  })

  it.each([
    ['expired beyond the skew', { exp: seconds - 61 }, 'expired'],
    ['not valid yet beyond the skew', { nbf: seconds + 61 }, '"nbf"'],
    ['for another audience', { aud: 'other' }, '"aud"'],
    ['of another issuer', { iss: 'https://evil.example' }, '"iss"'],
    ['without end', { exp: undefined }, '"exp"'],
  ])('%s are a 401', async (_, more, detail) => {
    const response = await ask(await sign({ ...claims(), ...more } as JWTPayload))
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect(((await response.json()) as { detail: string }).detail).toContain(detail)
  })

  it.each([
    ['expired', { exp: seconds - 59 }],
    ['not valid yet', { nbf: seconds + 59 }],
  ])('%s within the skew are accepted', async (_, more) => {
    expect((await ask(await sign({ ...claims(), ...more }))).status).toBe(200)
  })

  it('without signature are a 401', async () => {
    expect((await ask(new UnsecuredJWT(claims()).encode())).status).toBe(401)
  })

  it('signed with a shared secret are a 401, even with the public key as the secret', async () => {
    const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(keys.publicKey)))
    const token = await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: 'k1' }).sign(secret)
    expect((await ask(token)).status).toBe(401)
  })

  it('signed with the key of another are a 401', async () => {
    const other = await generateKeyPair('ES256')
    expect((await ask(await sign(claims(), { key: other.privateKey }))).status).toBe(401)
  })

  it('that name unknown keys do not make us fetch keys again and again', async () => {
    for (const kid of ['a', 'b', 'c', 'd']) expect((await ask(await sign(claims(), { kid }))).status).toBe(401)
    expect(fetched.filter((path) => path === '/keys').length).toBe(1)
  })

  it('cannot be checked while the provider is down: a 503, asked again only after a while', async () => {
    broken = true
    const token = await sign(claims())
    for (let count = 0; count < 3; count++) expect((await ask(token)).status).toBe(503)
    expect(fetched).toEqual(['/.well-known/openid-configuration'])
  })
})

import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { RawClient, type Site, startSite, study, toldOf } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

const path = `/link/v1/studies/${study}`
const caller = { name: 'anonymous', audience: 'internal' }
const at = new Date('2026-01-31T10:15:00Z')
const correction = { keyword: 'PatientName', value: 'Doe^Jane', source: 'RIS' } as const
const mergePatch = 'application/merge-patch+json'

const patch = (body: string, headers: Record<string, string> = {}) =>
  site.fetch(path, { method: 'PATCH', headers: { 'Content-Type': mergePatch, ...headers }, body })
const problemOf = async (response: Response) => (await response.json()) as { code: string; detail: string }

describe('link attributes', () => {
  it('of which nothing was told are null, of version 0', async () => {
    const response = await site.fetch(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('etag')).toBe('"0"')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual({
      studyInstanceUID: study,
      version: 0,
      reportStatus: null,
      studyStatus: null,
      verified: null,
      verifiedAt: null,
      comments: [],
      corrections: [],
    })
    expect(site.services.asked).toMatchObject([{ service: 'attributes', request: { study, caller } }])
  })

  it('are answered as they were told', async () => {
    const comments = [{ text: 'später', author: 'key:a', at }]
    const corrections = [{ ...correction, author: 'key:a', site: 'north', at }]
    const statuses = { reportStatus: 'APPROVED', studyStatus: 'ARRIVED', verified: 'VERIFIED', verifiedAt: at } as const
    const told = { ...statuses, comments, corrections, version: 7 }
    site.services.onGetAttributes = async () => toldOf(told)
    const response = await site.fetch(path)
    expect(response.headers.get('etag')).toBe('"7"')
    expect(await response.json()).toEqual({
      studyInstanceUID: study,
      ...told,
      verifiedAt: at.toISOString(),
      comments: [{ ...comments[0], at: at.toISOString() }],
      corrections: [{ ...corrections[0], at: at.toISOString() }],
    })
  })

  it.each([
    ['"7"', 304],
    ['W/"7"', 304],
    ['"1", "7"', 304],
    ['*', 304],
    ['"6"', 200],
    ['7', 200],
    ['"77"', 200],
  ])('that the client has as %s are answered with %d', async (ifNoneMatch, status) => {
    site.services.onGetAttributes = async () => toldOf({ version: 7 })
    const response = await site.fetch(path, { headers: { 'If-None-Match': ifNoneMatch } })
    expect(response.status).toBe(status)
    expect(response.headers.get('etag')).toBe('"7"')
    expect((await response.text()) === '').toBe(status === 304)
  })

  it('are asked for the heads of them alone too', async () => {
    const response = await site.fetch(path, { method: 'HEAD' })
    expect([response.status, response.headers.get('etag'), await response.text()]).toEqual([200, '"0"', ''])
  })

  it('come with their history when it is asked for', async () => {
    const change = { version: 1, at, who: 'key:a', field: 'verified', from: null, to: 'FAILED', forced: false } as const
    site.services.onHistory = async () => [change]
    const body = (await (await site.fetch(`${path}?history=true`)).json()) as { history: unknown }
    expect(body.history).toEqual([{ ...change, at: at.toISOString() }])
    expect(await (await site.fetch(`${path}?history=false`)).json()).not.toHaveProperty('history')
  })

  it.each(['history=yes', 'history=', 'history=true&history=true'])('are not answered to ?%s', async (query) => {
    const response = await site.fetch(`${path}?${query}`)
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ detail: expect.stringMatching(/^history: /) })
  })

  it.each([
    ['not-found', 404],
    ['unavailable', 503],
  ] as const)('of a study that is %s are a %d', async (code, status) => {
    site.services.onGetAttributes = async () => {
      throw new LinkError(code, 'text')
    }
    expect((await site.fetch(path)).status).toBe(status)
  })

  it('are for studies only', async () => {
    expect((await site.fetch('/link/v1/studies/a.b')).status).toBe(400)
    const response = await site.fetch(path, { method: 'DELETE' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, PATCH'])
  })
})

describe('a change', () => {
  it('is answered with what the attributes are now', async () => {
    site.services.onPatch = async () => ({
      record: toldOf({ reportStatus: 'APPROVED', version: 8 }),
      changed: ['reportStatus'],
      forced: false,
    })
    const response = await patch('{"reportStatus": "APPROVED"}')
    expect([response.status, response.headers.get('etag')]).toEqual([200, '"8"'])
    expect(await response.json()).toMatchObject({ studyInstanceUID: study, version: 8, reportStatus: 'APPROVED' })
    expect(site.services.asked).toMatchObject([
      { service: 'patch', request: { study, change: { reportStatus: 'APPROVED' }, caller, ifMatch: undefined } },
    ])
  })

  it.each([mergePatch, 'application/json', 'Application/JSON; charset=utf-8'])('is taken as %s', async (type) => {
    expect((await patch('{}', { 'Content-Type': type })).status).toBe(200)
  })

  it.each(['text/plain', 'application/json-patch+json', 'application/x-www-form-urlencoded', 'json'])(
    'is not taken as %s',
    async (type) => {
      expect((await patch('{}', { 'Content-Type': type })).status).toBe(415)
      expect(site.services.asked).toEqual([])
    },
  )

  it.each([
    ['"7"', [7]],
    ['"7", "9"', [7, 9]],
    ['*', undefined],
    // Of other origin, or weak: well written, and never of this version.
    ['"abc"', []],
    ['W/"7"', []],
  ])('is made for If-Match: %s', async (ifMatch, versions) => {
    expect((await patch('{}', { 'If-Match': ifMatch })).status).toBe(200)
    expect(site.services.asked[0]?.request).toHaveProperty('ifMatch', versions)
  })

  it.each(['7', '"7', '"7" "8"', '', '*, "7"', 'w/"7"'])('is not made for If-Match: %j', async (ifMatch) => {
    const response = await patch('{}', { 'If-Match': ifMatch })
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ detail: expect.stringMatching(/^If-Match: /) })
    expect(site.services.asked).toEqual([])
  })

  it.each([
    ['bad-request', 400],
    ['not-found', 404],
    ['conflict', 409],
    ['precondition-failed', 412],
    ['unavailable', 503],
  ] as const)('that fails as %s is a %d', async (code, status) => {
    site.services.onPatch = async () => {
      throw new LinkError(code, 'reportStatus: text')
    }
    const response = await patch('{}')
    expect(response.status).toBe(status)
    expect(await problemOf(response)).toMatchObject({ code, detail: 'reportStatus: text' })
    expect(site.log.filter(({ event }) => event === 'link-attributes-changed')).toEqual([])
  })

  it.each([
    ['', 'nothing'],
    ['{"comments": [{"text": "Doe', 'half of it'],
    ['{"comments": [{"text": "\u0007Doe"}]}', 'a control character'],
  ])('that is %j, %s, is no JSON, and is not repeated', async (body) => {
    const response = await patch(body)
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ detail: 'body: expected JSON in UTF-8' })
    expect(JSON.stringify(site.log)).not.toContain('Doe')
  })

  it('that is not UTF-8 is refused', async () => {
    const body = Buffer.from('{"comments": [{"text": "sp\xe4ter"}]}', 'latin1')
    const response = await site.fetch(path, { method: 'PATCH', headers: { 'Content-Type': mergePatch }, body })
    expect(response.status).toBe(400)
  })

  it('larger than 64 KiB is refused, announced or not', async () => {
    const text = (size: number) => JSON.stringify({ a: 'x'.repeat(size - 8) })
    expect((await patch(text(64 * 1024))).status).toBe(200)
    expect((await patch(text(64 * 1024 + 1))).status).toBe(413)
    using client = await RawClient.open(site.address)
    client.send(`PATCH ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${mergePatch}\r\n`)
    client.send(`Transfer-Encoding: chunked\r\n\r\n10001\r\n${text(0x10001)}\r\n0\r\n\r\n`)
    expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 413 /)
  })

  it('is logged with who and what, without a text', async () => {
    site.services.onPatch = async () => ({
      record: toldOf({
        version: 8,
        comments: [{ text: 'secret', author: 'x', at }],
        corrections: [{ ...correction, author: 'x', site: 'north', at }],
      }),
      changed: ['reportStatus', 'comments', 'corrections'],
      forced: true,
    })
    const line = site.logged('link-attributes-changed')
    await patch(JSON.stringify({ comments: [{ text: 'secret' }], corrections: [correction] }))
    const fields = ['reportStatus', 'comments', 'corrections']
    expect(await line).toMatchObject({ study, principal: 'anonymous', version: 8, fields, forced: true })
    expect(JSON.stringify(site.log)).not.toMatch(/secret|Doe|PatientName/)
  })

  it('that changes nothing is not logged', async () => {
    site.services.onPatch = async () => ({ record: toldOf({ version: 8 }), changed: [], forced: false })
    const done = site.logged('request')
    expect((await patch('{}')).status).toBe(200)
    await done
    expect(site.log.filter(({ event }) => event === 'link-attributes-changed')).toEqual([])
  })
})

describe('who may read and change', () => {
  const hash = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`
  const auth = {
    apiKeys: [
      { name: 'viewer', hash: hash('viewer'), scopes: ['query'] },
      { name: 'ris', hash: hash('ris'), scopes: ['store'], role: 'external' },
      { name: 'chief', hash: hash('chief'), scopes: ['query', 'admin'] },
    ],
  }
  const ask = (method: string, key: string, query = '') => {
    const headers = { 'X-API-Key': key, 'Content-Type': mergePatch }
    return site.fetch(path + query, { method, headers, ...(method === 'PATCH' && { body: '{}' }) })
  }
  beforeEach(async () => {
    await site.close()
    site = await startSite({ auth })
  })

  it.each([
    ['GET', 'viewer', '', 200],
    ['GET', 'ris', '', 403],
    ['PATCH', 'ris', '', 200],
    ['PATCH', 'viewer', '', 403],
    ['GET', 'viewer', '?history=true', 403],
    ['GET', 'chief', '?history=true', 200],
  ])('%s by %s%s is a %d', async (method, key, query, status) => {
    expect((await ask(method, key, query)).status).toBe(status)
  })

  it('is asked for as who it is', async () => {
    await ask('PATCH', 'ris')
    expect(site.services.asked).toMatchObject([
      { service: 'patch', request: { caller: { name: 'key:ris', audience: 'external' } } },
    ])
  })

  it('is a matter of other pages when they are allowed', async () => {
    await site.close()
    site = await startSite({ cors: { origins: ['https://viewer.example'] } })
    const response = await site.fetch(path, {
      method: 'OPTIONS',
      headers: { Origin: 'https://viewer.example', 'Access-Control-Request-Method': 'PATCH' },
    })
    expect(response.headers.get('access-control-allow-methods')).toContain('PATCH')
    expect(response.headers.get('access-control-allow-headers')).toContain('If-Match')
    const read = await site.fetch(path, { headers: { Origin: 'https://viewer.example' } })
    expect(read.headers.get('access-control-expose-headers')).toContain('ETag')
  })
})

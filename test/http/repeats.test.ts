import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { InHand } from '../../src/retrieve/in-hand.ts'
import { instancePath, RawClient, type Site, startSite } from './harness.ts'
import { datasetsInHand, partsInHand } from './in-hand.ts'

const frame = `${instancePath}/frames/1`
const accept = { Accept: 'image/jpeg' }

/** An answer that is kept, until it is dropped. */
function kept<Answer extends { readonly inHand?: InHand }>(answer: Answer) {
  let isKept = true
  const again = () => (isKept ? inHand : undefined)
  const inHand = { ...answer.inHand, again } as InHand
  return {
    answer: { ...answer, inHand },
    drop: () => {
      isKept = false
    },
  }
}

let site: Site
let pixels: ReturnType<typeof kept<ReturnType<typeof partsInHand>>>
beforeEach(async () => {
  site = await startSite()
  pixels = kept(partsInHand(['image/jpeg', 'pix', 'els']))
  site.services.onRetrieve = async () => pixels.answer
})
afterEach(() => site.close())

/** How often the service was asked for what was answered. */
const asked = () => site.services.asked.length

async function get(headers: Record<string, string> = {}, path = frame) {
  const response = await site.fetch(path, { headers: { ...accept, ...headers } })
  const { date: _, 'x-request-id': __, ...sent } = Object.fromEntries(response.headers)
  return { status: response.status, sent, text: await response.text() }
}

describe('a request that comes again', () => {
  it.each([
    ['a frame alone', frame, {}],
    ['a frame in a part', frame, { Accept: 'multipart/related; type="image/jpeg"' }],
    ['a picture', `${instancePath}/rendered`, {}],
    ['metadata', `${instancePath}/metadata`, { Accept: 'application/json', 'Accept-Encoding': 'identity' }],
  ])('is answered as before, without being looked into: %s', async (_, path, headers) => {
    const metadata = kept(datasetsInHand({ '00080018': { vr: 'UI', Value: ['1.2'] } })).answer
    site.services.onMetadata = async () => metadata
    const first = await get(headers, path)
    expect(first.status).toBe(200)
    expect(await get(headers, path)).toEqual(first)
    expect(await get(headers, path)).toEqual(first)
    expect(asked()).toBe(1)
  })

  it('has an id of its own, and a line in the log like any other', async () => {
    await get()
    const line = site.logged('request')
    const { headers } = await site.fetch(frame, { headers: { ...accept, 'X-Request-Id': 'mine' } })
    expect(headers.get('x-request-id')).toBe('mine')
    expect(await line).toMatchObject({
      requestId: 'mine',
      method: 'GET',
      status: 200,
      route: expect.stringContaining('/frames/:frames'),
      principal: 'anonymous',
    })
    expect(asked()).toBe(1)
  })

  it.each([
    ['another Accept', { Accept: 'image/*' }],
    ['other codings', { 'Accept-Encoding': 'br' }],
    ['another origin', { Origin: 'https://other.example' }],
    ['a precondition', { 'If-None-Match': '"other"' }],
    ['a range', { Range: 'bytes=0-1' }],
    ['another scope', { 'DICOMweb-Link-Scope': 'home' }],
    ['other hops', { 'DICOMweb-Link-Hops': 'west' }],
    ['a header that nobody knows', { 'X-New': '1' }],
  ])('with %s is looked into', async (_, headers) => {
    await get()
    await get(headers)
    expect(asked()).toBe(2)
  })

  it('is looked into when it is longer than what is remembered', async () => {
    const headers = { 'X-New': 'x'.repeat(5000) }
    await get(headers)
    await get(headers)
    expect(asked()).toBe(2)
  })

  it.each([
    ['another address', `${frame}?accept=image/jpeg`],
    ['another frame', `${instancePath}/frames/2`],
  ])('for %s is looked into', async (_, path) => {
    await get()
    await get({}, path)
    expect(asked()).toBe(2)
  })

  it('is looked into by the name of another host, which may be refused', async () => {
    await get()
    using client = await RawClient.open(site.address)
    client.send(`GET ${frame} HTTP/1.1\r\nHost: evil.example\r\nAccept: image/jpeg\r\nConnection: close\r\n\r\n`)
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 403 /)
  })

  it.each(['User-Agent', 'Cookie', 'Referer', 'Cache-Control', 'Sec-Fetch-Mode'])(
    'may differ in %s, on which nothing depends',
    async (name) => {
      for (const value of ['1', '2']) {
        const line = site.logged('request')
        using client = await RawClient.open(site.address)
        client.get(frame, `Accept: image/jpeg\r\n${name}: ${value}\r\n`)
        await client.until('pixels')
        await line
      }
      expect(asked()).toBe(1)
    },
  )

  it('is looked into when what it was made of is not kept any more', async () => {
    await get()
    pixels.drop()
    pixels = kept(partsInHand(['image/jpeg', 'new']))
    expect((await get()).text).toBe('new')
    expect(asked()).toBe(2)
  })

  it('is looked into when the answer is not one that is kept', async () => {
    site.services.onRetrieve = async () => partsInHand(['image/jpeg', 'pixels'])
    await get()
    await get()
    expect(asked()).toBe(2)
  })

  it('as HEAD is looked into', async () => {
    await get()
    expect((await site.fetch(frame, { method: 'HEAD', headers: accept })).headers.get('content-length')).toBe('6')
    expect(asked()).toBe(2)
  })

  it('that was asked for in another form meanwhile is looked into once more', async () => {
    const inParts = { Accept: 'multipart/related; type="image/jpeg"' }
    const [alone, parts] = [await get(), await get(inParts)]
    expect(await get()).toEqual(alone)
    expect(await get(inParts)).toEqual(parts)
    expect(asked()).toBe(4)
    expect(await get(inParts)).toEqual(parts)
    expect(asked()).toBe(4)
  })

  it('is cut when its client leaves, and the log says so', async () => {
    const large = 'x'.repeat(32 * 1024 * 1024)
    pixels = kept(partsInHand(['image/jpeg', large]))
    expect((await get()).text.length).toBe(large.length)
    using client = await RawClient.open(site.address)
    const line = site.logged('request')
    client.socket.pause()
    client.get(frame, 'Accept: image/jpeg\r\n')
    await new Promise((resolve) => client.socket.once('readable', resolve))
    client.socket.destroy()
    expect(await line).toMatchObject({ incomplete: true })
  })

  it('ends its connection while the service drains', async () => {
    using client = await RawClient.open(site.address)
    const line = site.logged('request')
    client.get(frame, 'Accept: image/jpeg\r\n')
    await client.until('pixels')
    await line
    expect(client.text).toMatch(/\r\nConnection: keep-alive\r\n/i)
    site.lifecycle.draining = true
    client.get(frame, 'Accept: image/jpeg\r\n')
    await client.closed
    expect(client.text).toMatch(/\r\nConnection: close\r\n/i)
    expect(asked()).toBe(1)
  })
})

describe('a request that comes again, where credentials are needed', () => {
  const hashes = {
    admin: 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918',
    test: 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  }
  const scopes = ['retrieve']
  const apiKeys = [
    { name: 'one', hash: hashes.admin, scopes },
    { name: 'other', hash: hashes.test, scopes, role: 'external' },
  ]
  beforeEach(async () => {
    await site.close()
    site = await startSite({ auth: { apiKeys } })
    site.services.onRetrieve = async () => pixels.answer
  })

  it('is answered as before to whom it was answered, however the key comes', async () => {
    const first = await get({ 'X-API-Key': 'admin' })
    expect(first.status).toBe(200)
    expect(await get({ 'X-API-Key': 'admin' })).toEqual(first)
    expect(await get({ Authorization: 'Bearer admin' })).toEqual(first)
    expect(asked()).toBe(1)
  })

  it('is looked into for another', async () => {
    await get({ 'X-API-Key': 'admin' })
    await get({ 'X-API-Key': 'test' })
    expect(site.services.asked.map(({ audience }) => audience)).toEqual(['internal', 'external'])
  })

  it.each([
    ['no credentials', {}],
    ['bad ones', { 'X-API-Key': 'wrong' }],
    ['two', { Authorization: 'Bearer wrong', 'X-API-Key': 'admin' }],
  ])('is refused with %s', async (_, headers) => {
    await get({ 'X-API-Key': 'admin' })
    expect((await get(headers as Record<string, string>)).status).toBe(401)
    expect(asked()).toBe(1)
  })

  it('is refused with two keys in two lines, as the first time', async () => {
    await get({ Authorization: 'Bearer admin' })
    using client = await RawClient.open(site.address)
    const keys = 'Authorization: Bearer admin\r\nAuthorization: Bearer wrong\r\n'
    client.get(frame, `Accept: image/jpeg\r\n${keys}Connection: close\r\n`)
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 401 /)
  })
})

import { request } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import type { StoreRequest } from '../../src/store/service.ts'
import { RawClient, type Site, signalled, startSite, study } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite({ limits: { maxBodyBytes: 4096, maxPartBytes: 2048, clientIdleTimeoutMs: 200 } })
})
afterEach(() => site.close())

const multipart = 'multipart/related; type="application/dicom"; boundary="b"'
const body =
  '\r\n--b\r\nContent-Type: application/dicom\r\n\r\nDICM1\r\n--b\r\nContent-Type: application/dicom\r\n\r\nDICM2\r\n--b--\r\n'
const post = (path: string, contentType: string, text: string, headers = {}) =>
  site.fetch(`/dicom-web${path}`, { method: 'POST', body: text, headers: { 'Content-Type': contentType, ...headers } })

/** Stores like a home cluster that takes everything. */
async function take({ parts }: StoreRequest) {
  const texts: string[] = []
  for await (const part of parts) {
    const chunks: Uint8Array[] = []
    for await (const chunk of part.body) chunks.push(chunk)
    texts.push(Buffer.concat(chunks).toString())
  }
  return { status: 200 as const, response: { '00081190': { vr: 'UR', Value: texts } } }
}

describe('storing', () => {
  it.each([
    ['/studies', undefined],
    [`/studies/${study}`, study],
  ])('POST %s hands the parts on as they come and answers what became of them', async (path, expected) => {
    site.services.onStore = take
    const response = await post(path, multipart, body)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/dicom+json')
    expect(await response.json()).toEqual({ '00081190': { vr: 'UR', Value: ['DICM1', 'DICM2'] } })
    const { request: asked } = site.services.asked[0] as { request: StoreRequest }
    expect(asked.study).toBe(expected)
    expect(asked.base).toBe(`${site.address}/dicom-web`)
  })

  it.each([
    ['application/dicom', 'instances'],
    ['application/dicom+json', 'metadata'],
  ])('tells the service that parts of %s are %s', async (type, representation) => {
    site.services.onStore = take
    await post('/studies', `multipart/related; type="${type}"; boundary=b`, body)
    expect(site.services.asked[0]?.request).toMatchObject({ representation })
  })

  it.each([202, 409] as const)('answers %d as the service does', async (status) => {
    site.services.onStore = async (asked) => ({ ...(await take(asked)), status })
    expect((await post('/studies', multipart, body)).status).toBe(status)
  })

  it('says that what it acknowledges is not at home yet', async () => {
    site.services.onStore = async (asked) => ({ ...(await take(asked)), status: 202, isSpooled: true })
    const { status, headers } = await post('/studies', multipart, body)
    expect(status).toBe(202)
    expect(headers.get('warning')).toBe('299 north: Home is not reachable; kept, and delivered when it is back')
  })

  it('takes a body of unknown length', async () => {
    site.services.onStore = take
    using client = await RawClient.open(site.address)
    const head = `POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: ${multipart}\r\n`
    client.send(`${head}Transfer-Encoding: chunked\r\n\r\n`)
    for (const piece of [body.slice(0, 10), body.slice(10)]) client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`)
    client.send('0\r\n\r\n')
    await client.closed
    expect(client.text).toContain('DICM2')
  })
})

describe('Expect: 100-continue', () => {
  const upload = (contentType: string) =>
    request(`${site.address}/dicom-web/studies`, {
      method: 'POST',
      headers: { Expect: '100-continue', 'Content-Type': contentType, 'Content-Length': body.length },
    })

  it('is answered when the body is wanted', async () => {
    site.services.onStore = take
    const client = upload(multipart)
    const { promise, resolve } = Promise.withResolvers<number | undefined>()
    client.on('continue', () => client.end(body))
    client.on('response', (response) => resolve(response.resume().statusCode))
    client.flushHeaders()
    expect(await promise).toBe(200)
  })

  it('spares the client an upload that is refused, and ends the connection', async () => {
    const client = upload('text/plain')
    const { promise, resolve } = Promise.withResolvers<object>()
    client.on('continue', () => resolve({ continued: true }))
    client.on('response', ({ statusCode, headers }) => resolve({ statusCode, connection: headers.connection }))
    client.on('error', () => undefined)
    client.flushHeaders()
    expect(await promise).toEqual({ statusCode: 415, connection: 'close' })
    client.destroy()
  })
})

describe('what is refused', () => {
  it.each([
    ['application/dicom+json', 415],
    ['multipart/related; type="application/dicom+xml"; boundary=b', 415],
    ['multipart/related; type="constructor"; boundary=b', 415],
    ['application/dicom', 415],
    ['text/plain', 415],
    ['nonsense', 415],
    ['multipart/form-data; boundary=b', 415],
    ['multipart/related; type="application/dicom"', 400],
  ])('Content-Type: %s is a %d', async (contentType, status) => {
    const response = await post('/studies', contentType, body)
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(site.services.asked).toEqual([])
  })

  it('a study that is none is a 400', async () => {
    expect((await post('/studies/x', multipart, body)).status).toBe(400)
  })

  it('an answer that cannot be given is a 406 before anything is stored', async () => {
    const headers = { Accept: 'multipart/related; type="application/dicom+xml"' }
    expect((await post('/studies', multipart, body, headers)).status).toBe(406)
    expect(site.services.asked).toEqual([])
  })

  it('an announced body beyond the limit is a 413 unread', async () => {
    const response = await post('/studies', multipart, 'x'.repeat(5000))
    expect(response.status).toBe(413)
    expect(site.services.asked).toEqual([])
  })

  it('a body that grows beyond the limit is a 413, whatever the service makes of it', async () => {
    site.services.onStore = async (asked) => {
      await take(asked).catch(() => undefined)
      throw new LinkError('bad-request', 'the body is malformed')
    }
    using client = await RawClient.open(site.address)
    const head = `POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${multipart}\r\n`
    client.send(`${head}Transfer-Encoding: chunked\r\n\r\n`)
    for (let count = 0; count < 5; count++) client.send(`400\r\n${'x'.repeat(1024)}\r\n`)
    await client.until('too-large')
    expect(client.text).toMatch(/^HTTP\/1\.1 413 /)
  })

  it('a part beyond the limit is a 413', async () => {
    site.services.onStore = take
    const large = `--b\r\n\r\n${'x'.repeat(3000)}\r\n--b--\r\n`
    expect((await post('/studies', multipart, large)).status).toBe(413)
  })

  it('a body without its closing boundary is a 400', async () => {
    site.services.onStore = take
    expect((await post('/studies', multipart, body.replace('--b--', ''))).status).toBe(400)
  })

  it('a client that falls silent in the middle is a 400', async () => {
    site.services.onStore = take
    using client = await RawClient.open(site.address)
    const head = `POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${multipart}\r\n`
    client.send(`${head}Content-Length: 1000\r\n\r\n--b\r\n`)
    await client.until('stopped for more than 200 ms')
    expect(client.text).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('a client that leaves in the middle of its upload', () => {
  it('ends the body with an error, never as if it were complete', async () => {
    const reading = signalled()
    const seen = Promise.withResolvers<unknown>()
    site.services.onStore = async (asked, signal) => {
      reading.set()
      const outcome = await take(asked).then(
        () => 'complete',
        (error: unknown) => error,
      )
      seen.resolve({ outcome, aborted: signal.aborted })
      return { status: 200, response: {} }
    }
    using client = await RawClient.open(site.address)
    const head = `POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${multipart}\r\n`
    client.send(`${head}Content-Length: 1000\r\n\r\n--b\r\n`)
    await reading.done
    client.socket.destroy()
    expect(await seen.promise).toMatchObject({ outcome: { code: 'cancelled' }, aborted: true })
  })
})

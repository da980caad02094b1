import { afterEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import type { Part } from '../../src/dicom/multipart.ts'
import {
  chunks,
  found,
  instancePath,
  part,
  partsOf,
  RawClient,
  type Site,
  signalled,
  startSite,
  study,
  whole,
} from './harness.ts'

let site: Site | undefined
afterEach(async () => {
  await site?.close()
  site = undefined
})
const start = async (...options: Parameters<typeof startSite>) => {
  site = await startSite(...options)
  return site
}

const kilobytes64 = Buffer.alloc(64 * 1024, 1)

describe('an answer that breaks off', () => {
  /** A body that fails once the client has begun to receive it. */
  async function* failing(begun: Promise<unknown>): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half of it')
    await begun
    throw new LinkError('bad-gateway', 'the holder died and nobody else has it')
  }

  it('ends as a reset connection, without closing boundary, without last chunk', async () => {
    const { services, address, logged } = await start()
    const begun = signalled()
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/dicom', body: failing(begun.done) }))
    using client = await RawClient.open(address)
    const line = logged('answer-cut')
    client.get(`/dicom-web/studies/${study}`, 'Accept: multipart/related; type="application/dicom"\r\n')
    await client.until('half of it')
    begun.set()
    await client.closed
    expect(client.text).toContain('HTTP/1.1 200 OK')
    expect(client.text).not.toMatch(/--dicomweb-link-[\w-]+--/)
    expect(client.text).not.toContain('0\r\n\r\n')
    expect(client.error).toMatchObject({ code: 'ECONNRESET' })
    expect(await line).toMatchObject({ level: 'warn', err: { code: 'bad-gateway' } })
  })

  it('is a reset for an HTTP/1.0 client too, to whom a plain close would be the end of the body', async () => {
    const { services, address } = await start()
    const begun = signalled()
    const bulk: Part = { contentType: 'application/octet-stream', body: failing(begun.done) }
    services.onRetrieve = async () => whole(partsOf(bulk))
    using client = await RawClient.open(address)
    client.send(`GET ${instancePath}/bulkdata/abc HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n`)
    await client.until('half of it')
    begun.set()
    await client.closed
    expect(client.error).toMatchObject({ code: 'ECONNRESET' })
  })

  it('fails a fetch in the middle of the body', async () => {
    const { services, fetch } = await start()
    const begun = signalled()
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/dicom', body: failing(begun.done) }))
    const response = await fetch(`/dicom-web/studies/${study}`)
    expect(response.status).toBe(200)
    begun.set()
    await expect(response.arrayBuffer()).rejects.toThrow()
  })

  it.each([
    ['fewer', ['12345']],
    ['more', ['1234567890', 'x']],
  ])('is what a body of %s bytes than announced becomes', async (_, texts) => {
    const { services, fetch } = await start()
    const body = chunks(...texts)
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/octet-stream', length: 10, body }))
    await expect(fetch(`${instancePath}/bulkdata/abc`).then((response) => response.arrayBuffer())).rejects.toThrow()
  })

  it('is a proper error as long as nothing was sent', async () => {
    const { services, fetch } = await start()
    const dead = async function* (): AsyncGenerator<Uint8Array> {
      yield* []
      throw new LinkError('unavailable', 'nobody could be reached')
    }
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/dicom', body: dead() }))
    const response = await fetch(`/dicom-web/studies/${study}`)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('10')
    expect(await response.json()).toMatchObject({ code: 'unavailable', detail: 'nobody could be reached' })
  })
})

describe('a client that leaves', () => {
  it('aborts the signal of a service that has not answered yet', async () => {
    const { services, address } = await start()
    const asked = signalled()
    const aborted = Promise.withResolvers<unknown>()
    services.onSearch = (_, signal) => {
      signal.addEventListener('abort', () => aborted.resolve(signal.reason))
      asked.set()
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    using client = await RawClient.open(address)
    client.get('/dicom-web/studies')
    await asked.done
    client.socket.destroy()
    expect(await aborted.promise).toMatchObject({ name: 'LinkError', code: 'cancelled' })
  })

  it('aborts the signal and returns the iterators of a body under way', async () => {
    const { services, address, logged } = await start()
    const [bodyReturned, partsReturned, aborted] = [signalled(), signalled(), signalled()]
    async function* endless() {
      try {
        for (;;) yield kilobytes64
      } finally {
        bodyReturned.set()
      }
    }
    async function* parts() {
      try {
        yield { contentType: 'application/dicom', body: endless() }
      } finally {
        partsReturned.set()
      }
    }
    services.onRetrieve = async (_, signal) => {
      signal.addEventListener('abort', aborted.set)
      return whole(parts())
    }
    using client = await RawClient.open(address)
    const line = logged('request')
    client.get(`/dicom-web/studies/${study}`)
    await client.until('\r\n\r\n')
    client.socket.destroy()
    await Promise.all([bodyReturned.done, partsReturned.done, aborted.done])
    expect(await line).toMatchObject({ incomplete: true, status: 200 })
  })

  it('is not one that only ends its side after asking', async () => {
    const { services, address } = await start()
    services.onSearch = async () => found([{ '0020000D': { vr: 'UI', Value: [study] } }])
    using client = await RawClient.open(address)
    client.get('/dicom-web/studies', 'Connection: close\r\n')
    client.socket.end()
    await client.closed
    expect(client.text).toContain(study)
  })
})

describe('a slow client', () => {
  it('slows the source down: no more is read than the buffers between them hold', async () => {
    const { services, address } = await start()
    const total = 256 * 1024 * 1024
    let [made, received, lead] = [0, 0, 0]
    async function* body() {
      for (; made < total; made += kilobytes64.length) {
        lead = Math.max(lead, made - received)
        yield kilobytes64
      }
    }
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/dicom', body: body() }))
    const response = await fetch(`${address}/dicom-web/studies/${study}`)
    for await (const chunk of response.body ?? []) received += chunk.byteLength
    expect(received).toBeGreaterThan(total)
    expect(lead).toBeLessThan(32 * 1024 * 1024)
  })

  it('is cut when it takes nothing for too long', async () => {
    const { services, address, logged } = await start({ limits: { clientIdleTimeoutMs: 50 } })
    const returned = signalled()
    async function* endless() {
      try {
        for (;;) yield kilobytes64
      } finally {
        returned.set()
      }
    }
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/dicom', body: endless() }))
    using client = await RawClient.open(address)
    const line = logged('answer-cut')
    client.get(`/dicom-web/studies/${study}`)
    client.socket.pause()
    await returned.done
    expect(await line).toMatchObject({ err: { code: 'cancelled' } })
  })

  it('is cut as well when its answer is one text', async () => {
    const { services, address, logged } = await start({ limits: { clientIdleTimeoutMs: 50 } })
    const rows = [{ '00104000': { vr: 'LT', Value: ['x'.repeat(32 * 1024 * 1024)] } }]
    services.onSearch = async () => found(rows)
    using client = await RawClient.open(address)
    const [cut, ended] = [logged('answer-cut'), logged('request')]
    client.get('/dicom-web/studies')
    client.socket.pause()
    expect(await cut).toMatchObject({ err: { code: 'cancelled' } })
    expect(await ended).toMatchObject({ route: '/dicom-web/studies', incomplete: true })
  })

  it('gets a large text whole, with its length', async () => {
    const { services, fetch } = await start()
    const value = 'x'.repeat(4 * 1024 * 1024)
    services.onSearch = async () => found([{ '00104000': { vr: 'LT', Value: [value] } }])
    const response = await fetch('/dicom-web/studies', { headers: { 'accept-encoding': 'identity' } })
    const text = await response.text()
    expect(response.headers.get('content-length')).toBe(String(text.length))
    expect(JSON.parse(text)).toEqual([{ '00104000': { vr: 'LT', Value: [value] } }])
  })
})

describe('an answer that waited in line behind another', () => {
  it('may take longer to begin than a client may take nothing', async () => {
    const { services, address } = await start({ limits: { clientIdleTimeoutMs: 50 } })
    const [bothAsked, isLate, otherIsCut] = [signalled(), signalled(), signalled()]
    services.onSearch = async ({ query: { limit } }) => {
      if (limit === 2) bothAsked.set()
      await (limit === 2 ? isLate : bothAsked).done
      return found([])
    }
    async function* endless() {
      try {
        for (;;) yield kilobytes64
      } finally {
        otherIsCut.set()
      }
    }
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/dicom', body: endless() }))
    using client = await RawClient.open(address)
    for (const limit of [1, 2]) client.get(`/dicom-web/studies?limit=${limit}`, `X-Request-Id: ask-${limit}\r\n`)
    await client.until('ask-1')
    using other = await RawClient.open(address)
    other.socket.pause()
    other.get(`/dicom-web/studies/${study}`)
    await otherIsCut.done
    isLate.set()
    await client.until('ask-2')
  })
})

describe('what is no request behind one whose answer is on its way', () => {
  it('resets the connection: no refusal is written into the middle of that answer', async () => {
    const { services, address } = await start()
    async function* body() {
      yield Buffer.from('first half')
      await new Promise(() => undefined)
    }
    services.onRetrieve = async () => whole(partsOf({ contentType: 'application/dicom', body: body() }))
    using client = await RawClient.open(address)
    client.get(`/dicom-web/studies/${study}`)
    await client.until('first half')
    client.send('hello\r\n\r\n')
    await client.closed
    expect(client.text).not.toContain('HTTP/1.1 400')
    expect(client.error).toMatchObject({ code: 'ECONNRESET' })
  })
})

describe('draining', () => {
  it('finishes what runs, takes nothing new', async () => {
    const { services, address, close, fetch, lifecycle } = await start()
    const release = signalled()
    services.onRetrieve = async () =>
      whole(
        partsOf({
          contentType: 'application/dicom',
          body: (async function* () {
            yield Buffer.from('first half ')
            await release.done
            yield Buffer.from('second half')
          })(),
        }),
      )
    const response = await fetch(`/dicom-web/studies/${study}`)
    const closed = close()
    expect(lifecycle.draining).toBe(true)
    await expect(RawClient.open(address).then((client) => client.until('x'))).rejects.toThrow()
    release.set()
    expect(await response.text()).toContain('first half second half')
    await closed
  })

  it('cuts what does not end in time, as an aborted transfer', async () => {
    const { services, close, fetch } = await start({ drainTimeoutMs: 50 })
    const aborted = signalled()
    services.onRetrieve = async (_, signal) => {
      signal.addEventListener('abort', aborted.set)
      async function* body() {
        yield Buffer.from('first half')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      return whole(partsOf({ contentType: 'application/dicom', body: body() }))
    }
    const response = await fetch(`/dicom-web/studies/${study}`)
    await close()
    await aborted.done
    await expect(response.arrayBuffer()).rejects.toThrow()
  })

  it('does not wait for the connection of an upload that asked whether to go on', async () => {
    const { address, close, log } = await start({ drainTimeoutMs: 10_000 })
    using client = await RawClient.open(address)
    const body = '--b\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--b--'
    const type = 'multipart/related; type="application/dicom"; boundary=b'
    client.send(`POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${type}\r\n`)
    client.send(`Content-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`)
    await client.until('100 Continue')
    const closed = close()
    client.send(body)
    await Promise.all([closed, client.closed])
    expect(client.text).toContain('HTTP/1.1 200 OK')
    expect(log.map(({ event }) => event)).not.toContain('drain-cut')
  })

  it('may be asked for twice', async () => {
    const { close } = await start()
    await Promise.all([close(), close()])
  })
})

describe('limits', () => {
  it('an address that is too long is a 414', async () => {
    const { fetch } = await start()
    const response = await fetch(`/dicom-web/studies?x=${'a'.repeat(16 * 1024)}`)
    expect(response.status).toBe(414)
    expect(await response.json()).toMatchObject({ code: 'too-large' })
  })

  it('an address without end is a 414', async () => {
    const { address } = await start()
    using client = await RawClient.open(address)
    client.send(`GET /${'a'.repeat(60 * 1024)}`)
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 414 /)
  })

  it('headers that are too large are a 431', async () => {
    const { address } = await start()
    using client = await RawClient.open(address)
    client.get('/healthz', `X-Large: ${'a'.repeat(60 * 1024)}\r\n`)
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 431 /)
    expect(client.text).toContain('application/problem+json')
  })

  it('headers that do not arrive are a 408', async () => {
    const { address } = await start({ limits: { headersTimeoutMs: 50 } })
    using client = await RawClient.open(address)
    client.send('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n')
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('a request that takes too long is aborted as timed out', async () => {
    const { services, fetch } = await start({ limits: { requestTimeoutMs: 50 } })
    services.onSearch = (_, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const response = await fetch('/dicom-web/studies')
    expect(response.status).toBe(504)
  })

  it('a request that takes too long is cut when whoever works on it does not give up', async () => {
    const { services, address } = await start({ limits: { requestTimeoutMs: 50, clientIdleTimeoutMs: 50 } })
    services.onSearch = () => new Promise(() => undefined)
    using client = await RawClient.open(address)
    client.get('/dicom-web/studies')
    await client.closed
    expect(client.error).toMatchObject({ code: 'ECONNRESET' })
  })

  it('an expectation other than 100-continue is a 417', async () => {
    const { address } = await start()
    using client = await RawClient.open(address)
    client.get('/healthz', 'Expect: the-unexpected\r\nConnection: close\r\n')
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 417 /)
    expect(client.text).toContain('application/problem+json')
  })

  it.each([
    ['what is no HTTP', 'hello\r\n\r\n', 400],
    ['a request without host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['a host that is none', 'GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a backslash in the path', 'GET /dicom-web\\..\\x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n', 400],
    [
      'two lengths',
      'POST /dicom-web/studies HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      400,
    ],
    [
      'a length beside chunks',
      'POST /dicom-web/studies HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
  ])('%s is refused', async (_, request, status) => {
    const { address } = await start()
    using client = await RawClient.open(address)
    client.send(request)
    await client.until('\r\n\r\n')
    expect(client.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  })

  it('the port of another is a clear error', async () => {
    const { address } = await start()
    const { port } = new URL(address)
    await expect(startSite({ listen: { port: Number(port) } })).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining(`127.0.0.1:${port} cannot be had`),
    })
  })
})

describe('HEAD', () => {
  it('answers like GET without a body and lets go of the source', async () => {
    const { services, fetch } = await start()
    const returned = signalled()
    async function* parts() {
      try {
        yield part('application/dicom', 'DICM')
      } finally {
        returned.set()
      }
    }
    services.onRetrieve = async () => whole(parts())
    const response = await fetch(`/dicom-web/studies/${study}`, { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^multipart\/related/)
    expect(await response.text()).toBe('')
    await returned.done
  })
})

describe('request ids', () => {
  it('are taken from the client when sane, returned, and logged', async () => {
    const { fetch, logged } = await start()
    const line = logged('request')
    const response = await fetch('/healthz', { headers: { 'X-Request-Id': 'abc-123' } })
    expect(response.headers.get('x-request-id')).toBe('abc-123')
    expect(await line).toMatchObject({ requestId: 'abc-123', route: '/healthz' })
  })

  it.each(['', 'a b', 'x'.repeat(65), '<script>'])('are made new instead of %j', async (given) => {
    const { fetch } = await start()
    const response = await fetch('/healthz', { headers: { 'X-Request-Id': given } })
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  })
})

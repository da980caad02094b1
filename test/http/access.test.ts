import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { RawClient, type Site, startSite, study } from './harness.ts'

let site: Site
afterEach(() => site.close())

describe('pages of other origins', () => {
  const origin = 'https://viewer.example.org'
  const preflight = (from: string) =>
    site.fetch('/dicom-web/studies', {
      method: 'OPTIONS',
      headers: {
        Origin: from,
        'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'authorization',
      },
    })

  it('may call and read when their origin is listed', async () => {
    site = await startSite({ cors: { origins: [origin] } })
    const asked = await preflight(origin)
    expect(asked.status).toBe(204)
    expect(asked.headers.get('access-control-allow-origin')).toBe(origin)
    const allowed = asked.headers.get('access-control-allow-headers')?.toLowerCase()
    for (const name of ['authorization', 'accept', 'content-type', 'x-api-key', 'range', 'if-none-match']) {
      expect(allowed).toContain(name)
    }
    const response = await site.fetch('/dicom-web/studies', { headers: { Origin: origin } })
    expect(response.headers.get('access-control-allow-origin')).toBe(origin)
    expect(response.headers.get('access-control-allow-credentials')).toBeNull()
    expect(response.headers.get('cross-origin-resource-policy')).toBe('cross-origin')
    const exposed = response.headers.get('access-control-expose-headers')
    for (const name of ['Warning', 'X-Request-Id', 'Content-Location', 'Location', 'Retry-After', 'ETag']) {
      expect(exposed).toContain(name)
    }
  })

  it('may read errors and streams as well', async () => {
    site = await startSite({ cors: { origins: [origin] } })
    for (const path of ['/dicom-web/studies/x/series', `/dicom-web/studies/${study}`]) {
      const response = await site.fetch(path, { headers: { Origin: origin } })
      expect(response.headers.get('access-control-allow-origin')).toBe(origin)
      expect(response.headers.get('vary')).toContain('Origin')
    }
  })

  it.each(['https://viewer.example.org.evil.example', 'http://viewer.example.org', 'null'])(
    'may not from %s',
    async (from) => {
      site = await startSite({ cors: { origins: [origin] } })
      expect((await preflight(from)).headers.get('access-control-allow-origin')).toBeNull()
      const response = await site.fetch('/dicom-web/studies', { headers: { Origin: from } })
      expect(response.headers.get('access-control-allow-origin')).toBeNull()
    },
  )

  it('may frame what they may read, as viewers do with PDF', async () => {
    site = await startSite({ cors: { origins: [origin, 'https://other.example.org'] } })
    const { headers } = await site.fetch('/dicom-web/studies')
    expect(headers.get('content-security-policy')).toContain(
      `frame-ancestors 'self' ${origin} https://other.example.org;`,
    )
  })

  it('may not at all by default', async () => {
    site = await startSite()
    const response = await site.fetch('/dicom-web/studies', { headers: { Origin: origin } })
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
    expect(response.headers.get('cross-origin-resource-policy')).toBe('same-origin')
  })
})

describe('without authentication', () => {
  const askAs = async (host: string) => {
    using client = await RawClient.open(site.address)
    client.send(`GET /dicom-web/studies HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    await client.closed
    return client.text
  }

  it('only names of this machine are answered, so that no page can rebind its own name to it', async () => {
    site = await startSite()
    for (const host of ['127.0.0.1', 'localhost:8080', '[::1]:80'])
      expect(await askAs(host)).toMatch(/^HTTP\/1\.1 200 /)
    const refused = await askAs('evil.example')
    expect(refused).toMatch(/^HTTP\/1\.1 403 /)
    expect(refused).toContain('publicUrl')
  })

  it('the public address is answered too', async () => {
    site = await startSite({ publicUrl: 'https://imaging.example.org' })
    expect(await askAs('imaging.example.org')).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('every answer', () => {
  it.each([
    '/dicom-web/studies',
    '/dicom-web/nothing',
    '/dicom-web/studies/x/series',
    `/dicom-web/studies/${study}`,
    '/wado',
  ])('to %s forbids guessing, framing by others, embedding without consent, referrers and keeping', async (path) => {
    site = await startSite()
    const { headers } = await site.fetch(path)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'self'")
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp')
    expect(headers.get('x-request-id')).toBeTruthy()
    expect(headers.get('x-powered-by')).toBeNull()
  })
})

describe('the log', () => {
  it('has one line a request, without what a query says of a patient', async () => {
    site = await startSite()
    const line = site.logged('request')
    await site.fetch(`/dicom-web/studies/${study}/series?PatientName=DOE%5EJANE&PatientID=4711`)
    expect(await line).toMatchObject({
      level: 'info',
      event: 'request',
      site: 'north',
      method: 'GET',
      route: '/dicom-web/studies/:study/series',
      status: 200,
      principal: 'anonymous',
      durationMs: expect.any(Number),
      bytes: expect.any(Number),
      requestId: expect.any(String),
    })
    const text = JSON.stringify(site.log)
    for (const secret of ['DOE', 'JANE', '4711']) expect(text).not.toContain(secret)
    expect(site.log.filter(({ event }) => event === 'request').length).toBe(1)
  })

  it('names refused requests by a pattern, never by their address', async () => {
    site = await startSite()
    const line = site.logged('request')
    await site.fetch('/PatientName=DOE')
    expect(await line).toMatchObject({ status: 404, route: 'unmatched' })
    expect(JSON.stringify(site.log)).not.toContain('DOE')
  })
})

describe('connections that say nothing', () => {
  it('do no harm', async () => {
    site = await startSite()
    const { port, hostname } = new URL(site.address)
    const socket = connect(Number(port), hostname)
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.resetAndDestroy()
    expect((await site.fetch('/healthz')).status).toBe(200)
  })
})

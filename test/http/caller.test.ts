import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { currentRequest } from '../../src/core/request-context.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import { instance, instancePath, part, partsOf, type Site, series, startSite, study, whole } from './harness.ts'

const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`
const scopes = ['query', 'retrieve', 'store']
const auth = {
  apiKeys: [
    { name: 'viewer', hash: sha256('viewer-key'), scopes },
    { name: 'other', hash: sha256('other-key'), scopes, role: 'external' },
  ],
}
const key = (name: string) => ({ 'X-API-Key': `${name}-key` })
const scope = (value: string) => ({ 'DICOMweb-Link-Scope': value })
const hops = (value: string) => ({ 'DICOMweb-Link-Hops': value })

let site: Site
afterEach(() => site.close())

/** Every kind of route that reads studies. */
const reading = [
  '/dicom-web/studies',
  `/dicom-web/studies/${study}/series`,
  `/dicom-web/studies/${study}`,
  `/dicom-web/studies/${study}/metadata`,
  `${instancePath}/frames/1`,
  `${instancePath}/bulkdata/abc`,
  `${instancePath}/rendered`,
  `/wado?requestType=WADO&studyUID=${study}&seriesUID=${series}&objectUID=${instance}`,
]

/** For whom the services were asked last. */
function audience(): string | undefined {
  const { audience: own, request } = site.services.asked.at(-1) ?? {}
  return own ?? (request as { caller?: { audience: string } } | undefined)?.caller?.audience
}

async function ask(path: string, headers: Record<string, string> = {}): Promise<Response> {
  site.services.onRetrieve = async () => whole(partsOf(part('image/jpeg', 'x')))
  return site.fetch(path, { headers })
}

describe.each(reading)('%s is asked for', (path) => {
  it('our own people without authentication, and with keys of the role internal', async () => {
    site = await startSite()
    await ask(path)
    expect(audience()).toBe('internal')
    await site.close()
    site = await startSite({ auth })
    await ask(path, key('viewer'))
    expect(audience()).toBe('internal')
  })

  it('other systems with keys of the role external', async () => {
    site = await startSite({ auth })
    await ask(path, key('other'))
    expect(audience()).toBe('external')
  })

  it.each(['viewer', 'other'])('a peer that wants home alone, whatever the role of its key: %s', async (name) => {
    site = await startSite({ auth })
    await ask(path, { ...key(name), ...scope('home'), ...hops('east') })
    expect(audience()).toBe('home')
  })

  it.each([
    ['another scope', scope('all'), 'DICOMweb-Link-Scope: '],
    ['an empty scope', scope(''), 'DICOMweb-Link-Scope: '],
    ['hops that are no sites', hops('east, West!'), 'DICOMweb-Link-Hops: '],
    ['empty hops', hops(''), 'DICOMweb-Link-Hops: '],
    ['17 hops', hops(Array.from({ length: 17 }, (_, at) => `s${at}`).join(',')), 'DICOMweb-Link-Hops: more than 16'],
  ])('nobody with %s: a 400 that names the header', async (_, headers, detail) => {
    site = await startSite()
    const response = await ask(path, headers as Record<string, string>)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ code: 'bad-request', detail: expect.stringContaining(detail) })
    expect(site.services.asked).toEqual([])
  })

  it('nobody when it has come through this site before: a 508', async () => {
    site = await startSite()
    const response = await ask(path, { ...scope('home'), ...hops('east,north , west') })
    expect(response.status).toBe(508)
    expect(await response.json()).toMatchObject({
      code: 'loop',
      title: 'Loop Detected',
      detail: expect.stringContaining('"north"'),
    })
    expect(site.services.asked).toEqual([])
  })

  it('nobody without credentials, however they say they came', async () => {
    site = await startSite({ auth })
    expect((await ask(path, hops('north'))).status).toBe(401)
  })
})

describe('a caller', () => {
  it('is known by the name of its key', async () => {
    site = await startSite({ auth })
    await ask('/dicom-web/studies', key('other'))
    const caller = { name: 'key:other', audience: 'external' }
    expect(site.services.asked.at(-1)?.request).toMatchObject({ caller })
  })

  it('that is external sees no more by asking for home alone than without', async () => {
    const clusters = [{ id: 'north', role: 'home', embedded: {}, queries: { external: false } }]
    site = await startSite({ auth, clusters })
    const response = await ask('/dicom-web/studies', { ...key('other'), ...scope('home') })
    expect(response.status).toBe(403)
    expect(await response.json()).toMatchObject({ code: 'forbidden', detail: expect.stringContaining('home cluster') })
    expect((await ask('/dicom-web/studies', { ...key('viewer'), ...scope('home') })).status).toBe(200)
  })

  it('may have come through 16 sites', async () => {
    site = await startSite()
    const header = Array.from({ length: 16 }, (_, at) => `s${at}`).join(',')
    expect((await ask('/dicom-web/studies', hops(header))).status).toBe(200)
  })
})

describe('the sites a request came through', () => {
  const path = `/dicom-web/studies/${study}`

  it('are known to everything done for it, to the last part of its answer', async () => {
    site = await startSite()
    const seen: (readonly string[] | undefined)[] = []
    async function* parts(): Parts {
      for (let at = 0; at < 3; at++) {
        seen.push(currentRequest()?.hops)
        yield part('application/dicom', 'x'.repeat(100_000))
      }
    }
    site.services.onRetrieve = async () => whole(parts())
    await (await site.fetch(path, { headers: hops('east,west') })).arrayBuffer()
    expect(seen).toEqual([1, 2, 3].map(() => ['east', 'west']))
  })

  it('are none of what a client sends itself', async () => {
    site = await startSite()
    let seen: unknown
    site.services.onRetrieve = async () => {
      seen = currentRequest()?.hops
      return whole(partsOf(part('application/dicom', 'x')))
    }
    await site.fetch(path)
    expect(seen).toEqual([])
  })
})

describe('storing and operating', () => {
  it('take no notice of what peers say of queries', async () => {
    site = await startSite()
    const headers = { ...scope('all'), ...hops('north') }
    const type = { 'Content-Type': 'multipart/related; type="application/dicom"; boundary=b' }
    const stored = await site.fetch('/dicom-web/studies', {
      method: 'POST',
      headers: { ...headers, ...type },
      body: '--b--',
    })
    expect(stored.status).toBe(200)
    expect((await site.fetch('/metrics', { headers })).status).toBe(200)
  })
})

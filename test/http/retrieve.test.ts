import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseMediaType } from '../../src/dicom/media-type.ts'
import { type Parts, readMultipart } from '../../src/dicom/multipart.ts'
import {
  instance,
  instancePath,
  part,
  partsOf,
  type Site,
  series,
  signalled,
  startSite,
  study,
  whole,
} from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

const asked = () => site.services.asked.at(-1) as { service: string; request: Record<string, unknown> }

/** The parts of a multipart answer as text. */
async function partsIn(response: Response): Promise<{ type: string; text: string }[]> {
  const boundary = parseMediaType(response.headers.get('content-type') ?? '')?.parameters.get('boundary') ?? ''
  const body = (async function* () {
    for await (const chunk of response.body ?? []) yield chunk
  })()
  const parts: { type: string; text: string }[] = []
  for await (const { contentType, body: content } of readMultipart(body, boundary, {
    maxParts: 10,
    maxPartBytes: 1e6,
  })) {
    const chunks: Uint8Array[] = []
    for await (const chunk of content) chunks.push(chunk)
    parts.push({ type: contentType, text: Buffer.concat(chunks).toString() })
  }
  return parts
}

describe('instances', () => {
  it.each([
    [`/dicom-web/studies/${study}`, { study }],
    [`/dicom-web/studies/${study}/series/${series}`, { study, series }],
    [instancePath, { study, series, instance }],
  ])('%s comes as parts, one an instance', async (path, target) => {
    site.services.onRetrieve = async () => whole(partsOf(part('application/dicom', 'DI', 'CM1'), part('', 'DICM2')))
    const headers = { Accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' }
    const response = await site.fetch(path, { headers })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^multipart\/related; type="application\/dicom"; boundary=/)
    expect(await partsIn(response)).toEqual([
      { type: 'application/dicom', text: 'DICM1' },
      { type: 'application/dicom', text: 'DICM2' },
    ])
    expect(asked()).toMatchObject({ service: 'instances', request: { target, transferSyntax: '*' } })
  })

  it('one alone comes as itself', async () => {
    const response = await site.fetch(instancePath, { headers: { Accept: 'application/dicom; transfer-syntax=*' } })
    expect(response.headers.get('content-type')).toBe('application/dicom')
    expect(await response.text()).toBe('DICM')
  })

  it('that are known to be incomplete are a 206 with a warning', async () => {
    const warnings = ['Results are incomplete: cluster south timed-out']
    site.services.onRetrieve = async () => ({ status: 206, warnings, body: partsOf(part('application/dicom', 'DICM')) })
    const response = await site.fetch(`/dicom-web/studies/${study}`)
    expect(response.status).toBe(206)
    expect(response.headers.get('warning')).toBe('299 north: Results are incomplete: cluster south timed-out')
  })

  it('that are none are a 404, not an empty body', async () => {
    site.services.onRetrieve = async () => whole(partsOf())
    expect((await site.fetch(`/dicom-web/studies/${study}`)).status).toBe(404)
  })

  it('say nothing of the cluster they come from', async () => {
    const location = 'http://backend.internal:8042/x'
    site.services.onRetrieve = async () => whole(partsOf({ ...part('application/dicom', 'DICM'), location }))
    expect(await (await site.fetch(instancePath)).text()).not.toContain('backend')
  })

  it('stay out of caches', async () => {
    expect((await site.fetch(instancePath)).headers.get('cache-control')).toBe('no-store')
  })
})

describe('metadata', () => {
  it.each([`/dicom-web/studies/${study}`, `/dicom-web/studies/${study}/series/${series}`, instancePath])(
    'of %s is a list of datasets',
    async (path) => {
      const response = await site.fetch(`${path}/metadata`, { headers: { Accept: 'application/dicom+json' } })
      expect(response.headers.get('content-type')).toBe('application/dicom+json')
      expect(await response.json()).toEqual([{ '00080018': { vr: 'UI', Value: [instance] } }])
      expect(asked().request).toMatchObject({ base: `${site.address}/dicom-web` })
    },
  )

  it('that a silent cluster is missing from is a 200 with a warning, since viewers take a 206 for a failure', async () => {
    const warnings = ['Results are incomplete: cluster south timed-out']
    const { onMetadata } = site.services
    site.services.onMetadata = async (...asked) => ({ ...(await onMetadata(...asked)), status: 206, warnings })
    const response = await site.fetch(`/dicom-web/studies/${study}/metadata`)
    expect(response.status).toBe(200)
    expect(response.headers.get('warning')).toBe('299 north: Results are incomplete: cluster south timed-out')
    expect(await response.json()).toHaveLength(1)
  })

  it('of many instances is one valid list', async () => {
    const filler = 'x'.repeat(1000)
    site.services.onMetadata = async () =>
      whole(
        (async function* () {
          for (let number = 0; number < 500; number++) yield { '00200013': { vr: 'IS', Value: [number, filler] } }
        })(),
      )
    const rows = (await (await site.fetch(`/dicom-web/studies/${study}/metadata`)).json()) as unknown[]
    expect(rows.length).toBe(500)
  })
})

describe('frames', () => {
  it('come as parts in the order asked for, with the type they were given', async () => {
    const type = 'application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1'
    site.services.onRetrieve = async () => whole(partsOf(part(type, 'two'), part(type, 'one')))
    const headers = { Accept: 'multipart/related; type=application/octet-stream; transfer-syntax=*' }
    const response = await site.fetch(`${instancePath}/frames/2,1`, { headers })
    expect(response.headers.get('content-type')).toMatch(
      /^multipart\/related; type="application\/octet-stream"; boundary=/,
    )
    const text = await response.clone().text()
    expect(text).toContain(`Content-Type: ${type}\r\n`)
    expect(await partsIn(response)).toEqual([
      { type, text: 'two' },
      { type, text: 'one' },
    ])
    const request = { frames: [2, 1], mediaType: 'application/octet-stream', transferSyntax: '*' }
    expect(asked()).toMatchObject({ service: 'frames', request })
  })

  it('one alone comes as itself', async () => {
    site.services.onRetrieve = async () => whole(partsOf(part('image/jpeg', 'pixels')))
    const response = await site.fetch(`${instancePath}/frames/1`, { headers: { Accept: 'image/jpeg' } })
    expect(response.headers.get('content-type')).toBe('image/jpeg')
    expect(await response.text()).toBe('pixels')
  })

  it('of several do not come alone', async () => {
    const headers = { Accept: 'application/octet-stream' }
    expect((await site.fetch(`${instancePath}/frames/1,2`, { headers })).status).toBe(406)
  })

  it.each([
    ['0', '"0" is no frame number'],
    ['-1', 'no frame number'],
    ['1e9', 'no frame number'],
    ['1000000000', 'no frame number'],
    ['1,,2', '"" is no frame number'],
    ['1, 2', 'no frame number'],
    ['a', 'no frame number'],
    ['%00', 'no frame number'],
  ])('%s are refused before any cluster is asked', async (list, detail) => {
    const response = await site.fetch(`${instancePath}/frames/${list}`)
    expect(response.status).toBe(400)
    expect(((await response.json()) as { detail: string }).detail).toContain(detail)
    expect(site.services.asked).toEqual([])
  })

  it('are 10,000 at most', async () => {
    await using large = await startSite({ limits: { maxUrlBytes: 64 * 1024 } })
    const list = (count: number) => Array.from({ length: count }, () => '1').join(',')
    expect((await large.fetch(`${instancePath}/frames/${list(10_000)}`)).status).toBe(200)
    const response = await large.fetch(`${instancePath}/frames/${list(10_001)}`)
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('more than 10000')
  })
})

describe('bulk data', () => {
  const token = 'bm9ydGgvYnVsay8'

  it.each([
    [{}, 'application/octet-stream'],
    [{ Accept: 'application/octet-stream' }, 'application/octet-stream'],
  ])('comes alone for %j', async (headers, type) => {
    site.services.onRetrieve = async () => whole(partsOf({ ...part('', 'bytes'), length: 5 }))
    const response = await site.fetch(`${instancePath}/bulkdata/${token}`, { headers })
    expect(response.headers.get('content-type')).toBe(type)
    expect(response.headers.get('content-length')).toBe('5')
    expect(await response.text()).toBe('bytes')
    expect(asked()).toMatchObject({ service: 'bulkdata', request: { token, target: { study, series, instance } } })
  })

  it('comes in a part for multipart/related', async () => {
    site.services.onRetrieve = async () => whole(partsOf(part('', 'bytes')))
    const headers = { Accept: 'multipart/related; type="application/octet-stream"' }
    const response = await site.fetch(`${instancePath}/bulkdata/${token}`, { headers })
    expect(await partsIn(response)).toEqual([{ type: 'application/octet-stream', text: 'bytes' }])
  })

  it('of several parts comes in all of them for whoever takes anything', async () => {
    const frames = [part('image/jp2', 'one'), part('image/jp2', 'two')].map((it) => ({ ...it, total: 2 }))
    site.services.onRetrieve = async () => whole(partsOf(...frames))
    const response = await site.fetch(`${instancePath}/bulkdata/${token}`)
    expect((await partsIn(response)).map(({ text }) => text)).toEqual(['one', 'two'])
  })

  it('of a type the client does not take is a 406, and its source is let go', async () => {
    const returned = signalled()
    async function* parts(): Parts {
      try {
        yield part('application/octet-stream', 'bytes')
      } finally {
        returned.set()
      }
    }
    site.services.onRetrieve = async () => whole(parts())
    const response = await site.fetch(`${instancePath}/bulkdata/${token}`, { headers: { Accept: 'image/png' } })
    expect(response.status).toBe(406)
    await returned.done
  })

  it.each([
    ['with dots', 'a..b'],
    ['with a slash', 'a%2Fb'],
    ['with a NUL', 'a%00'],
    ['with a line end', 'a%0d%0ab'],
    ['too long', 'x'.repeat(2049)],
  ])('at an address %s is refused', async (_, bad) => {
    const { status } = await site.fetch(`${instancePath}/bulkdata/${bad}`)
    expect([400, 404]).toContain(status)
    expect(site.services.asked).toEqual([])
  })
})

describe('pictures', () => {
  const picture = () => whole(partsOf(part('image/png', 'pixels')))

  it.each([
    [`/dicom-web/studies/${study}/thumbnail`, { kind: 'thumbnail', target: { study } }],
    [`/dicom-web/studies/${study}/series/${series}/thumbnail`, { kind: 'thumbnail', target: { study, series } }],
    [`${instancePath}/rendered`, { kind: 'rendered', target: { study, series, instance } }],
    [`${instancePath}/thumbnail`, { kind: 'thumbnail', target: { study, series, instance } }],
    [`${instancePath}/frames/3/rendered`, { kind: 'rendered', frames: [3] }],
    [`${instancePath}/frames/3/thumbnail`, { kind: 'thumbnail', frames: [3] }],
  ])('%s is one picture', async (path, request) => {
    site.services.onRetrieve = async () => picture()
    const response = await site.fetch(path, { headers: { Accept: 'image/png, image/jpeg;q=0.5' } })
    expect(response.headers.get('content-type')).toBe('image/png')
    expect(await response.text()).toBe('pixels')
    expect(asked()).toMatchObject({ service: 'rendered', request })
    expect(asked().request.mediaTypes).toEqual(['image/png', 'image/jpeg'])
  })

  it.each([
    `/dicom-web/studies/${study}`,
    `/dicom-web/studies/${study}/series/${series}`,
    `${instancePath}/frames/1,2`,
  ])('of %s come in parts', async (path) => {
    site.services.onRetrieve = async () => whole(partsOf(part('image/jpeg', 'a'), part('image/jpeg', 'b')))
    const response = await site.fetch(`${path}/rendered`)
    expect((await partsIn(response)).map(({ text }) => text)).toEqual(['a', 'b'])
  })

  it('are made as the parameters say', async () => {
    site.services.onRetrieve = async () => picture()
    const query =
      'window=40,400,LINEAR&viewport=256%2C256,0,,10.5,-20&quality=85&annotation=patient,technique&unknown=1'
    await site.fetch(`${instancePath}/rendered?${query}`)
    expect(asked().request.parameters).toEqual({
      window: '40,400,linear',
      viewport: '256,256,0,,10.5,-20',
      quality: '85',
      annotation: 'patient,technique',
    })
  })

  it('are asked for by query too, as thumbnails in a page are', async () => {
    site.services.onRetrieve = async () => picture()
    await site.fetch(`${instancePath}/thumbnail?accept=image%2Fjpeg`, { headers: { Accept: 'text/html' } })
    expect(asked().request.mediaTypes).toEqual(['image/jpeg'])
  })

  it.each([
    'window=40',
    'window=40,0,linear',
    'window=40,-5,linear',
    'window=40,400,cubic',
    'window=a,b,linear',
    'window=1e999,1,linear',
    'viewport=256',
    'viewport=0,256',
    'viewport=16385,16385',
    'viewport=1,2,3,4,5,6,7',
    'viewport=a,b',
    'quality=0',
    'quality=101',
    'quality=',
    'annotation=%3Cscript%3E',
    'window=40,400,linear&window=40,400,linear',
  ])('%s is a 400', async (query) => {
    const response = await site.fetch(`${instancePath}/rendered?${query}`)
    expect(response.status).toBe(400)
    expect(site.services.asked).toEqual([])
  })

  it('that are pages in truth cannot do anything', async () => {
    site.services.onRetrieve = async () => whole(partsOf(part('text/html', '<script>alert(1)</script>')))
    const response = await site.fetch(`${instancePath}/rendered`)
    expect(response.headers.get('content-security-policy')).toContain('sandbox')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  })

  it('that are PDF may be shown in a frame of the viewer', async () => {
    site.services.onRetrieve = async () => whole(partsOf(part('application/pdf', '%PDF')))
    const policy = (await site.fetch(`${instancePath}/rendered`)).headers.get('content-security-policy')
    expect(policy).toContain("frame-ancestors 'self'")
    expect(policy).not.toContain('sandbox')
  })
})

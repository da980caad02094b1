import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  instancePath,
  part,
  partsOf,
  RawClient,
  type Site,
  series,
  signalled,
  startSite,
  study,
  whole,
} from './harness.ts'
import { datasetsInHand, partsInHand } from './in-hand.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
  site.services.onRetrieve = async () => partsInHand(['image/jpeg', 'pix', 'els'])
  site.services.onMetadata = async () => datasetsInHand(dataset(1), dataset(2))
})
afterEach(() => site.close())

const dataset = (number: number, text = '') => ({
  '00080018': { vr: 'UI', Value: [`1.2.${number}`] },
  '00104000': { vr: 'LT', Value: [text] },
})

const frame = `${instancePath}/frames/1`
const metadata = `${instancePath}/metadata`
const alone = { Accept: 'image/jpeg' }
const inParts = { Accept: 'multipart/related; type="image/jpeg"' }
const json = { Accept: 'application/dicom+json', 'Accept-Encoding': 'identity' }
const xml = { Accept: 'multipart/related; type="application/dicom+xml"', 'Accept-Encoding': 'identity' }

const tagOf = async (path: string, headers: Record<string, string>) =>
  (await site.fetch(path, { headers })).headers.get('etag') ?? ''

describe('an answer that is in memory', () => {
  it.each([
    ['a frame', frame, alone],
    ['a frame in a part', frame, inParts],
    ['bulk data', `${instancePath}/bulkdata/abc`, {}],
    ['a picture', `${instancePath}/rendered`, {}],
    ['a picture by WADO-URI', `/wado?requestType=WADO&studyUID=${study}&seriesUID=${series}&objectUID=1.2`, {}],
    ['metadata', metadata, json],
    ['metadata in XML', metadata, xml],
    ['compressed metadata', metadata, { ...json, 'Accept-Encoding': 'gzip' }],
  ])('has an entity tag, and is not sent again to whoever has it: %s', async (_, path, headers) => {
    const first = await site.fetch(path, { headers })
    const tag = first.headers.get('etag') ?? ''
    expect(tag).toMatch(/^(W\/)?"[\w+-]+"$/)
    const again = await site.fetch(path, { headers: { ...headers, 'If-None-Match': tag } })
    expect([again.status, await again.text()]).toEqual([304, ''])
    for (const name of ['etag', 'vary', 'cache-control']) {
      expect([name, again.headers.get(name)]).toEqual([name, first.headers.get(name)])
    }
    expect(again.headers.get('content-type')).toBeNull()
    expect(again.headers.get('content-encoding')).toBeNull()
  })

  it('may be kept by browsers, and used when they have asked', async () => {
    const { headers } = await site.fetch(frame, { headers: alone })
    expect(headers.get('cache-control')).toBe('private, no-cache')
    expect(headers.get('vary')).toMatch(/^Accept\b(?!-)/)
  })

  it.each([metadata])('is never kept by browsers when it holds names: %s', async (path) => {
    for (const headers of [json, xml]) {
      const { headers: answered } = await site.fetch(path, { headers })
      expect(answered.get('etag')).not.toBeNull()
      expect(answered.get('cache-control')).toBe('no-store')
    }
  })

  it.each([
    ['parts, as one alone', frame, alone, inParts],
    ['XML, as JSON', metadata, json, xml],
    ['JSON by its other name', metadata, json, { ...json, Accept: 'application/json' }],
  ])('has another entity tag in another form: %s', async (_, path, one, other) => {
    expect(await tagOf(path, one)).not.toBe(await tagOf(path, other))
  })

  it('has the same entity tag and the same bytes each time, in parts too', async () => {
    site.services.onRetrieve = async () => partsInHand(['image/jp2', 'one'], ['', 'two'])
    const get = async (path: string, headers: Record<string, string>) => {
      const response = await site.fetch(path, { headers })
      return [response.headers.get('etag'), response.headers.get('content-type'), await response.text()]
    }
    const frames = await get(`${instancePath}/frames/1,2`, { Accept: 'multipart/related; type="*/*"' })
    expect(await get(`${instancePath}/frames/1,2`, { Accept: 'multipart/related; type="*/*"' })).toEqual(frames)
    const boundary = /boundary=([\w-]+)$/.exec(frames[1] ?? '')?.[1] ?? ''
    expect(frames[2]).toBe(
      `--${boundary}\r\nContent-Type: image/jp2\r\n\r\none\r\n` +
        `--${boundary}\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n--${boundary}--\r\n`,
    )
    expect(await get(metadata, xml)).toEqual(await get(metadata, xml))
  })

  it('says how long it is', async () => {
    for (const [path, headers] of [
      [frame, alone],
      [frame, inParts],
      [metadata, json],
    ] as const) {
      const response = await site.fetch(path, { headers })
      expect(Number(response.headers.get('content-length'))).toBe((await response.arrayBuffer()).byteLength)
    }
  })

  it('is the same list of datasets as ever', async () => {
    expect(await (await site.fetch(metadata, { headers: json })).json()).toEqual([dataset(1), dataset(2)])
    site.services.onMetadata = async () => datasetsInHand(dataset(3))
    expect(await (await site.fetch(metadata, { headers: json })).json()).toEqual([dataset(3)])
  })

  it('keeps its warnings', async () => {
    const warnings = ['Results are incomplete: cluster south timed-out']
    site.services.onMetadata = async () => ({ ...datasetsInHand(dataset(1)), status: 206, warnings })
    const first = await site.fetch(metadata, { headers: json })
    const headers = { ...json, 'If-None-Match': first.headers.get('etag') ?? '' }
    for (const response of [first, await site.fetch(metadata, { headers })]) {
      expect(response.headers.get('warning')).toContain('cluster south timed-out')
    }
  })

  it('that is bulk data of several parts does not come as the first of them', async () => {
    site.services.onRetrieve = async () => partsInHand(['image/jp2', 'one'], ['image/jp2', 'two'])
    const response = await site.fetch(`${instancePath}/bulkdata/abc`)
    expect(await response.text()).toMatch(/one\r\n[\s\S]*\r\ntwo/)
    expect((await site.fetch(`${instancePath}/bulkdata/abc`, { headers: { Accept: 'image/jp2' } })).status).toBe(406)
  })

  it('of the type a cluster would be obliged to hide', async () => {
    site.services.onRetrieve = async () => partsInHand(['no type\r\nX: y', 'pixels'])
    const response = await site.fetch(frame, { headers: { Accept: 'application/octet-stream' } })
    expect(response.headers.get('content-type')).toBe('application/octet-stream')
  })
})

describe('If-None-Match', () => {
  it.each([
    ['in a list', (tag: string) => `"other" ,${tag}, "more"`],
    ['as a weak one', (tag: string) => `W/${tag}`],
    ['as anything', () => '*'],
    ['in a list with nonsense', (tag: string) => `nonsense, ${tag}`],
  ])('is met by the entity tag %s', async (_, header) => {
    const headers = { ...alone, 'If-None-Match': header(await tagOf(frame, alone)) }
    expect((await site.fetch(frame, { headers })).status).toBe(304)
  })

  it.each([
    ['another one', () => '"other"'],
    ['its beginning', (tag: string) => `${tag.slice(0, -3)}"`],
    ['one without quotes', (tag: string) => tag.replaceAll('"', '')],
    ['nonsense', () => '"""'],
    ['nothing', () => ''],
  ])('is not met by %s', async (_, header) => {
    const headers = { ...alone, 'If-None-Match': header(await tagOf(frame, alone)) }
    const response = await site.fetch(frame, { headers })
    expect([response.status, await response.text()]).toEqual([200, 'pixels'])
  })

  it('of another content is not met', async () => {
    const headers = { ...alone, 'If-None-Match': await tagOf(frame, alone) }
    site.services.onRetrieve = async () => partsInHand(['image/jpeg', 'pixelz'])
    expect((await site.fetch(frame, { headers })).status).toBe(200)
  })

  it('is evaluated before a range', async () => {
    const tag = await tagOf(frame, alone)
    const headers = { ...alone, 'If-None-Match': tag, Range: 'bytes=0-1' }
    expect((await site.fetch(frame, { headers })).status).toBe(304)
  })
})

describe('If-Match', () => {
  it.each([
    ['the entity tag', (tag: string) => tag, 200],
    ['a list with it', (tag: string) => `"other", ${tag}`, 200],
    ['anything', () => '*', 200],
    ['another one', () => '"other"', 412],
    ['a weak one', (tag: string) => `W/${tag}`, 412],
    ['nonsense', () => 'nonsense', 400],
  ])('of %s', async (_, header, status) => {
    const headers = { ...alone, 'If-Match': header(await tagOf(frame, alone)) }
    const response = await site.fetch(frame, { headers })
    expect(response.status).toBe(status)
    if (status !== 200) expect(response.headers.get('cache-control')).toBe('no-store')
  })
})

it('If-Match is not met by a weak entity tag, though it is the one of the answer', async () => {
  site.services.onMetadata = async () => datasetsInHand(dataset(1, 'x'.repeat(2000)))
  const headers = { ...json, 'Accept-Encoding': 'gzip' }
  const tag = await tagOf(metadata, headers)
  expect(tag).toMatch(/^W\//)
  expect((await site.fetch(metadata, { headers: { ...headers, 'If-Match': tag } })).status).toBe(412)
})

describe('HEAD', () => {
  /** Everything but the date, the id of the request, and how the body is framed that is not there. */
  const headOf = (text: string) =>
    (text.split('\r\n\r\n')[0] ?? '')
      .split('\r\n')
      .filter((line) => !/^(date|x-request-id|transfer-encoding):/i.test(line))
      .toSorted()

  async function ask(method: string, path: string, headers: Record<string, string>): Promise<string> {
    using client = await RawClient.open(site.address)
    const lines = Object.entries({ Host: '127.0.0.1', Connection: 'close', ...headers })
    client.send(`${method} ${path} HTTP/1.1\r\n${lines.map((line) => `${line.join(': ')}\r\n`).join('')}\r\n`)
    await client.closed
    return client.text
  }

  it.each([
    ['a frame', frame, alone],
    ['a frame in a part', frame, inParts],
    ['metadata', metadata, json],
    ['metadata in XML', metadata, xml],
    ['compressed metadata', metadata, { ...json, 'Accept-Encoding': 'gzip' }],
    ['a frame of which a range is asked for, which is for GET', frame, { ...alone, Range: 'bytes=0-1' }],
  ])('has the headers of GET and no body: %s', async (_, path, headers) => {
    const { Range: __, ...plain }: Record<string, string> = headers
    const [head, get] = [await ask('HEAD', path, headers), await ask('GET', path, plain)]
    expect(head).toMatch(/^HTTP\/1\.1 200 /)
    expect(headOf(head)).toEqual(headOf(get))
    expect(head.split('\r\n\r\n')[1]).toBe('')
  })

  it('of what comes as a stream has its length, and the source is let go', async () => {
    let isReturned = false
    site.services.onRetrieve = async () => {
      async function* parts() {
        try {
          yield { ...part('image/jpeg', 'pixels'), length: 6 }
        } finally {
          isReturned = true
        }
      }
      return whole(parts())
    }
    expect(await ask('HEAD', frame, alone)).toMatch(/content-length: 6\r\n/i)
    expect(isReturned).toBe(true)
  })

  it('of what the client has is a 304', async () => {
    const headers = { ...alone, 'If-None-Match': await tagOf(frame, alone) }
    expect(await ask('HEAD', frame, headers)).toMatch(/^HTTP\/1\.1 304 /)
  })
})

describe('what comes as a stream', () => {
  it('has no entity tag and stays out of caches', async () => {
    site.services.onRetrieve = async () => whole(partsOf(part('image/jpeg', 'pixels')))
    const { headers } = await site.fetch(frame, { headers: alone })
    expect(headers.get('etag')).toBeNull()
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('vary')).toMatch(/^Accept\b(?!-)/)
  })
})

describe('metadata', () => {
  const gzip = { ...json, 'Accept-Encoding': 'gzip' }
  const large = [1, 2, 3].map((number) => dataset(number, 'x'.repeat(1000)))

  async function rawOf(headers: Record<string, string>) {
    using client = await RawClient.open(site.address)
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    client.get(metadata, `${lines.join('')}Connection: close\r\n`)
    await client.closed
    return client.text
  }

  it.each(['in memory', 'as a stream'])('that is %s is compressed for clients that like it', async (how) => {
    site.services.onMetadata = async () => (how === 'in memory' ? datasetsInHand(...large) : whole(iterate(large)))
    for (const [headers, pattern] of [
      [gzip, /^\[\{"00080018"/],
      [{ ...gzip, Accept: xml.Accept }, /^--dicomweb-link-[\w-]+\r\n/],
    ] as const) {
      const response = await site.fetch(metadata, { headers })
      expect(response.headers.get('content-encoding')).toBe('gzip')
      expect(response.headers.get('vary')).toMatch(/^Accept, Accept-Encoding\b/)
      expect(await response.text()).toMatch(pattern)
    }
    expect((await rawOf(gzip)).length).toBeLessThan(1500)
  })

  it('that is small is not worth it', async () => {
    site.services.onMetadata = async () => datasetsInHand(dataset(1))
    expect((await site.fetch(metadata, { headers: gzip })).headers.get('content-encoding')).toBeNull()
  })

  it('that is compressed has a weak entity tag of its own', async () => {
    site.services.onMetadata = async () => datasetsInHand(...large)
    const [packed, plain] = [await tagOf(metadata, gzip), await tagOf(metadata, json)]
    expect(packed).toMatch(/^W\//)
    expect(plain).not.toMatch(/^W\//)
    expect(packed.slice(2)).not.toBe(plain)
  })

  it('that breaks off while it is compressed ends as a reset connection', async () => {
    const begun = Promise.withResolvers<void>()
    site.services.onMetadata = async () =>
      whole(
        (async function* () {
          // What does not compress comes out as it goes in.
          yield dataset(
            1,
            Buffer.from(Array.from({ length: 200_000 }, (_, at) => (at * 7919) % 251)).toString('base64'),
          )
          await begun.promise
          throw new Error('broke off')
        })(),
      )
    using client = await RawClient.open(site.address)
    client.get(metadata, 'Accept-Encoding: gzip\r\n')
    await client.until('gzip')
    begun.resolve()
    await client.closed
    expect(client.error).toMatchObject({ code: 'ECONNRESET' })
  })

  it('that nobody reads is not compressed ahead of its reader', async () => {
    let made = 0
    const returned = signalled()
    site.services.onMetadata = async () =>
      whole(
        (async function* () {
          try {
            for (; made < 5000; made++) yield dataset(made, String(Math.sin(made)).repeat(2000))
          } finally {
            returned.set()
          }
        })(),
      )
    using client = await RawClient.open(site.address)
    client.get(metadata, 'Accept-Encoding: gzip\r\n')
    await client.until('gzip')
    client.socket.destroy()
    await returned.done
    expect(made).toBeLessThan(5000)
  })
})

async function* iterate<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

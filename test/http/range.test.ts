import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseRange, slice } from '../../src/http/range.ts'
import { instancePath, part, partsOf, type Site, startSite, whole } from './harness.ts'
import { partsInHand } from './in-hand.ts'

const content = '0123456789'

describe('a range', () => {
  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=2-4', 2, 3],
    ['bytes=2-', 2, 8],
    ['bytes=9-9', 9, 1],
    ['bytes=2-100', 2, 8],
    ['bytes=-3', 7, 3],
    ['bytes=-100', 0, 10],
    [' Bytes=2-4 ', 2, 3],
  ])('%s of ten bytes begins at %d and has %d', (header, start, length) => {
    expect(parseRange(header, 10)).toEqual({ start, length })
  })

  it.each(['bytes=10-', 'bytes=10-12', 'bytes=999999999999999-', 'bytes=-0'])('%s is not satisfiable', (header) => {
    expect(() => parseRange(header, 10)).toThrow(
      expect.objectContaining({ status: 416, headers: { 'Content-Range': 'bytes */10' } }),
    )
  })

  it.each([
    ['none', undefined],
    ['of several', 'bytes=0-1,3-4'],
    ['of another unit', 'frames=0-1'],
    ['that ends before it begins', 'bytes=5-4'],
    ['that ends before it begins, behind the end', 'bytes=50-40'],
    ['without numbers', 'bytes=-'],
    ['with spaces', 'bytes= 0-1'],
    ['with a sign', 'bytes=+1-2'],
    ['with too many digits', 'bytes=0-9999999999999999'],
    ['that is nonsense', 'bytes'],
    ['that is empty', ''],
  ])('%s is the whole', (_, header) => {
    expect(parseRange(header, 10)).toBeUndefined()
  })

  it.each(['bytes=0-', 'bytes=-1', 'bytes=5-'])('%s of nothing is nothing', (header) => {
    expect(parseRange(header, 0)).toBeUndefined()
  })

  it('is cut out of any chunks', () => {
    for (const texts of [['0123456789'], ['01', '', '234', '56789'], [...content]]) {
      for (let start = 0; start < 10; start++) {
        for (let length = 1; start + length <= 10; length++) {
          const expected = content.slice(start, start + length)
          const buffers = texts.map((text) => Buffer.from(text))
          expect(Buffer.concat(slice(buffers, { start, length })).toString()).toBe(expected)
        }
      }
    }
  })
})

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

const bulk = `${instancePath}/bulkdata/abc`
const get = (headers: Record<string, string>, path = bulk) => site.fetch(path, { headers })

const inMemory = async () => partsInHand(['application/pdf', '0123', '456789'])
const asStream = async () => whole(partsOf({ ...part('application/pdf', '0123', '456789'), length: 10 }))

describe('a body in memory', () => {
  beforeEach(() => {
    site.services.onRetrieve = inMemory
  })

  it('says that parts of it can be had', async () => {
    const response = await get({})
    expect([response.status, response.headers.get('accept-ranges')]).toEqual([200, 'bytes'])
    expect(await response.text()).toBe(content)
  })

  it('gives one of them', async () => {
    const response = await get({ Range: 'bytes=2-5' })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe('bytes 2-5/10')
    expect(response.headers.get('content-length')).toBe('4')
    expect(response.headers.get('content-type')).toBe('application/pdf')
    expect(await response.text()).toBe('2345')
  })

  it('gives none that lies behind its end', async () => {
    const response = await get({ Range: 'bytes=10-' })
    expect(response.status).toBe(416)
    expect(response.headers.get('content-range')).toBe('bytes */10')
    expect(await response.json()).toMatchObject({ status: 416, code: 'bad-request' })
  })

  it('is sent whole for several', async () => {
    const response = await get({ Range: 'bytes=0-1,4-5' })
    expect([response.status, await response.text()]).toEqual([200, content])
  })

  it.each(['"other"', 'W/"other"', 'Tue, 24 Nov 2026 13:00:00 GMT'])(
    'is sent whole for If-Range: %s',
    async (other) => {
      const response = await get({ Range: 'bytes=2-5', 'If-Range': other })
      expect([response.status, await response.text()]).toEqual([200, content])
    },
  )
})

describe('a range', () => {
  it('is given for If-Range with the entity tag, which must be a strong one', async () => {
    site.services.onRetrieve = inMemory
    const tag = (await get({})).headers.get('etag') ?? ''
    const response = await get({ Range: 'bytes=2-5', 'If-Range': tag })
    expect([response.status, response.headers.get('etag'), await response.text()]).toEqual([206, tag, '2345'])
    expect((await get({ Range: 'bytes=2-5', 'If-Range': `W/${tag}` })).status).toBe(200)
  })

  it.each([
    ['a frame', `${instancePath}/frames/1`],
    ['a picture', `${instancePath}/rendered`],
  ])('is given of %s', async (_, path) => {
    site.services.onRetrieve = async () => partsInHand(['image/jpeg', content])
    const response = await get({ Accept: 'image/jpeg', Range: 'bytes=-3' }, path)
    expect([response.status, await response.text()]).toEqual([206, '789'])
  })

  it.each([
    ['in memory', inMemory],
    ['as a stream', asStream],
  ])('is not given of parts, %s', async (_, answer) => {
    site.services.onRetrieve = answer
    const response = await get({ Accept: 'multipart/related; type="application/pdf"', Range: 'bytes=0-1' })
    expect([response.status, response.headers.get('accept-ranges')]).toEqual([200, null])
    expect(await response.text()).toContain(content)
  })

  it.each([
    ['an instance', instancePath, 'application/dicom'],
    ['a frame', `${instancePath}/frames/1`, 'image/jpeg'],
    ['bulk data', bulk, 'application/pdf'],
  ])('is not given of %s on its way: the next one might be of the copy of another cluster', async (_, path, type) => {
    site.services.onRetrieve = async () => whole(partsOf({ ...part(type, content), length: 10 }))
    for (const headers of [{ Range: 'bytes=2-5' }, { Range: 'bytes=10-' }, {}]) {
      const response = await get({ Accept: type, ...headers }, path)
      expect([response.status, response.headers.get('accept-ranges')]).toEqual([200, null])
      expect([response.headers.get('content-length'), await response.text()]).toEqual(['10', content])
    }
  })

  it('is not given of metadata', async () => {
    const response = await get({ Range: 'bytes=0-1' }, `${instancePath}/metadata`)
    expect([response.status, response.headers.get('accept-ranges')]).toEqual([200, null])
  })

  it('can be asked for and read by pages of other origins', async () => {
    await using open = await startSite({ cors: { origins: ['https://viewer.example'] } })
    const preflight = await open.fetch(bulk, {
      method: 'OPTIONS',
      headers: { Origin: 'https://viewer.example', 'Access-Control-Request-Method': 'GET' },
    })
    expect(preflight.headers.get('access-control-allow-headers')).toMatch(/\bRange\b.*\bIf-Range\b/)
    open.services.onRetrieve = inMemory
    const { headers } = await open.fetch(bulk, { headers: { Origin: 'https://viewer.example' } })
    expect(headers.get('access-control-expose-headers')).toMatch(/\bETag\b.*\bContent-Range\b.*\bAccept-Ranges\b/)
  })
})

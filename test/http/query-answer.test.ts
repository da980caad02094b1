import { request } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { parseMediaType } from '../../src/dicom/media-type.ts'
import { readMultipart } from '../../src/dicom/multipart.ts'
import { prefersGzip } from '../../src/http/accept-encoding.ts'
import { readNativeXml } from '../support/native-xml.ts'
import { found, type Site, startSite, study } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite({ cors: { origins: ['https://viewer.example.org'] } })
})
afterEach(() => site.close())

const xml = 'multipart/related; type="application/dicom+xml"'
const rows = (count: number): Dataset[] =>
  Array.from({ length: count }, (_, at) => ({
    '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^<Jürgen>' }] },
    '0020000D': { vr: 'UI', Value: [`1.2.${at}`] },
  }))

interface Answer {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** As it is on the wire: `fetch` would decompress, and ask for it. */
const ask = (headers: Record<string, string>, { path = '/dicom-web/studies', method = 'GET' } = {}) =>
  new Promise<Answer>((resolve, reject) => {
    const asked = request(site.address + path, { method, headers, agent: false }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () =>
        resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }),
      )
    })
    asked.on('error', reject).end()
  })

async function partsOf({ headers, body }: Answer): Promise<{ type: string; text: string }[]> {
  const type = parseMediaType(String(headers['content-type']))
  const limits = { maxParts: 1000, maxPartBytes: 1024 ** 2 }
  const parts: { type: string; text: string }[] = []
  const source = (async function* () {
    yield body
  })()
  for await (const { contentType, body: content } of readMultipart(
    source,
    type?.parameters.get('boundary') ?? '',
    limits,
  )) {
    parts.push({ type: contentType, text: Buffer.concat(await Array.fromAsync(content)).toString() })
  }
  return parts
}

describe('rows in XML', () => {
  it('are a part each, in their order', async () => {
    site.services.onSearch = async () => found(rows(3))
    const answer = await ask({ Accept: xml })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toMatch(/^multipart\/related; type="application\/dicom\+xml"; boundary=/)
    const parts = await partsOf(answer)
    expect(parts.map(({ type }) => type)).toEqual(Array.from({ length: 3 }, () => 'application/dicom+xml'))
    expect(parts.map(({ text }) => readNativeXml(text).map(({ Value }) => Value))).toEqual(
      [0, 1, 2].map((at) => [[{ Alphabetic: 'Müller^<Jürgen>' }], [`1.2.${at}`]]),
    )
  })

  it('are no content when there are none, with the warnings', async () => {
    site.services.onSearch = async () => found([], ['Results are incomplete: cluster b timed-out'])
    const answer = await ask({ Accept: xml })
    expect(answer).toMatchObject({ status: 204, body: Buffer.alloc(0) })
    expect(answer.headers['content-type']).toBeUndefined()
    expect(answer.headers.warning).toBe('299 north: Results are incomplete: cluster b timed-out')
  })

  it('are asked for by the parameter accept, whose plus is a plus', async () => {
    site.services.onSearch = async () => found(rows(1))
    const path = '/dicom-web/studies?accept=multipart/related;type=application/dicom+xml'
    expect(await partsOf(await ask({ Accept: 'application/dicom+json' }, { path }))).toHaveLength(1)
  })
})

describe('metadata in XML', () => {
  it('is a part for each instance, as they come', async () => {
    const answer = await ask({ Accept: xml }, { path: `/dicom-web/studies/${study}/metadata` })
    expect(answer.status).toBe(200)
    expect((await partsOf(answer)).map(({ text }) => readNativeXml(text)[0]?.keyword)).toEqual(['SOPInstanceUID'])
  })
})

describe('compression', () => {
  beforeEach(() => {
    site.services.onSearch = async () => found(rows(50))
  })

  it.each(['application/dicom+json', xml])('%s comes as gzip to who likes it', async (accept) => {
    const compressed = await ask({ Accept: accept, 'Accept-Encoding': 'gzip, deflate, br' })
    const plain = await ask({ Accept: accept })
    expect(compressed.headers['content-encoding']).toBe('gzip')
    expect(compressed.headers['content-type']).toContain(accept.replace(/;.*/, ''))
    expect(Number(compressed.headers['content-length'])).toBe(compressed.body.length)
    expect(compressed.body.length).toBeLessThan(plain.body.length / 4)
    const withoutBoundary = (body: Buffer) => body.toString().replaceAll(/dicomweb-link-[\w-]+/g, '')
    expect(withoutBoundary(gunzipSync(compressed.body))).toBe(withoutBoundary(plain.body))
    expect(plain.headers['content-encoding']).toBeUndefined()
  })

  it('is not for little, nor for who does not name it', async () => {
    expect((await ask({ 'Accept-Encoding': 'br' })).headers['content-encoding']).toBeUndefined()
    expect((await ask({ 'Accept-Encoding': 'gzip;q=0' })).headers['content-encoding']).toBeUndefined()
    site.services.onSearch = async () => found(rows(1))
    expect((await ask({ 'Accept-Encoding': 'gzip' })).headers['content-encoding']).toBeUndefined()
  })

  it('of an answer without its body is said, and its length is not', async () => {
    const { status, headers, body } = await ask({ 'Accept-Encoding': 'gzip' }, { method: 'HEAD' })
    expect({ status, body }).toEqual({ status: 200, body: Buffer.alloc(0) })
    expect(headers['content-encoding']).toBe('gzip')
    expect(headers['content-length']).toBeUndefined()
  })

  it('and form are what an answer varies by, beside its origin', async () => {
    for (const headers of [{}, { Accept: xml }, { 'Accept-Encoding': 'gzip' }]) {
      expect((await ask(headers)).headers.vary).toBe('Accept, Accept-Encoding, Origin')
    }
  })

  it.each([
    [undefined, false],
    ['', false],
    ['gzip', true],
    ['GZIP', true],
    ['x-gzip', true],
    ['deflate, gzip;q=0.5', true],
    ['gzip; q=0', false],
    ['gzip;q=0.000', false],
    ['*', true],
    ['*;q=0', false],
    ['gzip;q=0, *', false],
    ['identity, gzip;q=0.5', false],
    ['identity;q=0.5, gzip;q=0.5', true],
    ['identity;q=0, *;q=0.1', true],
    ['br', false],
    ['gzip;q=2', false],
    ['gzip;level=1', false],
    ['nonsense;;;, gzip', true],
  ])('Accept-Encoding: %s prefers gzip: %s', (header, expected) => {
    expect(prefersGzip(header)).toBe(expected)
  })
})

import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Answer,
  bytes,
  cutShort,
  type FakeArchive,
  json,
  multipart,
  startFakeArchive,
  status,
} from '../support/fake-archive.ts'
import { madeInstance } from '../support/made-instance.ts'
import { messageOf, multipartDicom, type Site, startArchive, startSite } from './site.ts'

const held = madeInstance()
const path = `/studies/${held.study}/series/${held.series}/instances/${held.instance}`
const octetStream = 'application/octet-stream'
const ofBytes = `multipart/related; type="${octetStream}"; boundary=b`
const secret = 'at Object.<anonymous> (/srv/pacs/index.js:1)'

const ui = (value: string) => ({ vr: 'UI', Value: [value] })
const us = (value: number) => ({ vr: 'US', Value: [value] })
const metadata = json([
  {
    '0020000D': ui(held.study),
    '0020000E': ui(held.series),
    '00080018': ui(held.instance),
    '00280010': us(4),
    '00280011': us(4),
    '00280100': us(8),
    '7FE00010': { vr: 'OW', BulkDataURI: `/dicom-web${path}/bulk/1` },
  },
])
const part = bytes(ofBytes, multipart(['value'], { type: octetStream }))

interface Resource {
  /** What the cluster is asked for it by. */
  readonly asked: string | RegExp
  readonly good: Answer
  readonly accept: string
  /** As the good answer comes to the client. */
  readonly holds: string
}

/** Everything there is of an instance. */
const resources: Readonly<Record<string, Resource>> = {
  metadata: { asked: '/metadata', good: metadata, accept: 'application/dicom+json', holds: held.instance },
  instance: {
    asked: new RegExp(`${held.instance}$`),
    good: bytes(multipartDicom, messageOf([held])),
    accept: 'application/dicom; transfer-syntax=*',
    holds: 'DICM',
  },
  frame: { asked: '/frames/1', good: part, accept: `${octetStream}; transfer-syntax=*`, holds: 'value' },
  'pixel data': { asked: '/frames/1', good: part, accept: `${octetStream}; transfer-syntax=*`, holds: 'value' },
  'bulk data': { asked: '/bulk/1', good: part, accept: octetStream, holds: 'value' },
  picture: { asked: '/rendered', good: bytes('image/jpeg', 'value'), accept: 'image/jpeg', holds: 'value' },
}

/** More than the limits of these tests, out of little. */
const bomb = gzipSync(Buffer.alloc(50_000_000, ' '))
const gzipped = { 'Content-Encoding': 'gzip' }
const limits = { maxJsonBytes: 1_000_000, maxPartBytes: 1_000_000, maxParts: 50 }

const endless =
  (type: string, text: string): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'Content-Type': type })
    const more = () => {
      while (!response.destroyed && response.write(text.repeat(1000)));
      response.once('drain', more)
    }
    more()
  }

const toItself: Answer = (request, response) =>
  void response.writeHead(302, { Location: request.url ?? '' }).end(secret)

const badAnswers: readonly (readonly [string, (type: string) => Answer])[] = [
  ['endless headers', (type) => bytes(type, 'x', { 'X-Endless': 'x'.repeat(60_000) })],
  ['a bomb of gzip', (type) => bytes(type, bomb, gzipped)],
  ['what is not gzip although it says so', (type) => bytes(type, secret, gzipped)],
  ['gzip cut short', (type) => bytes(type, gzipSync('x'.repeat(1000)).subarray(0, 20), gzipped)],
  ['a compression nobody asked for', (type) => bytes(type, secret, { 'Content-Encoding': 'br' })],
  ['a redirection to itself', () => toItself],
  ['a redirection elsewhere', () => status(307, secret, { Location: 'http://192.0.2.1/dicom-web' })],
  ['fewer bytes than announced', (type) => cutShort(type, 'val', 1000)],
  ['fewer bytes than announced, of a part', () => cutShort(ofBytes, '--b\r\n\r\nval', 1000)],
  ['an endless body', (type) => endless(type, '     ')],
  ['an endless part', () => endless(ofBytes, 'x')],
  ['an endless header of a part', () => bytes(ofBytes, `--b\r\nX-A: ${'x'.repeat(100_000)}\r\n\r\nvalue\r\n--b--`)],
  ['a boundary of nothing', () => bytes('multipart/related; boundary=""', multipart(['value']))],
  ['no boundary', () => bytes('multipart/related', multipart(['value']))],
  ['another boundary', () => bytes('multipart/related; boundary=c', multipart(['value']))],
  ['a message that does not end', () => bytes(ofBytes, multipart(['val'], { whole: false }))],
  ['nothing with a status of success', (type) => bytes(type, '')],
  ['a page that says what is wrong inside', () => bytes('text/html', `<pre>${secret}</pre>`)],
  ['500 and what is wrong inside', () => status(500, secret)],
]

let north: FakeArchive
let south: FakeArchive
let site: Site

beforeEach(async () => {
  north = await startArchive(held)
  south = await startArchive(held)
  for (const archive of [north, south]) {
    for (const { asked, good } of Object.values(resources)) archive.on(asked, good)
  }
})
afterEach(async () => {
  await site[Symbol.asyncDispose]()
  await north.close()
  await south.close()
})

async function addressOf(name: string): Promise<string> {
  const base = `${site.dicomweb}${path}`
  if (name === 'bulk data') {
    const response = await fetch(`${base}/metadata`, { headers: { Accept: 'application/dicom+json' } })
    const [dataset] = (await response.json()) as Record<string, { BulkDataURI: string }>[]
    return dataset?.['7FE00010']?.BulkDataURI ?? 'nowhere'
  }
  const below = { metadata: '/metadata', frame: '/frames/1', 'pixel data': '/pixeldata', picture: '/rendered' }
  return `${base}${(below as Record<string, string>)[name] ?? ''}`
}

/** The status of an answer and its text, undefined when the connection was aborted. */
async function get(address: string, accept: string): Promise<{ status: number; text: string | undefined }> {
  const response = await fetch(address, { headers: { Accept: accept } })
  const text = await response.text().catch(() => undefined)
  return { status: response.status, text }
}

describe.each(Object.entries(resources))('%s that an archive answers with', (name, { asked, accept, good, holds }) => {
  const type = { metadata: 'application/dicom+json', instance: 'application/dicom', picture: 'image/jpeg' }[name]

  it.each(badAnswers)('%s, comes from the next holder, or is a clear failure', async (_, answer) => {
    const given = answer(type ?? octetStream)
    site = await startSite({ north, south }, { limits, cluster: { timeoutMs: 1000, idleTimeoutMs: 1000 } })
    const address = await addressOf(name)
    north.on(asked, given)
    const before = north.seen.length
    const { status: code, text } = await get(`${address}?1`, accept)
    if (code === 200 && text !== undefined) expect(text).toContain(holds)
    else if (text !== undefined) expect(code).toBeGreaterThanOrEqual(500)
    // The archive is not asked the same again and again.
    expect(north.seen.length - before).toBeLessThan(8)

    south.on(asked, given)
    const failed = await get(`${address}?2`, accept)
    if (failed.status === 200) expect(failed.text ?? '').not.toContain(secret)
    else expect(JSON.parse(failed.text ?? '{}')).toMatchObject({ status: failed.status, code: expect.any(String) })
    expect(failed.text ?? '').not.toMatch(/127\.0\.0\.1|192\.0\.2\.1|index\.js|<pre>/)

    for (const archive of [north, south]) archive.on(asked, good)
    expect((await get(`${address}?3`, accept)).text).toContain(holds)
  })
})

describe('an archive that sends its caller elsewhere', () => {
  it('is not followed, whatever is asked for', async () => {
    await using other = await startFakeArchive()
    site = await startSite({ north })
    const addresses = await Promise.all(Object.keys(resources).map(addressOf))
    north.on('/', (request, response) => {
      response.writeHead(302, { Location: `${other.dicomweb}${request.url}` }).end()
    })
    for (const [index, address] of addresses.entries()) {
      const { accept } = Object.values(resources)[index] as Resource
      const { status: code } = await get(address, accept)
      expect([index, code]).toEqual([index, expect.any(Number)])
      expect(code).toBeGreaterThanOrEqual(500)
    }
    expect(other.seen).toEqual([])
  })
})

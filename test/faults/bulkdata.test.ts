import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Answer,
  bytes,
  cutShort,
  type FakeArchive,
  hangUp,
  json,
  multipart,
  silence,
  status,
} from '../support/fake-archive.ts'
import { madeInstance } from '../support/made-instance.ts'
import { partsIn, type Site, startArchive, startSite } from './site.ts'

const held = madeInstance()
const below = `/studies/${held.study}/series/${held.series}/instances/${held.instance}`
const octetStream = 'application/octet-stream'
const ofBytes = `multipart/related; type="${octetStream}"; boundary=b`

const ui = (value: string) => ({ vr: 'UI', Value: [value] })
const number = (value: number) => ({ vr: 'US', Value: [value] })
const image = {
  '0020000D': ui(held.study),
  '0020000E': ui(held.series),
  '00080018': ui(held.instance),
  '00280010': number(4),
  '00280011': number(4),
  '00280100': number(8),
}

let north: FakeArchive
let south: FakeArchive
let site: Site

beforeEach(async () => {
  north = await startArchive(held)
  south = await startArchive(held)
})
afterEach(async () => {
  await site[Symbol.asyncDispose]()
  await north.close()
  await south.close()
})

const get = (url: string, accept = octetStream) => fetch(url, { headers: { Accept: accept } })
const textOf = async (response: Response) => Buffer.from(await response.arrayBuffer()).toString()

/** What the metadata of the home cluster say of an attribute, top level or in an item. */
async function addressOf(key: string): Promise<string> {
  const response = await get(`${site.dicomweb}${below}/metadata`, 'application/dicom+json')
  const [dataset = {}] = (await response.json()) as Record<string, { BulkDataURI?: string; Value?: object[] }>[]
  const item = dataset['54000100']?.Value?.[1] as typeof dataset | undefined
  return dataset[key]?.BulkDataURI ?? item?.[key]?.BulkDataURI ?? 'nowhere'
}

/** Places that two archives give to the same elements. */
const atNorth = (path: string) => ({ vr: 'OW', BulkDataURI: `/dicom-web${below}/bulk/${path}` })
const atSouth = (path: string) => ({ vr: 'OW', BulkDataURI: `/dicom-web/studies/${held.study}/bulkdata/${path}` })
const waveform = (attribute: object) => ({ vr: 'SQ', Value: [{ '54001010': { vr: 'OW' } }, { '54001010': attribute }] })

const failures: readonly (readonly [string, Answer])[] = [
  ['says 404', status(404)],
  ['says 410', status(410)],
  ['says 500', status(500)],
  ['says 403', status(403)],
  ['says 204', status(204)],
  ['is silent', silence],
  ['hangs up', hangUp],
  ['sends a page', bytes('text/html', '<html>Sign in</html>')],
  ['points elsewhere', status(302, '', { Location: 'http://192.0.2.1/' })],
  ['breaks off', cutShort(octetStream, 'nor', 5)],
  ['leaves the closing boundary out', bytes(ofBytes, multipart(['north'], { whole: false }))],
]

describe('bulk data of which the cluster that named its place', () => {
  it.each(failures)('%s comes from another holder, which keeps it at another place', async (_, answer) => {
    north.on('/metadata', json([{ ...image, '7FE00010': atNorth('1'), '54000100': waveform(atNorth('2')) }]))
    south.on('/metadata', json([{ ...image, '7FE00010': atSouth('x?y=1'), '54000100': waveform(atSouth('z')) }]))
    north.on('/bulk/', bytes(octetStream, 'north'))
    south.on('/bulkdata/x?y=1', bytes(octetStream, 'pixels of south')).on('/bulkdata/z', bytes(octetStream, 'curve'))
    site = await startSite({ north, south }, { cluster: { timeoutMs: 300, idleTimeoutMs: 300 } })
    const [pixels, curve] = [await addressOf('7FE00010'), await addressOf('54001010')]
    expect(await textOf(await get(pixels))).toBe('north')
    north.on('/bulk/', answer)
    expect(await textOf(await get(`${pixels}?again`))).toBe('pixels of south')
    expect(await textOf(await get(curve))).toBe('curve')
  })

  it('is dead comes from another holder', async () => {
    north.on('/metadata', json([{ ...image, '7FE00010': atNorth('1') }]))
    south.on('/metadata', json([{ ...image, '7FE00010': atSouth('x') }])).on('/bulkdata/x', bytes(octetStream, 'south'))
    site = await startSite({ north, south })
    const address = await addressOf('7FE00010')
    await north.close()
    expect(await textOf(await get(address))).toBe('south')
  })

  it.each([
    ['inline', { vr: 'OW', InlineBinary: Buffer.from('inline').toString('base64') }, 'inline'],
    ['as text', { vr: 'LT', Value: ['some text'] }, 'some text '],
    ['as numbers', { vr: 'US', Value: [0x4141, 0x4242] }, 'AABB'],
  ])('does not give it comes from a holder that has it %s', async (_, attribute, expected) => {
    north.on('/metadata', json([{ ...image, '54000100': waveform(atNorth('1')) }])).on('/bulk/', status(404))
    south.on('/metadata', json([{ ...image, '54000100': waveform(attribute) }]))
    site = await startSite({ north, south })
    expect(await textOf(await get(await addressOf('54001010')))).toBe(expected)
  })

  it('does not give it comes as frames from a holder that leaves compressed pixel data out of its metadata', async () => {
    north.on('/metadata', json([{ ...image, '7FE00010': atNorth('1') }])).on('/bulk/', status(404))
    south.on('/metadata', json([{ ...image, '00280008': { vr: 'IS', Value: [2] } }]))
    south.on('/frames/1,2', bytes(ofBytes, multipart(['one', 'two'], { type: 'image/jp2' })))
    site = await startSite({ north, south })
    const response = await get(await addressOf('7FE00010'), `multipart/related; type="${octetStream}"`)
    const parts = partsIn(response.headers.get('content-type') ?? '', Buffer.from(await response.arrayBuffer()))
    expect(parts.map(String)).toEqual(['one', 'two'])
  })

  it('does not give it, nor anybody else, is 404, and 503 while one is silent', async () => {
    north.on('/metadata', json([{ ...image, '54000100': waveform(atNorth('1')) }])).on('/bulk/', status(404))
    south.on('/metadata', json([{ ...image, '54000100': waveform({ vr: 'SQ', Value: [{}] }) }]))
    site = await startSite({ north, south }, { cluster: { timeoutMs: 300 } })
    const address = await addressOf('54001010')
    expect((await get(address)).status).toBe(404)
    south.on('/metadata', silence)
    expect((await get(`${address}?again`)).status).toBe(503)
  })

  it('gives it is not asked of others', async () => {
    north.on('/metadata', json([{ ...image, '7FE00010': atNorth('1') }])).on('/bulk/', bytes(octetStream, 'north'))
    site = await startSite({ north, south })
    const address = await addressOf('7FE00010')
    const asked = south.seen.length
    expect(await textOf(await get(address))).toBe('north')
    expect(south.seen.length).toBe(asked)
  })
})

/** What archives know, and what they say to everything else. */
const single: Answer = (request, response) =>
  (/multipart/.test(request.headers.accept ?? '') ? status(406) : bytes(octetStream, 'value'))(request, response)
const several: Answer = (request, response) => {
  const knows = request.headers.accept === `multipart/related; type="${octetStream}"`
  return (knows ? bytes(ofBytes, multipart(['value'], { type: octetStream })) : status(400))(request, response)
}
const whole = bytes(octetStream, 'value')
const parts = bytes(ofBytes, multipart(['value'], { type: octetStream }))

describe.each([
  ['single parts only', single],
  ['multipart only', several],
  ['single parts whatever is asked', whole],
  ['multipart whatever is asked', parts],
])('bulk data of an archive that speaks %s', (_, answer) => {
  beforeEach(async () => {
    north.on('/metadata', json([{ ...image, '7FE00010': atNorth('1') }])).on('/bulk/', answer)
    site = await startSite({ north })
  })

  it.each([octetStream, '*/*', `${octetStream}, multipart/related;q=0.5`])('comes alone for %s', async (accept) => {
    const response = await get(await addressOf('7FE00010'), accept)
    expect(response.headers.get('content-type')).toBe(octetStream)
    expect(await textOf(response)).toBe('value')
  })

  it.each([
    `multipart/related; type="${octetStream}"`,
    `multipart/related; type=${octetStream}`,
    'multipart/related; type="*/*"',
    `multipart/*, ${octetStream};q=0.5`,
    `${octetStream};q=0, */*`,
  ])('comes in a part for %s', async (accept) => {
    const response = await get(await addressOf('7FE00010'), accept)
    const type = response.headers.get('content-type') ?? ''
    expect(type).toMatch(/^multipart\/related/)
    expect(partsIn(type, Buffer.from(await response.arrayBuffer())).map(String)).toEqual(['value'])
  })
})

describe('bulk data of several parts', () => {
  const values = ['one', 'two', 'three']
  const sized = (kilobytes: number) => values.map((value) => value.padEnd(kilobytes * 1024, '.'))

  it.each([0, 64])('is refused to who takes one, or comes whole (first part of %i KiB)', async (kilobytes) => {
    const answer = bytes(ofBytes, multipart(sized(kilobytes), { type: octetStream }))
    north.on('/metadata', json([{ ...image, '7FE00010': atNorth('1') }])).on('/bulk/', answer)
    site = await startSite({ north }, { limits: { maxBufferedPartBytes: 128 * 1024 } })
    const address = await addressOf('7FE00010')
    expect((await get(address, octetStream)).status).toBe(406)
    const response = await get(address, '*/*')
    const type = response.headers.get('content-type') ?? ''
    expect(partsIn(type, Buffer.from(await response.arrayBuffer()))).toHaveLength(3)
  })

  it('of which the first is larger than what is held back is no whole answer to who takes one', async () => {
    const answer = bytes(ofBytes, multipart(sized(256), { type: octetStream }))
    north.on('/metadata', json([{ ...image, '7FE00010': atNorth('1') }])).on('/bulk/', answer)
    site = await startSite({ north }, { limits: { maxBufferedPartBytes: 1024 } })
    const response = await get(await addressOf('7FE00010'), octetStream)
    await expect(response.arrayBuffer()).rejects.toThrow()
  })
})

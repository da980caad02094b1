import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Answer,
  beginning,
  bytes,
  cutShort,
  type FakeArchive,
  hangUp,
  json,
  silence,
  startFakeArchive,
  status,
} from '../support/fake-archive.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { messageOf, multipartDicom, partOf, partsIn, type Site, startArchive, startSite } from './site.ts'

const study = madeUid()
const series = madeUid()
const held = [1, 2, 3, 4].map((instanceNumber) => madeInstance({ study, series, instanceNumber, grey: instanceNumber }))
const elsewhere = madeInstance()

let north: FakeArchive
let south: FakeArchive
let site: Site

beforeEach(async () => {
  north = await startArchive(...held)
  south = await startArchive(...held, elsewhere)
})
afterEach(async () => {
  await site[Symbol.asyncDispose]()
  await north.close()
  await south.close()
})

const sorted = (files: readonly Uint8Array[]) => files.map((file) => Buffer.from(file).toString('base64')).sort()

async function retrieved(path = `/studies/${study}`): Promise<{ status: number; files: Buffer[] }> {
  const response = await fetch(`${site.dicomweb}${path}`, {
    headers: { Accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' },
  })
  const body = Buffer.from(await response.arrayBuffer())
  const files = response.ok ? partsIn(response.headers.get('content-type') ?? '', body) : []
  return { status: response.status, files }
}

const wholeMessage = messageOf(held)
const inTheMiddle = wholeMessage.length - 900

/** An answer of 200 that announces everything and brings less. */
const announced: Answer = (_request, response) => {
  response.writeHead(200, { 'Content-Type': multipartDicom, 'Content-Length': wholeMessage.length })
  response.write(wholeMessage.subarray(0, inTheMiddle), () => response.destroy())
}

/** As Orthanc does: no length, no chunks, only the end of the connection. */
const untilClose =
  (body: Buffer): Answer =>
  (_request, response) => {
    response.useChunkedEncodingByDefault = false
    response.writeHead(200, { 'Content-Type': multipartDicom, Connection: 'close' }).end(body)
  }

/** A file that announces itself as another: what an archive with a confused index delivers. */
const wrongInstance: Answer = (_request, response) =>
  void response.writeHead(200, { 'Content-Type': multipartDicom }).end(messageOf([elsewhere]))

const ofStudy = new RegExp(`/studies/${study}$`)
const below = /\/studies\/[\d.]+(\/series\/[\d.]+)?(\/instances\/[\d.]+)?$/

const failingRetrievals: readonly (readonly [string, Answer])[] = [
  ['breaks off in the middle of an instance', announced],
  [
    'breaks off in the middle of an instance without having announced a length',
    untilClose(wholeMessage.subarray(0, inTheMiddle)),
  ],
  ['leaves out the closing boundary', untilClose(wholeMessage.subarray(0, -7))],
  ['leaves out instances and closes well', untilClose(messageOf(held.slice(0, 2)))],
  ['closes well before the first instance', untilClose(messageOf([]))],
  ['announces fewer bytes than it has', bytes(multipartDicom, wholeMessage.subarray(0, 700))],
  ['sends another instance', wrongInstance],
  ['sends a page of HTML', bytes('text/html', '<html>Sign in</html>')],
  [
    'sends a page of HTML as a part',
    bytes(multipartDicom, Buffer.concat([partOf(Buffer.from('<html>')), Buffer.from('--b--\r\n')])),
  ],
  ['answers 500', status(500, 'at Object.<anonymous> (/srv/pacs/index.js:1)')],
  ['answers 204', status(204)],
  ['points elsewhere', status(302, '', { Location: 'http://192.0.2.1/dicom-web' })],
  ['hangs up', hangUp],
  [
    'announces another boundary than it uses',
    bytes('multipart/related; type="application/dicom"; boundary=x', wholeMessage),
  ],
]

describe('a study held twice, when its first holder', () => {
  it.each(failingRetrievals)('%s, comes complete and byte for byte', async (_what, answer) => {
    north.on(below, answer)
    site = await startSite({ north, south })
    const { status: code, files } = await retrieved()
    expect(code).toBe(200)
    expect(sorted(files)).toEqual(sorted(held.map((it) => it.bytes)))
  })

  it.each(failingRetrievals)('%s, gives each instance byte for byte', async (_what, answer) => {
    north.on(below, answer)
    site = await startSite({ north, south })
    await (await fetch(`${site.dicomweb}/studies/${study}/series`)).arrayBuffer()
    for (const { series: of, instance, bytes: wanted } of held.slice(0, 2)) {
      const { status: code, files } = await retrieved(`/studies/${study}/series/${of}/instances/${instance}`)
      expect(code).toBe(200)
      expect(sorted(files)).toEqual(sorted([wanted]))
    }
  })

  it('falls silent in the middle, comes complete after the idle timeout', async () => {
    north.on(ofStudy, beginning(multipartDicom, wholeMessage.subarray(0, inTheMiddle) as unknown as string))
    site = await startSite({ north, south }, { cluster: { idleTimeoutMs: 100 } })
    const { files } = await retrieved()
    expect(sorted(files)).toEqual(sorted(held.map((it) => it.bytes)))
  })
})

describe('a study held once, when its holder', () => {
  const mid = failingRetrievals.slice(0, 4)

  it.each(mid)('%s, ends as an aborted connection and never with a closing boundary', async (_what, answer) => {
    north.on(below, answer)
    site = await startSite({ north })
    const response = await fetch(`${site.dicomweb}/studies/${study}`)
    expect(response.status).toBe(200)
    const received: Uint8Array[] = []
    const read = async () => {
      for await (const chunk of response.body ?? []) received.push(chunk)
    }
    await expect(read()).rejects.toThrow()
    const boundary = /boundary=([^;]+)/.exec(response.headers.get('content-type') ?? '')?.[1]
    expect(Buffer.concat(received).toString('latin1')).not.toContain(`--${boundary}--`)
  })

  it.each(failingRetrievals.slice(4))('%s, is a problem and no study', async (_what, answer) => {
    north.on(below, answer)
    site = await startSite({ north })
    const response = await fetch(`${site.dicomweb}/studies/${study}`)
    const text = await response.text()
    expect([502, 503]).toContain(response.status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(text).not.toMatch(/127\.0\.0\.1|192\.0\.2\.1|index\.js|<html>/)
  })

  it('goes on and on with instances nobody misses, is complete without them', async () => {
    const unlisted = madeInstance({ study })
    north.on(ofStudy, (_request, response) => {
      response.writeHead(200, { 'Content-Type': multipartDicom })
      const more = () => {
        while (!response.destroyed && response.write(partOf(unlisted.bytes)));
        response.once('drain', more)
      }
      for (const { bytes: file } of held) response.write(partOf(file))
      more()
    })
    site = await startSite({ north })
    const { files } = await retrieved()
    expect(sorted(files)).toEqual(sorted(held.map((it) => it.bytes)))
  })

  it('comes slowly but never silent for too long, is complete', async () => {
    north.on(ofStudy, drip(multipartDicom, wholeMessage))
    site = await startSite({ north }, { cluster: { idleTimeoutMs: 1000 } })
    const { files } = await retrieved()
    expect(sorted(files)).toEqual(sorted(held.map((it) => it.bytes)))
  })
})

/** A piece in each turn of the timers. */
const drip =
  (contentType: string, body: Buffer, size = 64): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'Content-Type': contentType })
    let at = 0
    const timer = setInterval(() => {
      if (at >= body.length) response.end()
      else response.write(body.subarray(at, at + size))
      at += size
    }, 1)
    response.on('close', () => clearInterval(timer))
  }

/** As archives answer: attributes that were asked for are there, empty or not. */
const row = (it: MadeInstance) => ({
  '00080020': { vr: 'DA', Value: ['20240131'] },
  '00080061': { vr: 'CS' },
  '00100010': { vr: 'PN' },
  '0020000D': { vr: 'UI', Value: [it.study] },
})

/** More than the limit, however long one reads. */
const endless: Answer = (_request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/dicom+json' })
  const more = () => {
    while (!response.destroyed && response.write(`,${JSON.stringify(row(held[0] as MadeInstance))}`.repeat(100)));
    response.once('drain', more)
  }
  response.write('[{}')
  more()
}

const endlessBlanks: Answer = (_request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/dicom+json' })
  const more = () => {
    while (!response.destroyed && response.write(' '.repeat(10_000)));
    response.once('drain', more)
  }
  more()
}

const nested = (depth: number, vr: string) =>
  `[{"0020000D":{"vr":"UI","Value":["${study}"]},"00400275":{"vr":"${vr}","Value":${'['.repeat(depth)}${']'.repeat(depth)}}}]`

const failingSearches: readonly (readonly [string, Answer, string])[] = [
  ['garbage', bytes('application/dicom+json', '\u0000\u0001 garbage'), 'malformed'],
  ['a page of HTML with status 200', bytes('text/html', '<html>Sign in</html>'), 'malformed'],
  ['an object instead of a list', json(row(elsewhere)), 'malformed'],
  ['500', status(500, 'at Object.<anonymous> (/srv/pacs/index.js:1)'), 'failed'],
  ['a redirection', status(307, '', { Location: 'http://192.0.2.1/dicom-web/studies' }), 'malformed'],
  ['endless JSON', endless, 'too-large'],
  ['endless blanks', endlessBlanks, 'too-large'],
  ['endless headers', status(200, '[]', { 'X-Endless': 'x'.repeat(60_000) }), 'too-large'],
  [
    'a bomb of gzip',
    bytes('application/dicom+json', gzipSync(`[${' '.repeat(50_000_000)}]`), { 'Content-Encoding': 'gzip' }),
    'too-large',
  ],
  ['JSON nested without end', bytes('application/dicom+json', nested(100_000, 'UT')), 'malformed'],
  ['fewer bytes than announced', cutShort('application/dicom+json', '[{}', 100), 'truncated'],
  ['nothing', hangUp, 'unreachable'],
]

describe('a query, when one of two clusters answers with', () => {
  it.each(failingSearches)('%s, is answered by the other and names what is missing', async (_what, answer, reason) => {
    south.on('/studies?', answer)
    site = await startSite({ north, south }, { limits: { maxJsonBytes: 1_000_000 } })
    const response = await fetch(`${site.dicomweb}/studies`)
    const rows = (await response.json()) as Record<string, { Value: string[] }>[]
    expect(response.status).toBe(200)
    expect(rows.map((it) => it['0020000D']?.Value[0])).toEqual([study])
    expect(response.headers.get('warning')).toBe(`299 test: Results are incomplete: cluster south ${reason}`)
  })

  it('204, is complete', async () => {
    south.on('/studies?', status(204))
    site = await startSite({ north, south })
    const response = await fetch(`${site.dicomweb}/studies`)
    expect(response.status).toBe(200)
    expect(response.headers.has('warning')).toBe(false)
    expect(await response.json()).toHaveLength(1)
  })

  it('values nested as deep as they may be, is answered', async () => {
    south.on('/studies?', bytes('application/dicom+json', nested(200, 'UT')))
    site = await startSite({ north, south })
    const response = await fetch(`${site.dicomweb}/studies?includefield=00400275`)
    expect(response.status).toBe(200)
  })

  it.each(['LO', 'SQ'])('values of %s that are none, is answered', async (vr) => {
    const odd = [
      null,
      1,
      true,
      '',
      {},
      [],
      { Alphabetic: {} },
      { '00080060': null },
      { '00080060': { vr: 'CS', Value: 'CT' } },
    ]
    const keys = ['00080020', '00080061', '00080060', '00100010', '00201208', '00081190', '00080005']
    const rows = odd.map((value) => ({
      ...row({ ...elsewhere, study: madeUid() }),
      ...Object.fromEntries(keys.map((key) => [key, { vr, Value: [value] }])),
    }))
    south.on('/studies?', json(rows))
    site = await startSite({ north, south })
    for (const query of ['', '?PatientName=a*', '?ModalitiesInStudy=CT', '?StudyDate=20200101-20210101']) {
      const response = await fetch(`${site.dicomweb}/studies${query}`)
      expect([query, response.status, await response.text()]).toEqual([query, 200, expect.any(String)])
    }
  })

  it('a byte now and then, comes at the deadline and lets go of the connection', async () => {
    south.on('/studies?', drip('application/dicom+json', Buffer.from(`[${' '.repeat(1_000_000)}]`), 1))
    site = await startSite({ north, south }, { cluster: { timeoutMs: 300 } })
    const response = await fetch(`${site.dicomweb}/studies`)
    expect(await response.json()).toHaveLength(1)
    expect(response.headers.get('warning')).toContain('cluster south timed-out')
    await Promise.all(south.seen.map(({ ended }) => ended))
  })

  it('silence, comes at the deadline, and later queries do not wait for it any more', async () => {
    south.on('/studies?', silence)
    site = await startSite({ north, south }, { cluster: { timeoutMs: 100 } })
    const warnings: (string | null)[] = []
    while (!warnings.at(-1)?.includes('circuit-open')) {
      const response = await fetch(`${site.dicomweb}/studies`)
      await response.arrayBuffer()
      warnings.push(response.headers.get('warning'))
      expect(warnings.length).toBeLessThan(20)
    }
    expect(warnings[0]).toContain('cluster south timed-out')
    expect(await site.stateOf('south')).toMatchObject({ state: 'down', reason: 'timed-out' })
  })
})

describe('when no cluster answers', () => {
  it('a query is 503 with Retry-After while they are down', async () => {
    await north.close()
    await south.close()
    site = await startSite({ north, south })
    const response = await fetch(`${site.dicomweb}/studies`)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await response.text()).not.toContain('127.0.0.1')
  })

  it('a query is 504 while they hang', async () => {
    north.on('/', silence)
    south.on('/', silence)
    site = await startSite({ north, south }, { cluster: { timeoutMs: 200 } })
    const response = await fetch(`${site.dicomweb}/studies`)
    expect(response.status).toBe(504)
    await response.arrayBuffer()
  })

  it('a study is 503 with Retry-After, not 404', async () => {
    await north.close()
    await south.close()
    site = await startSite({ north, south })
    const response = await fetch(`${site.dicomweb}/studies/${study}`)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
  })
})

describe('an archive that points somewhere else', () => {
  it('is never followed there', async () => {
    await using other = await startFakeArchive()
    const moved = status(302, '', { Location: `${other.dicomweb}/studies` })
    north.on('/', moved)
    south.on(/metadata$/, json([{ ...row(elsewhere), '7FE00010': { vr: 'OW', BulkDataURI: `${other.dicomweb}/x` } }]))
    site = await startSite({ north, south })
    for (const path of ['/studies', `/studies/${study}`, `/studies/${study}/metadata`]) {
      await (await fetch(`${site.dicomweb}${path}`)).arrayBuffer().catch(() => undefined)
    }
    expect(other.seen).toEqual([])
  })
})

const upload = (files: readonly MadeInstance[], path = '/studies') =>
  fetch(`${site.dicomweb}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': multipartDicom },
    body: new Uint8Array(messageOf(files)),
  })

interface StoreAnswer {
  readonly '00081198'?: { Value: { '00081155'?: { Value: string[] } }[] }
  readonly '00081199'?: { Value: { '00081155'?: { Value: string[] } }[] }
}

const stow =
  (answer: Answer): Answer =>
  async (request, response) => {
    request.resume()
    await once(request, 'end')
    await answer(request, response)
  }

const listed = (...uids: string[]): Answer =>
  json({ '00081199': { vr: 'SQ', Value: uids.map((uid) => ({ '00081155': { vr: 'UI', Value: [uid] } })) } })

describe('instances sent to a home cluster that', () => {
  const sent = [madeInstance(), madeInstance()]
  const posts = /\/studies$/

  const falseAnswers: readonly (readonly [string, Answer])[] = [
    ['answers 200 and nothing', bytes('application/dicom+json', '')],
    ['answers 200 with an empty list', listed()],
    ['answers 200 with an empty object', json({})],
    ['lists other instances', listed(madeUid(), madeUid())],
    ['answers 204', status(204)],
  ]

  it.each(falseAnswers)('%s, are not acknowledged', async (_what, answer) => {
    north.on(posts, stow(answer))
    site = await startSite({ north, south })
    const response = await upload(sent)
    const body = (await response.json()) as StoreAnswer
    expect([409, 502]).toContain(response.status)
    expect(body['00081199']).toBeUndefined()
  })

  it.each([
    ['answers a page of HTML', bytes('text/html', '<html>Stored!</html>')],
    ['answers an HTML page said to be JSON', bytes('application/dicom+json', '<html>Stored!</html>')],
    ['points elsewhere', status(307, '', { Location: 'http://192.0.2.1/dicom-web/studies' })],
    ['answers 500', status(500)],
    ['hangs up', (request) => void request.socket.destroy()],
  ] as [string, Answer][])('%s, are not acknowledged, and the client is told to come again', async (_what, answer) => {
    north.on(posts, stow(answer))
    site = await startSite({ north, south })
    const response = await upload(sent)
    const body = (await response.json()) as { code: string } & StoreAnswer
    expect([502, 503]).toContain(response.status)
    expect(body['00081199']).toBeUndefined()
    expect(JSON.stringify(body)).not.toMatch(/127\.0\.0\.1|192\.0\.2\.1|html/)
  })

  it('stores one of two, are told apart', async () => {
    const [first, second] = sent as [MadeInstance, MadeInstance]
    north.on(posts, stow(listed(first.instance)))
    site = await startSite({ north, south })
    const response = await upload(sent)
    expect(response.status).toBe(202)
    const body = (await response.json()) as StoreAnswer
    const uids = (key: keyof StoreAnswer) => body[key]?.Value.map((item) => item['00081155']?.Value[0])
    expect(uids('00081199')).toEqual([first.instance])
    expect(uids('00081198')).toEqual([second.instance])
  })

  it('is down, are refused with 503 and Retry-After', async () => {
    await north.close()
    site = await startSite({ north, south })
    const response = await upload(sent)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await response.json()).not.toHaveProperty('00081199')
  })

  it('hangs, are refused with 503 and Retry-After', async () => {
    north.on('/', silence)
    site = await startSite({ north, south }, { cluster: { timeoutMs: 200 } })
    const response = await upload(sent)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
  })
})

import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { noticeMediaType } from '../../src/link/notice.ts'
import { type FakePeers, fakePeers, noticeId, receiptOf } from './fake-peers.ts'
import { RawClient, type Site, signalled, startSite, study } from './harness.ts'

const path = '/link/v1'
const hash = (key: string) => `sha256:${createHash('sha256').update(key).digest('hex')}`
const auth = {
  apiKeys: [
    { name: 'south', hash: hash('peer'), scopes: ['link'] },
    { name: 'ris', hash: hash('ris'), scopes: ['query', 'retrieve', 'store', 'admin'] },
    { name: 'viewer', hash: hash('viewer'), scopes: ['query', 'retrieve', 'store'] },
  ],
}

let site: Site
let peers: FakePeers
afterEach(() => site.close())

async function start(answers: Parameters<typeof fakePeers>[0] = {}, settings: object = {}): Promise<void> {
  peers = fakePeers(answers)
  site = await startSite(settings, { peers })
}

const notice = (init: { body?: string; headers?: Record<string, string> } = {}) =>
  site.fetch(`${path}/study-updates`, {
    method: 'POST',
    body: init.body ?? '{"a":1}',
    headers: { 'Content-Type': noticeMediaType, 'Idempotency-Key': noticeId, ...init.headers },
  })
const detailOf = async (response: Response) => ((await response.json()) as { detail: string }).detail
const told = {
  noticeId,
  studyInstanceUID: study,
  state: 'ACCEPTED',
  promised: 3,
  held: 0,
  pulled: 0,
  refused: 0,
  receivedAt: '2026-01-31T10:15:00.000Z',
  updatedAt: '2026-01-31T10:15:00.000Z',
}

describe('a notice', () => {
  it('that is new is accepted, and the answer says where its receipt is', async () => {
    await start({}, { publicUrl: 'https://north.example.org/pacs/' })
    const response = await notice()
    expect(response.status).toBe(202)
    expect(response.headers.get('location')).toBe(`https://north.example.org/pacs/link/v1/receipts/${noticeId}`)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual(told)
    expect(peers.asked).toEqual([['receive', Buffer.from('{"a":1}'), noticeId, undefined]])
  })

  it('of an external caller is refused, as are digests, where home does not answer external queries', async () => {
    const clusters = [{ id: 'home', role: 'home', embedded: {}, queries: { external: false } }]
    const outside = { name: 'south', hash: hash('peer'), scopes: ['link'], role: 'external' }
    await start({}, { clusters, auth: { apiKeys: [outside] } })
    const headers = { Authorization: 'Bearer peer' }
    expect((await notice({ headers })).status).toBe(403)
    expect((await site.fetch(`${path}/digests`, { headers })).status).toBe(403)
    expect(peers.asked).toEqual([])
  })

  it.each(['COMPLETE', 'STALE', 'IGNORED_LOOP'] as const)(
    'that is known, or %s, is answered at once',
    async (state) => {
      await start({ receive: async () => ({ receipt: receiptOf({ state }), isNew: false }) })
      const response = await notice()
      expect(response.status).toBe(200)
      expect(response.headers.has('location')).toBe(false)
      expect(await response.json()).toEqual({ ...told, state })
    },
  )

  it.each([
    ['bad-request', 400],
    ['forbidden', 403],
    ['unprocessable', 422],
    ['unavailable', 503],
  ] as const)('that is not taken as %s is answered %d', async (code, status) => {
    await start({
      receive: async () => {
        throw new LinkError(code, 'version: expected an object')
      },
    })
    const response = await notice()
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ code, detail: 'version: expected an object' })
  })

  it.each(['application/json', `${noticeMediaType}; charset=utf-8`])('may be of the type %s', async (type) => {
    await start()
    expect((await notice({ headers: { 'Content-Type': type } })).status).toBe(202)
  })

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'nonsense'])('is not of the type %s', async (type) => {
    await start()
    const response = await notice({ headers: { 'Content-Type': type } })
    expect(response.status).toBe(415)
    expect(await detailOf(response)).toContain(`expected ${noticeMediaType} or application/json`)
    expect(peers.asked).toEqual([])
  })

  it('may have its key in quotes', async () => {
    await start()
    await notice({ headers: { 'Idempotency-Key': `"${noticeId}"` } })
    expect(peers.asked).toEqual([['receive', expect.anything(), noticeId, undefined]])
  })

  it.each(['', 'x', `${noticeId}0`, `"${noticeId}`, noticeId.toUpperCase()])(
    'is refused with the key %j',
    async (key) => {
      await start()
      const response = await notice({ headers: { 'Idempotency-Key': key } })
      expect(response.status).toBe(400)
      expect(await detailOf(response)).toContain('Idempotency-Key: expected the noticeId')
      expect(peers.asked).toEqual([])
    },
  )

  it('is refused above 16 MiB, announced or not', async () => {
    await start()
    using client = await RawClient.open(site.address)
    const head = `POST ${path}/study-updates HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nIdempotency-Key: ${noticeId}\r\n`
    client.send(`${head}Content-Length: ${16 * 1024 ** 2 + 1}\r\n\r\n`)
    await client.until('HTTP/1.1 413')
    using streaming = await RawClient.open(site.address)
    streaming.send(`${head}Transfer-Encoding: chunked\r\n\r\n`)
    streaming.send(`1000001\r\n${'a'.repeat(16 * 1024 ** 2 + 1)}\r\n`)
    await streaming.until('HTTP/1.1 413')
    expect(peers.asked).toEqual([])
  })

  it('of exactly 16 MiB is read', async () => {
    await start()
    expect((await notice({ body: ' '.repeat(16 * 1024 ** 2) })).status).toBe(202)
  })

  it('has to wait while eight others are being taken', async () => {
    const [eight, go] = [signalled(), signalled()]
    let running = 0
    await start({
      receive: async () => {
        running++
        if (running === 8) eight.set()
        await go.done
        return { receipt: receiptOf(), isNew: true }
      },
    })
    const taken = Array.from({ length: 8 }, () => notice())
    await eight.done
    const refused = await notice()
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('10')
    expect(await refused.json()).toMatchObject({ code: 'too-many-requests' })
    go.set()
    expect((await Promise.all(taken)).map(({ status }) => status)).toEqual(Array(8).fill(202))
    expect((await notice()).status).toBe(202)
  })

  it('that fails gives its place back', async () => {
    await start()
    for (let time = 0; time < 9; time++) {
      expect((await notice({ headers: { 'Content-Type': 'text/plain' } })).status).toBe(415)
    }
    expect((await notice()).status).toBe(202)
  })
})

describe('a receipt', () => {
  it('is read by its id', async () => {
    await start({}, { auth })
    const response = await site.fetch(`${path}/receipts/${noticeId}`, { headers: { Authorization: 'Bearer peer' } })
    expect(await response.json()).toEqual({ ...told, state: 'COMPLETE', held: 1, pulled: 2 })
    expect(peers.asked).toEqual([['receipt', noticeId, 'south']])
  })

  it('tells what a pull failed of', async () => {
    await start({ receipt: async () => receiptOf({ state: 'FAILED', error: 'cluster south: timed-out' }) })
    const response = await site.fetch(`${path}/receipts/${noticeId}`)
    expect(await response.json()).toMatchObject({ state: 'FAILED', error: 'cluster south: timed-out' })
  })

  it('of another, or of nothing, is not found; of no UUID it is a bad request', async () => {
    await start({
      receipt: async () => {
        throw new LinkError('not-found', 'there is no such notice')
      },
    })
    expect((await site.fetch(`${path}/receipts/${noticeId}`)).status).toBe(404)
    expect((await site.fetch(`${path}/receipts/x`)).status).toBe(400)
  })
})

describe('digests', () => {
  const described = { studyInstanceUID: study, instances: 3, digest: 'a'.repeat(64), version: { north: 3 } }

  it('of changed studies are told page by page', async () => {
    await start()
    const response = await site.fetch(`${path}/digests?since=2026-01-31T10:15:00.5Z&cursor=c&limit=200`)
    expect(await response.json()).toEqual({ studies: [described], next: 'more' })
    await site.fetch(`${path}/digests`)
    expect(peers.asked).toEqual([
      ['digests', { since: new Date('2026-01-31T10:15:00.500Z'), cursor: 'c', limit: 200 }, undefined],
      ['digests', { since: undefined, cursor: undefined, limit: 100 }, undefined],
    ])
  })

  it('of some studies are told at once', async () => {
    await start()
    const response = await site.fetch(`${path}/digests?study=${study},1.3`)
    expect(await response.json()).toEqual({ studies: [described], next: null })
    expect(peers.asked).toEqual([['digestsOf', [study, '1.3'], undefined]])
  })

  it.each([
    ['limit=0', 'limit: expected a number from 1 to 200'],
    ['limit=201', 'limit: expected'],
    ['since=yesterday', 'since: expected a time such as'],
    ['since=2026-01-31', 'since: expected'],
    ['since=2026-13-31T10:15:00Z', 'since: expected'],
    ['cursor=', 'cursor: expected the "next"'],
    [`cursor=${'a'.repeat(257)}`, 'cursor: expected'],
    ['study=', 'study: "" is no DICOM UID'],
    ['study=1.2,x', 'study: "x" is no DICOM UID'],
    ['study=1.2&limit=5', 'limit: not together with study'],
    ['study=1.2&study=1.3', 'study: given more than once'],
    [`study=${Array(51).fill('1.2').join(',')}`, 'study: more than 50'],
  ])('for %s are refused', async (query, problem) => {
    await start()
    const response = await site.fetch(`${path}/digests?${query}`)
    expect(response.status).toBe(400)
    expect(await detailOf(response)).toContain(problem)
    expect(peers.asked).toEqual([])
  })
})

describe('tombstones', () => {
  const bury = (body: unknown, headers: Record<string, string> = {}) =>
    site.fetch(`${path}/tombstones`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json', ...headers },
    })

  it('are set for a study or instances of it, and the log says by whom', async () => {
    await start({}, { auth })
    const key = { 'X-API-Key': 'ris' }
    expect((await bury({ studyInstanceUID: study }, key)).status).toBe(204)
    expect((await bury({ studyInstanceUID: study, sopInstanceUIDs: ['1.2', '1.3'] }, key)).status).toBe(204)
    expect(peers.asked).toEqual([
      ['bury', study, undefined, 'key:ris'],
      ['bury', study, ['1.2', '1.3'], 'key:ris'],
    ])
    expect(site.log.filter(({ event }) => event === 'tombstone set')).toMatchObject([
      { principal: 'key:ris', study },
      { principal: 'key:ris', study, instances: 2 },
    ])
  })

  it.each<[unknown, string]>([
    [null, 'body: expected an object'],
    [[], 'studyInstanceUID: expected a UID'],
    [{}, 'studyInstanceUID: expected a UID'],
    [{ studyInstanceUID: 'x' }, 'studyInstanceUID: expected a UID'],
    [{ studyInstanceUID: study, sopInstanceUIDs: [] }, 'sopInstanceUIDs: expected a list of 1 to 10000 UIDs'],
    [{ studyInstanceUID: study, sopInstanceUIDs: '1.2' }, 'sopInstanceUIDs: expected a list'],
    [{ studyInstanceUID: study, sopInstanceUIDs: ['1.2', 'x'] }, 'sopInstanceUIDs[1]: expected a UID'],
    [{ studyInstanceUID: study, sopInstanceUids: ['1.2'] }, 'body: expected studyInstanceUID, sopInstanceUIDs and no'],
  ])('are not set by %j', async (body, problem) => {
    await start()
    const response = await bury(body)
    expect(response.status).toBe(400)
    expect(await detailOf(response)).toContain(problem)
    expect(peers.asked).toEqual([])
  })

  it('are told page by page', async () => {
    await start()
    const first = await (await site.fetch(`${path}/tombstones?limit=1`)).json()
    const at = '2026-01-31T10:15:00.000Z'
    expect(first).toEqual({
      tombstones: [{ studyInstanceUID: study, sopInstanceUID: null, by: 'key:ris', at }],
      next: `${study}/`,
    })
    const second = await (await site.fetch(`${path}/tombstones?cursor=${study}/`)).json()
    expect(second).toMatchObject({ tombstones: [{}, { sopInstanceUID: '1.2.3' }], next: null })
    await site.fetch(`${path}/tombstones?cursor=${study}/1.2.3`)
    expect(peers.asked).toEqual([
      ['tombstones', { after: undefined, limit: 2 }],
      ['tombstones', { after: [study, ''], limit: 101 }],
      ['tombstones', { after: [study, '1.2.3'], limit: 101 }],
    ])
    for (const cursor of ['', 'x/', study, `${study}/x`, `${study}/1/2`]) {
      expect((await site.fetch(`${path}/tombstones?cursor=${cursor}`)).status).toBe(400)
    }
  })

  it('are removed, once', async () => {
    await start({ exhume: async (_, instance) => instance === undefined })
    const remove = (query: string) => site.fetch(`${path}/tombstones/${study}${query}`, { method: 'DELETE' })
    expect((await remove('')).status).toBe(204)
    expect((await remove('?instance=1.2')).status).toBe(404)
    expect((await remove('?instance=x')).status).toBe(400)
    expect(peers.asked).toEqual([
      ['exhume', study, undefined],
      ['exhume', study, '1.2'],
    ])
    expect(site.log.filter(({ event }) => event === 'tombstone removed')).toMatchObject([{ study }])
  })

  it('are not set or removed by a page of another origin', async () => {
    await start()
    const Origin = 'https://evil.example'
    expect((await bury({ studyInstanceUID: study }, { Origin })).status).toBe(403)
    const address = `${path}/tombstones/${study}`
    expect((await site.fetch(address, { method: 'DELETE', headers: { Origin } })).status).toBe(403)
    expect(peers.asked).toEqual([])
  })
})

describe('who may', () => {
  const routes = [
    ['POST', '/study-updates', 'peer'],
    ['GET', `/receipts/${noticeId}`, 'peer'],
    ['GET', '/digests', 'peer'],
    ['GET', '/tombstones', 'ris'],
    ['POST', '/tombstones', 'ris'],
    ['DELETE', `/tombstones/${study}`, 'ris'],
  ] as const
  const ask = (method: string, below: string, key?: string) =>
    site.fetch(path + below, {
      method,
      headers: {
        'Content-Type': 'application/json',
        'Idempotency-Key': noticeId,
        ...(key && { Authorization: `Bearer ${key}` }),
      },
      ...(method === 'POST' && { body: JSON.stringify({ studyInstanceUID: study }) }),
    })

  it.each(routes)('%s %s is decided by the scope', async (method, below, who) => {
    await start({}, { auth })
    expect((await ask(method, below)).status).toBe(401)
    for (const other of ['peer', 'ris', 'viewer'].filter((it) => it !== who)) {
      expect((await ask(method, below, other)).status).toBe(403)
    }
    expect(peers.asked).toEqual([])
    expect((await ask(method, below, who)).status).toBeLessThan(300)
  })

  it.each(routes)('%s %s is not there for a site that is linked with no other', async (method, below) => {
    site = await startSite()
    const response = await ask(method, below)
    expect(response.status).toBe(404)
    expect(await detailOf(response)).toContain('no cluster has a "link"')
  })

  it('a peer is who its key is named for', async () => {
    await start({}, { auth })
    await ask('POST', '/study-updates', 'peer')
    await ask('GET', '/digests', 'peer')
    await ask('GET', '/digests?study=1.2', 'peer')
    expect(peers.asked.map((call) => call.at(-1))).toEqual(['south', 'south', 'south'])
  })

  it('somebody who could be no site has a name that no site has', async () => {
    peers = fakePeers()
    const person = { name: 'oidc:0123456789ab', scopes: new Set(['link'] as const), role: 'internal' } as const
    site = await startSite({ auth }, { peers, authenticate: async () => person })
    await ask('GET', '/digests')
    expect(peers.asked).toMatchObject([['digests', {}, 'oidc:0123456789ab']])
  })
})

describe('DELETE', () => {
  it('is a method of tombstones only', async () => {
    await start()
    const allowed = async (address: string) => {
      const response = await site.fetch(address, { method: 'DELETE' })
      return [response.status, response.headers.get('allow')]
    }
    expect(await allowed(`/dicom-web/studies/${study}`)).toEqual([405, 'GET, HEAD, POST'])
    expect(await allowed(`/link/v1/studies/${study}`)).toEqual([405, 'GET, HEAD, PATCH'])
    expect(await allowed('/link/v1/tombstones')).toEqual([405, 'GET, HEAD, POST'])
  })
})

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LinkClient } from '../../src/clusters/link-client.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { DeadlineExceeded } from '../../src/core/deadline.ts'
import { noTelemetry } from '../../src/core/telemetry.ts'
import { noticeMediaType } from '../../src/link/notice.ts'
import {
  type Answer,
  beginning,
  cutShort,
  type FakeArchive,
  hangUp,
  silence,
  startFakeArchive,
  status,
} from '../support/fake-archive.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { bytesOf, clusterConfig, failureOf, forever, uid } from './setup.ts'

const id = '0f8fad5b-d9cb-469f-a165-70867728950e'
const told = {
  noticeId: id,
  studyInstanceUID: '1.2',
  state: 'ACCEPTED',
  promised: 3,
  held: 0,
  pulled: 0,
  refused: 0,
  receivedAt: '2026-01-31T10:15:00.000Z',
  updatedAt: '2026-01-31T10:15:01.000Z',
}
const at = { receivedAt: new Date(told.receivedAt), updatedAt: new Date(told.updatedAt) }
const { studyInstanceUID: _, ...counts } = told
const receipt = { ...counts, study: '1.2', ...at }
const digest = { studyInstanceUID: '1.2', instances: 3, digest: 'a'.repeat(64), version: { north: 3, south: 1 } }
const notice = { id, body: Buffer.from('{"a":1}') }

const saying =
  (body: unknown, code = 200, type = 'application/json'): Answer =>
  (request, response) => {
    request.resume()
    response.writeHead(code, { 'Content-Type': type }).end(typeof body === 'string' ? body : JSON.stringify(body))
  }

let peer: FakeArchive
let client: LinkClient

function clientOf(overrides: object = {}, clock: Clock = systemClock): LinkClient {
  const { cluster } = clusterConfig(peer.dicomweb, overrides)
  const link = peer.dicomweb.replace('/dicom-web', '/link/v1')
  return new LinkClient({ ...cluster, id: 'south', link }, { site: 'test', clock, telemetry: noTelemetry })
}

beforeEach(async () => {
  peer = await startFakeArchive()
  client = clientOf({ auth: { bearer: { token: 'secret' } } })
})
afterEach(async () => {
  await client.close()
  await peer.close()
})

describe('a notice', () => {
  it('is sent under its id, with the credentials of the cluster, and answered with a receipt', async () => {
    const bodies: string[] = []
    peer.on('/study-updates', async (request, response) => {
      bodies.push((await bytesOf(request)).toString())
      response.writeHead(202, { 'Content-Type': 'application/json' }).end(JSON.stringify(told))
    })
    expect(await client.send(notice, forever())).toEqual(receipt)
    expect(bodies).toEqual(['{"a":1}'])
    expect(peer.seen).toMatchObject([
      {
        method: 'POST',
        url: '/link/v1/study-updates',
        headers: {
          'idempotency-key': id,
          'content-type': noticeMediaType,
          accept: 'application/json',
          authorization: 'Bearer secret',
        },
      },
    ])
  })

  it('is sent once more, the same to the byte, when the connection is lost before the answer', async () => {
    const bodies: string[] = []
    peer.on('/study-updates', async (request, response) => {
      bodies.push((await bytesOf(request)).toString())
      if (bodies.length === 1) return void response.destroy()
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(told))
    })
    expect(await client.send(notice, forever())).toEqual(receipt)
    expect(bodies).toEqual(['{"a":1}', '{"a":1}'])
    expect(peer.seen.map(({ headers }) => headers['idempotency-key'])).toEqual([id, id])
  })

  it('is not sent a third time', async () => {
    peer.on('/study-updates', hangUp)
    expect(await failureOf(client.send(notice, forever()))).toMatchObject({ cluster: 'south', reason: 'unreachable' })
    expect(peer.seen).toHaveLength(2)
  })

  it('is sent again with a new token when the old one is refused', async () => {
    await client.close()
    let tokens = 0
    peer.on('/token', (_request, response) => {
      tokens++
      const token = { access_token: `t${tokens}`, token_type: 'Bearer', expires_in: 3600 }
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(token))
    })
    peer.on('/study-updates', (request, response) =>
      request.headers.authorization === 'Bearer t2'
        ? saying(told, 202)(request, response)
        : status(401)(request, response),
    )
    const tokenUrl = peer.dicomweb.replace('/dicom-web', '/token')
    client = clientOf({ auth: { oauth2: { tokenUrl, clientId: 'north', clientSecret: 'x' } } })
    expect(await client.send(notice, forever())).toEqual(receipt)
    expect(tokens).toBe(2)
  })
})

describe('a receipt', () => {
  it('is asked for by the id of its notice', async () => {
    peer.on(`/receipts/${id}`, saying({ ...told, state: 'FAILED', error: 'cluster north: timed-out', more: [1] }))
    expect(await client.receipt(id, forever())).toEqual({
      ...receipt,
      state: 'FAILED',
      error: 'cluster north: timed-out',
    })
    expect(peer.seen[0]?.url).toBe(`/link/v1/receipts/${id}`)
  })

  it('is not longer for a long error', async () => {
    peer.on('/receipts', saying({ ...told, state: 'FAILED', error: 'a'.repeat(5000) }))
    expect((await client.receipt(id, forever())).error).toBe('a'.repeat(1000))
  })
})

describe('digests', () => {
  it('are asked for page by page', async () => {
    peer.on('/digests', saying({ studies: [digest], next: 'c/2' }))
    const since = new Date('2026-01-31T10:15:00Z')
    const { studyInstanceUID: study, ...rest } = digest
    expect(await client.digests({ since, cursor: 'a&b', limit: 50 }, forever())).toEqual({
      studies: [{ study, ...rest }],
      next: 'c/2',
    })
    expect(Object.fromEntries(new URL(peer.seen[0]?.url ?? '', 'http://x').searchParams)).toEqual({
      since: '2026-01-31T10:15:00.000Z',
      cursor: 'a&b',
      limit: '50',
    })
  })

  it('are asked for of studies, and have no next page then', async () => {
    peer.on('/digests', saying({ studies: [], next: null }))
    expect(await client.digests({ studies: [uid('1.2'), uid('1.3')] }, forever())).toEqual({
      studies: [],
      next: undefined,
    })
    expect(peer.seen[0]?.url).toBe('/link/v1/digests?study=1.2%2C1.3')
  })
})

describe('a peer that does not what it should', () => {
  const endless: Answer = (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' })
    const more = () => {
      while (!response.destroyed && response.write(`"${'a'.repeat(8192)}",`));
    }
    response.on('drain', more)
    response.write('[')
    more()
  }
  const other = '1f8fad5b-d9cb-469f-a165-70867728950e'

  it.each<[string, Answer, string]>([
    ['a refusal', status(403, 'Doe^John'), 'access-denied'],
    ['another body under the same id', status(422, 'Doe^John'), 'rejected'],
    ['too many notices', status(429), 'failed'],
    ['a defect', status(500), 'failed'],
    ['no such receipt', status(404), 'not-found'],
    ['a redirection', status(307, '', { Location: 'http://127.0.0.1:9/elsewhere' }), 'malformed'],
    ['a page', saying('<html>Doe^John</html>', 200, 'text/html'), 'malformed'],
    ['no JSON', saying('{"noticeId": Doe^John'), 'malformed'],
    ['nothing', saying(''), 'malformed'],
    ['a list', saying([told]), 'malformed'],
    ['the receipt of another notice', saying({ ...told, noticeId: other }), 'malformed'],
    ['a state nobody knows', saying({ ...told, state: 'Doe^John' }), 'malformed'],
    ['counts that are none', saying({ ...told, pulled: -1 }), 'malformed'],
    ['a time that is none', saying({ ...told, updatedAt: 'Doe^John' }), 'malformed'],
    ['a study that is none', saying({ ...told, studyInstanceUID: 'Doe^John' }), 'malformed'],
    ['JSON that is deep', saying(`{"noticeId":${'['.repeat(30_000)}${']'.repeat(30_000)}}`), 'malformed'],
    ['a body without end', endless, 'too-large'],
    ['a receipt of more than 64 KiB', saying({ ...told, more: 'a'.repeat(64 * 1024) }), 'too-large'],
    ['half a body', cutShort('application/json', '{"noticeId"', 100), 'truncated'],
  ])('by %s is named for what it is, and its words are not passed on', async (_what, answer, reason) => {
    peer.on('/receipts', answer)
    const failure = await failureOf(client.receipt(id, forever()))
    expect(failure).toMatchObject({ cluster: 'south', reason })
    expect(failure.message).toMatch(/^cluster south: /)
    expect(failure.message).not.toMatch(/127\.0\.0\.1|Doe|elsewhere|secret/)
    expect(peer.seen).toHaveLength(1)
  })

  it.each([
    ['too many studies', { studies: Array.from({ length: 201 }, () => digest) }],
    ['a digest of another kind', { studies: [{ ...digest, digest: 'abc' }] }],
    ['a version with a site of any name', { studies: [{ ...digest, version: { 'Doe^John': 1 } }] }],
    ['a counter that is none', { studies: [{ ...digest, version: { north: 1.5 } }] }],
    [
      'a version with too many sites',
      {
        studies: [{ ...digest, version: Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`s${n}`, 1])) }],
      },
    ],
    ['a cursor that is long', { studies: [], next: 'a'.repeat(300) }],
  ])('by %s in its digests is malformed', async (_what, body) => {
    peer.on('/digests', saying(body))
    const failure = await failureOf(client.digests({ limit: 200 }, forever()))
    expect(failure.reason).toBe('malformed')
    expect(failure.message).not.toContain('Doe')
  })

  it.each([
    ['says nothing', silence],
    ['never ends', beginning('application/json', '{')],
  ])('is waited for a minute when it %s', async (_what, answer) => {
    const clock = new FakeClock()
    const patient = clientOf({ timeoutMs: 3_600_000 }, clock)
    peer.on('/study-updates', answer)
    const failure = failureOf(patient.send(notice, forever()))
    await peer.next()
    await turn()
    await clock.advance(60_000)
    expect((await failure).reason).toBe('timed-out')
    await patient.close()
  })

  it('is left when the caller leaves, who gets its own reason', async () => {
    peer.on('/receipts', silence)
    const leaving = new AbortController()
    const asking = client.receipt(id, leaving.signal)
    const request = await peer.next()
    const reason = new DeadlineExceeded('the time of the caller is up')
    leaving.abort(reason)
    await expect(asking).rejects.toBe(reason)
    expect(await request.ended).toEqual({ complete: false })
  })
})

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { outboxState, type Site, startSite, study } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

const path = '/link/v1/replication'
const uid = parseUid(study, 'test')
const at = new Date('2026-01-31T10:15:00Z')
const letter = (n: number) => ({
  study: parseUid(`${study}.${n}`, 'test'),
  cluster: 'south',
  attempts: 3,
  requestedAt: at,
  failingSince: at,
  deadSince: at,
  error: 'cluster south: timed-out',
})
const post = (address: string, headers: Record<string, string> = {}) =>
  site.fetch(`${path}/${address}`, { method: 'POST', headers })
const problemOf = async (response: Response) => (await response.json()) as { detail: string; code: string }

describe('the state of replication', () => {
  it('is told for each cluster', async () => {
    const lastFailure = { at, error: 'cluster south: timed-out' }
    site.services.onOutbox = { states: async () => [outboxState, { ...outboxState, pausedSince: at, lastFailure }] }
    const response = await site.fetch(path)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual({
      clusters: [
        { ...outboxState, paused: false, pausedSince: null, lastFailure: null },
        {
          ...outboxState,
          paused: true,
          pausedSince: at.toISOString(),
          lastFailure: { ...lastFailure, at: at.toISOString() },
        },
      ],
    })
  })

  it('cannot be told without the database', async () => {
    const states = async () => {
      throw new LinkError('unavailable', 'database: could not count convergence jobs (no code)')
    }
    site.services.onOutbox = { states }
    expect((await site.fetch(path)).status).toBe(503)
  })
})

describe('the updates of a study', () => {
  it('are told: what is on its way, what is not taken, and the changes of each site', async () => {
    const job = { cluster: 'south', state: 'waiting', requestedAt: new Date(0), attempts: 2, error: 'text' } as const
    const refused = { cluster: 'west:pull', instance: parseUid('1.9', 'test'), reason: 0x0111, refusedAt: new Date(0) }
    const updates = { version: { north: 2, west: 1 }, jobs: [job], refused: [refused] }
    site.services.onOutbox = { study: async (it) => ({ study: it, ...updates }) }
    const told = await (await site.fetch(`${path}/studies/${study}`)).json()
    expect(told).toEqual({ studyInstanceUID: study, ...JSON.parse(JSON.stringify(updates)) })
  })

  it('of what is no UID are none', async () => {
    expect((await site.fetch(`${path}/studies/1..2`)).status).toBe(400)
  })
})

describe('dead letters', () => {
  it('are told page by page; the last page has no next one', async () => {
    const all = [1, 2, 3].map(letter)
    site.services.onOutbox = {
      deadLetters: async ({ after, limit }) => (after ? all.slice(2) : all).slice(0, limit),
    }
    const first = (await (await site.fetch(`${path}/dead-letters?limit=2&cluster=south`)).json()) as { next: string }
    expect(first).toEqual({ deadLetters: JSON.parse(JSON.stringify(all.slice(0, 2))), next: `south/${study}.2` })
    const second = await site.fetch(`${path}/dead-letters?limit=2&cursor=${encodeURIComponent(first.next)}`)
    expect(await second.json()).toMatchObject({ deadLetters: [{ study: `${study}.3` }], next: null })
    expect(site.services.asked.map(({ request }) => request)).toEqual([
      { cluster: 'south', limit: 3, after: undefined },
      { cluster: undefined, limit: 3, after: ['south', `${study}.2`] },
    ])
  })

  it('of what is pulled from a peer are told like any', async () => {
    await site.fetch(`${path}/dead-letters?cursor=${encodeURIComponent(`south:pull/${study}`)}`)
    expect(site.services.asked).toMatchObject([{ request: { after: ['south:pull', study] } }])
  })

  it('are told a hundred at a time unless the client says otherwise', async () => {
    await site.fetch(`${path}/dead-letters`)
    expect(site.services.asked).toMatchObject([{ request: { limit: 101 } }])
  })

  it.each([
    ['limit=0', 'limit: expected a number from 1 to 1000'],
    ['limit=1001', 'limit: expected'],
    ['limit=x', 'limit: expected'],
    ['limit=1&limit=2', 'limit: given more than once'],
    ['cursor=x', 'cursor: expected the "next" of the page before'],
    ['cursor=south/x', 'cursor: expected'],
    ['cursor=south/1.2/1.3', 'cursor: expected'],
  ])('of %j are refused: %s', async (query, problem) => {
    const response = await site.fetch(`${path}/dead-letters?${query}`)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).detail).toContain(problem)
    expect(site.services.asked).toEqual([])
  })
})

describe('refused instances', () => {
  it('are told page by page, with the reason', async () => {
    const refusal = (n: number) => ({
      study: uid,
      cluster: 'south',
      instance: parseUid(`9.${n}`, 'test'),
      reason: 0x0122,
      refusedAt: at,
    })
    site.services.onOutbox = { refusals: async () => [refusal(1), refusal(2)] }
    const answer = (await (await site.fetch(`${path}/refused-instances?limit=1`)).json()) as { next: string }
    expect(answer).toMatchObject({ refusedInstances: [{ instance: '9.1', reason: 290 }], next: `south/${study}/9.1` })
    await site.fetch(`${path}/refused-instances?cursor=${answer.next}`)
    expect(site.services.asked[1]).toMatchObject({ request: { after: ['south', study, '9.1'] } })
  })
})

describe('a cluster', () => {
  it('is paused and resumed, and the log says by whom', async () => {
    expect(await (await post('south/pause')).json()).toMatchObject({ cluster: 'south', paused: true })
    expect(await (await post('south/resume')).json()).toMatchObject({ cluster: 'south', paused: false })
    expect(site.services.asked).toMatchObject([
      { service: 'pause', request: 'south' },
      { service: 'resume', request: 'south' },
    ])
    expect(site.log.map(({ event }) => event)).toEqual(
      expect.arrayContaining(['replication paused', 'replication resumed']),
    )
  })

  it('is retried, or one study of it', async () => {
    expect(await (await post('south/retry')).json()).toEqual({ cluster: 'south', studies: 5 })
    await post(`south/retry?study=${study}`)
    expect(site.services.asked.map(({ request }) => request)).toEqual([
      { cluster: 'south', study: undefined },
      { cluster: 'south', study },
    ])
  })

  it.each(['x', '', '1..2'])('is not retried for %j, which is no UID', async (text) => {
    const response = await post(`south/retry?study=${text}`)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).detail).toContain('study:')
    expect(site.services.asked).toEqual([])
  })

  it('that takes no updates is not found', async () => {
    const gone = async () => {
      throw new LinkError('not-found', '"east": no cluster that takes updates has this id')
    }
    site.services.onOutbox = { pause: gone, resume: gone, retry: gone, deadLetters: gone, refusals: gone }
    for (const verb of ['pause', 'resume', 'retry']) {
      const response = await post(`east/${verb}`)
      expect(response.status).toBe(404)
      expect(response.headers.get('content-type')).toContain('application/problem+json')
      expect(await problemOf(response)).toMatchObject({ code: 'not-found', detail: expect.stringContaining('"east"') })
    }
    expect((await site.fetch(`${path}/dead-letters?cluster=east`)).status).toBe(404)
    expect((await site.fetch(`${path}/refused-instances?cluster=east`)).status).toBe(404)
  })

  it('is not operated by a page of another origin', async () => {
    for (const verb of ['pause', 'resume', 'retry']) {
      expect((await post(`south/${verb}`, { Origin: 'https://evil.example' })).status).toBe(403)
      expect((await post(`south/${verb}`, { Origin: 'null' })).status).toBe(403)
    }
    expect(site.services.asked).toEqual([])
    expect((await post('south/pause', { Origin: site.address })).status).toBe(200)
    await using open = await startSite({ cors: { origins: ['https://admin.example'] } })
    const headers = { Origin: 'https://admin.example' }
    expect((await open.fetch(`${path}/south/pause`, { method: 'POST', headers })).status).toBe(200)
  })
})

describe('the scope', () => {
  it.each([
    ['GET', ''],
    ['GET', '/dead-letters'],
    ['GET', '/refused-instances'],
    ['POST', '/south/pause'],
    ['POST', '/south/resume'],
    ['POST', '/south/retry'],
  ])('of %s %s is admin', async (method, below) => {
    const hash = 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918'
    const status = async (scopes: string[]) => {
      await using other = await startSite({ auth: { apiKeys: [{ name: 'a', hash, scopes }] } })
      return (await other.fetch(path + below, { method, headers: { 'X-API-Key': 'admin' } })).status
    }
    expect(await status(['query', 'retrieve', 'store'])).toBe(403)
    expect(await status(['admin'])).toBe(200)
  })
})

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SearchRequest } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { MonitoredCluster } from '../../src/clusters/health.ts'
import { deadline } from '../../src/core/deadline.ts'
import { withRequest } from '../../src/core/request-context.ts'
import { noLog, noTelemetry } from '../../src/core/telemetry.ts'
import {
  beginning,
  bytes,
  type FakeArchive,
  json,
  multipart,
  multipartType,
  silence,
  startFakeArchive,
  status,
} from '../support/fake-archive.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { bytesOf, clusterAt, failureOf, forever, idle, readAll, uid } from './setup.ts'

const anyStudy: SearchRequest = { level: 'study', constraints: [], includeFields: [], limit: 10 }
const study = { kind: 'instances', target: { study: uid('1.2') }, transferSyntax: '*' } as const

describe('the connections to an archive', () => {
  let archive: FakeArchive
  let cluster: PooledCluster

  beforeEach(async () => {
    archive = await startFakeArchive()
    cluster = clusterAt(archive.dicomweb, { cluster: { maxConnections: 2 } })
  })
  afterEach(async () => {
    await cluster.close()
    await archive.close()
  })

  it('are never more than the pool allows; the rest waits in line', async () => {
    const held: ServerResponse[] = []
    archive.on('/studies', (_request, response) => void held.push(response))
    const searches = Array.from({ length: 5 }, () => cluster.search(anyStudy, forever()))
    await archive.next()
    await archive.next()
    expect(cluster.pool).toEqual({ running: 2, waiting: 3 })
    archive.on('/studies', json([]))
    for (const response of held) response.writeHead(200, { 'Content-Type': 'application/dicom+json' }).end('[]')
    await Promise.all(searches)
    expect(archive.connections.most).toBe(2)
    await idle(cluster)
    expect(cluster.pool.waiting).toBe(0)
  })

  it('have a waiting line with an end', async () => {
    archive.on('/studies', silence)
    const leaving = new AbortController()
    const crowd = Array.from({ length: 2 + 2 * 32 }, () => cluster.search(anyStudy, leaving.signal))
    const settled = Promise.allSettled(crowd)
    while (cluster.pool.waiting < 2 * 32) await turn()
    expect((await failureOf(cluster.search(anyStudy, forever()))).reason).toBe('overloaded')
    leaving.abort(new Error('gone home'))
    await settled
    await idle(cluster)
    expect(cluster.pool.waiting).toBe(0)
  })

  it('are waited for no longer than the deadline', async () => {
    const clock = new FakeClock()
    const narrow = clusterAt(archive.dicomweb, { cluster: { maxConnections: 1, timeoutMs: 1000 }, clock })
    archive.on('/studies', beginning(multipartType, ''))
    const parts = await narrow.retrieve(study, forever())
    const waiting = failureOf(narrow.search(anyStudy, forever()))
    while (narrow.pool.waiting === 0) await turn()
    await clock.advance(1000)
    expect((await waiting).reason).toBe('overloaded')
    await parts[Symbol.asyncIterator]().return?.()
    await narrow.close()
  })

  it.each([
    ['in line for the most part', 600, 'overloaded'],
    ['for its answer for the most part', 400, 'timed-out'],
  ] as const)('are told from a cluster that does not answer: waited %s', async (_what, freeAfterMs, reason) => {
    const clock = new FakeClock()
    const narrow = clusterAt(archive.dicomweb, { cluster: { maxConnections: 1, timeoutMs: 1000 }, clock })
    archive.on('/studies', silence).on('/studies/1.2', beginning(multipartType, ''))
    const parts = await narrow.retrieve(study, forever())
    await archive.next()
    const waiting = failureOf(narrow.search(anyStudy, forever()))
    while (narrow.pool.waiting === 0) await turn()
    await clock.advance(freeAfterMs)
    await parts[Symbol.asyncIterator]().return?.()
    await archive.next()
    await clock.advance(1000 - freeAfterMs)
    expect((await waiting).reason).toBe(reason)
    await narrow.close()
  })

  it('that are all busy say nothing of the health of the cluster, whoever gives up waiting for one', async () => {
    const clock = new FakeClock()
    const narrow = clusterAt(archive.dicomweb, { cluster: { maxConnections: 1, timeoutMs: 1000 }, clock })
    const watched = new MonitoredCluster(narrow, { clock, telemetry: noTelemetry, log: noLog })
    archive.on('/studies', beginning(multipartType, ''))
    const parts = await watched.retrieve(study, forever())
    for (let time = 0; time < 10; time++) {
      using budget = deadline(clock, 1000)
      const own = failureOf(watched.search(anyStudy, forever()))
      const callers = watched.search(anyStudy, budget.signal).catch((reason: unknown) => reason)
      while (narrow.pool.waiting < 2) await turn()
      await clock.advance(1000)
      expect((await own).reason).toBe('overloaded')
      expect(await callers).toBe(budget.signal.reason)
    }
    expect(watched.status()).toMatchObject({ state: 'unknown', breaker: 'closed' })
    await parts[Symbol.asyncIterator]().return?.()
    await watched.close()
  })

  it('are closed when the caller leaves before the answer, who gets its own reason back', async () => {
    archive.on('/studies', silence)
    const leaving = new AbortController()
    const reason = new Error('the viewer was closed')
    const search = cluster.search(anyStudy, leaving.signal)
    const request = await archive.next()
    leaving.abort(reason)
    await expect(search).rejects.toBe(reason)
    expect(await request.ended).toEqual({ complete: false })
    await idle(cluster)
    expect(cluster.pool.waiting).toBe(0)
  })

  it('are closed when the caller leaves in the middle of the answer', async () => {
    archive.on('/studies', beginning(multipartType, multipart(['one'], { whole: false })))
    const leaving = new AbortController()
    const reason = new Error('the viewer was closed')
    const parts = await cluster.retrieve(study, leaving.signal)
    const request = await archive.next()
    const reading = readAll(parts)
    leaving.abort(reason)
    await expect(reading).rejects.toBe(reason)
    expect(await request.ended).toEqual({ complete: false })
  })

  it('are closed by leaving the loop over parts', async () => {
    archive.on('/studies', beginning(multipartType, `${multipart(['one'], { whole: false })}--b\r\n\r\ntw`))
    const request = archive.next()
    for await (const part of await cluster.retrieve(study, forever())) {
      expect((await bytesOf(part.body)).toString()).toBe('one')
      break
    }
    expect(await (await request).ended).toEqual({ complete: false })
    await idle(cluster)
  })

  it('are closed by leaving the loop over parts before it began', async () => {
    archive.on('/studies', beginning(multipartType, ''))
    const parts = await cluster.retrieve(study, forever())
    await parts[Symbol.asyncIterator]().return?.()
    expect(await (await archive.next()).ended).toEqual({ complete: false })
  })

  it('hold back an archive that sends faster than the answer is read', async () => {
    let accepted = 0
    let stalled: () => void = () => undefined
    const full = new Promise<void>((resolve) => {
      stalled = resolve
    })
    const chunk = Buffer.alloc(256 * 1024)
    archive.on('/studies', async (_request, response) => {
      response.writeHead(200, { 'Content-Type': multipartType })
      response.write('--b\r\n\r\n')
      for (let sent = 0; sent < 400; sent++) {
        accepted += chunk.length
        if (response.write(chunk)) continue
        const drained = once(response, 'drain').then(() => true)
        // Nobody reads: sooner or later the kernel's buffers are full as well.
        if (sent > 100) stalled()
        await drained
      }
      response.end('\r\n--b--\r\n')
    })
    const parts = await cluster.retrieve(study, forever())
    const iterator = parts[Symbol.asyncIterator]()
    const first = await iterator.next()
    if (first.done === true) throw new Error('no part')
    while (accepted < chunk.length) await turn()
    expect(accepted).toBeLessThan(400 * chunk.length)
    let size = 0
    for await (const bytes of first.value.body) size += bytes.length
    expect(size).toBe(400 * chunk.length)
    expect((await iterator.next()).done).toBe(true)
    await full
  })

  it('are used again, also after answers nobody wanted to read', async () => {
    const single = clusterAt(archive.dicomweb, { cluster: { maxConnections: 1 } })
    archive.on('/studies', json([], { 'Keep-Alive': 'timeout=1' }))
    archive.on('/studies/1.2', status(404, '{"Details":"not here"}'))
    await single.search(anyStudy, forever())
    await failureOf(single.retrieve(study, forever()))
    archive.on('/studies/1.2', bytes(multipartType, multipart(['one'])))
    await readAll(await single.retrieve(study, forever()))
    await single.search(anyStudy, forever())
    expect(archive.connections.ever).toBe(1)
    await single.close()
  })

  it('carry the id of the request they serve and the name of this product', async () => {
    archive.on('/studies', json([]))
    await withRequest({ id: 'abc-123', hops: [] }, () => cluster.search(anyStudy, forever()))
    const [request] = archive.seen
    expect(request?.headers['x-request-id']).toBe('abc-123')
    expect(request?.headers['user-agent']).toMatch(/^dicomweb-link\/\d/)
  })
})

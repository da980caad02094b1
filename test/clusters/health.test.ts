import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Cluster, InstanceUpload, SearchRequest } from '../../src/clusters/cluster.ts'
import { MonitoredCluster } from '../../src/clusters/health.ts'
import { createClusters } from '../../src/clusters/registry.ts'
import { deadline } from '../../src/core/deadline.ts'
import { ClusterError, type FailureReason } from '../../src/core/outcome.ts'
import { noLog, noTelemetry, type Telemetry } from '../../src/core/telemetry.ts'
import type { Part } from '../../src/dicom/multipart.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { bytesOf, failureOf, forever, readAll, uid, uploadsOf } from './setup.ts'

const anyStudy: SearchRequest = { level: 'study', constraints: [], includeFields: [], limit: 10 }
const study = { kind: 'instances', target: { study: uid('1.2') }, transferSyntax: '*' } as const
const breaker = { failuresInRow: 3, window: 20, failureRate: 0.5, backoffMs: 1000, maxBackoffMs: 60_000 }

const failure = (reason: FailureReason, status?: number, cluster = 'north') =>
  new ClusterError(cluster, reason, 'failed on purpose', status === undefined ? {} : { status })

/** A cluster that does what the test tells it, whatever it is asked. */
class Puppet implements Cluster {
  readonly id = 'north'
  readonly role = 'home'
  readonly priority = 0
  readonly timeoutMs = 5000
  asked = 0
  closed = false
  act: (signal: AbortSignal) => Promise<void> = async () => undefined
  parts: () => AsyncIterable<Part> = async function* () {
    // Nothing by default.
  }

  async search(_request: SearchRequest, signal: AbortSignal) {
    await this.#act(signal)
    return { rows: [], truncated: false }
  }
  async *metadata(_target: unknown, signal: AbortSignal) {
    await this.#act(signal)
    yield {}
  }
  async retrieve(_request: unknown, signal: AbortSignal) {
    await this.#act(signal)
    return this.parts()
  }
  async store(uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal) {
    await this.#act(signal)
    for await (const _ of uploads);
    return []
  }
  async probe(signal: AbortSignal) {
    await this.#act(signal)
    return { latencyMs: 1, supports: [], remarks: [] }
  }
  async close() {
    this.closed = true
  }
  #act(signal: AbortSignal): Promise<void> {
    this.asked++
    return this.act(signal)
  }
}

/** An upload that never comes to its first instance. */
const endless = async function* (signal: AbortSignal): AsyncGenerator<InstanceUpload> {
  yield* uploadsOf()
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

describe('the health of a cluster', () => {
  let clock: FakeClock
  let puppet: Puppet
  let cluster: MonitoredCluster
  let calls: string[]

  beforeEach(() => {
    clock = new FakeClock()
    puppet = new Puppet()
    calls = []
    const telemetry: Telemetry = {
      ...noTelemetry,
      clusterCall: ({ operation, result }) => calls.push(`${operation} ${result}`),
    }
    cluster = new MonitoredCluster(puppet, { clock, telemetry, log: noLog, breaker })
  })
  afterEach(() => cluster.close())

  const fails = (reason: FailureReason, status?: number) => {
    puppet.act = async () => {
      throw failure(reason, status)
    }
  }
  const works = () => {
    puppet.act = async () => undefined
  }
  const hangs = () => {
    puppet.act = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const searches = async (times: number) => {
    for (let time = 0; time < times; time++) await cluster.search(anyStudy, forever()).catch(() => undefined)
  }

  it('is unknown before the first answer, then up', async () => {
    expect(cluster.status()).toMatchObject({ state: 'unknown', breaker: 'closed', pool: { running: 0, waiting: 0 } })
    await clock.advance(10)
    await searches(1)
    expect(cluster.status()).toMatchObject({ state: 'up', since: clock.now() })
  })

  it('is down after the first failure when it never was up', async () => {
    fails('unreachable')
    await searches(1)
    expect(cluster.status()).toMatchObject({ state: 'down', reason: 'unreachable', breaker: 'closed' })
  })

  it('survives single failures, and is down when they become many: then nobody waits for it any more', async () => {
    await searches(1)
    fails('timed-out')
    await searches(2)
    expect(cluster.status()).toMatchObject({ state: 'up', breaker: 'closed' })
    await searches(1)
    expect(cluster.status()).toMatchObject({ state: 'down', reason: 'timed-out', breaker: 'open' })
    const { asked } = puppet
    const refused = await failureOf(cluster.search(anyStudy, forever()))
    expect(refused.reason).toBe('circuit-open')
    expect(puppet.asked).toBe(asked)
    expect(calls.at(-1)).toBe('search circuit-open')
  })

  it.each(['not-found', 'gone', 'unsupported', 'rejected', 'too-large'] as const)(
    'is not harmed by "%s", which is about the object',
    async (reason) => {
      fails(reason)
      await searches(10)
      expect(cluster.status()).toMatchObject({ state: 'up', breaker: 'closed' })
    },
  )

  it('is not harmed by a line that is full: that is our own', async () => {
    await searches(1)
    fails('overloaded')
    await searches(10)
    expect(cluster.status()).toMatchObject({ state: 'up', breaker: 'closed' })
  })

  const asksForObjects = {
    retrieve: () => cluster.retrieve(study, forever()).then(readAll),
    metadata: () => Array.fromAsync(cluster.metadata(study.target, forever())),
  }

  it.each([
    ['retrieve', 'closed', 'failed', 500],
    ['metadata', 'closed', 'failed', 500],
    ['retrieve', 'closed', 'malformed', 200],
    ['metadata', 'closed', 'malformed', 200],
    ['retrieve', 'open', 'failed', 503],
    ['metadata', 'open', 'failed', 503],
    // What is no HTTP has no status line.
    ['retrieve', 'open', 'malformed', undefined],
    ['metadata', 'open', 'malformed', undefined],
  ] as const)(
    'is not harmed by damaged objects, and is by being out of order: %s leaves it %s after "%s" (%s)',
    async (operation, state, reason, code) => {
      await searches(1)
      fails(reason, code)
      for (let time = 0; time < 10; time++) await asksForObjects[operation]().catch(() => undefined)
      expect(cluster.status().breaker).toBe(state)
    },
  )

  it('suffers from searches that fail with 500 or give a page instead of rows', async () => {
    await searches(1)
    fails('failed', 500)
    await searches(2)
    fails('malformed', 200)
    await searches(1)
    expect(cluster.status()).toMatchObject({ breaker: 'open', reason: 'malformed' })
  })

  it('is not harmed by callers that leave', async () => {
    await searches(1)
    hangs()
    for (let time = 0; time < 10; time++) {
      const leaving = new AbortController()
      const search = cluster.search(anyStudy, leaving.signal)
      expect(cluster.status().pool.running).toBe(1)
      leaving.abort(new Error('gone'))
      await expect(search).rejects.toThrow('gone')
    }
    expect(cluster.status()).toMatchObject({ state: 'up', breaker: 'closed', pool: { running: 0 } })
    expect(calls.at(-1)).toBe('search cancelled')
  })

  it('suffers when the deadline of a caller passes, if it had a fair part of its time', async () => {
    await searches(1)
    hangs()
    const outOfTime = async (ms: number) => {
      using budget = deadline(clock, ms)
      const thrown = cluster.search(anyStudy, budget.signal).catch((reason: unknown) => reason)
      await clock.advance(ms)
      expect(await thrown).toBe(budget.signal.reason)
    }
    for (let time = 0; time < 10; time++) await outOfTime(10)
    expect(cluster.status().breaker).toBe('closed')
    for (let time = 0; time < 3; time++) await outOfTime(puppet.timeoutMs)
    expect(cluster.status()).toMatchObject({ breaker: 'open', reason: 'timed-out' })
  })

  it('is not harmed by another cluster that fails while an upload is read from it', async () => {
    await searches(1)
    for (let time = 0; time < 10; time++) {
      const uploads = async function* (): AsyncGenerator<InstanceUpload> {
        yield* uploadsOf()
        throw failure('truncated', 200, 'south')
      }
      await failureOf(cluster.store(uploads(), forever()))
    }
    expect(cluster.status()).toMatchObject({ state: 'up', breaker: 'closed' })
    expect(calls.at(-1)).toBe('store cancelled')
  })

  it('is not harmed when the deadline of a caller passes during an upload, whose time is that of its source', async () => {
    await searches(1)
    hangs()
    for (let time = 0; time < 10; time++) {
      using budget = deadline(clock, puppet.timeoutMs)
      const storing = cluster.store(uploadsOf(), budget.signal).catch((reason: unknown) => reason)
      await clock.advance(puppet.timeoutMs)
      expect(await storing).toBe(budget.signal.reason)
    }
    expect(cluster.status().breaker).toBe('closed')
  })

  it('suffers from answers that break off, in a part and between parts', async () => {
    await searches(1)
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('half')
      throw failure('truncated')
    }
    puppet.parts = async function* () {
      yield { contentType: 'application/dicom', body: broken() }
    }
    await failureOf(cluster.retrieve(study, forever()).then(readAll))
    puppet.parts = async function* () {
      yield { contentType: 'application/dicom', body: (async function* () {})() }
      throw failure('truncated')
    }
    await failureOf(cluster.retrieve(study, forever()).then(readAll))
    expect(cluster.status().breaker).toBe('closed')
    await failureOf(cluster.retrieve(study, forever()).then(readAll))
    expect(cluster.status()).toMatchObject({ breaker: 'open', reason: 'truncated' })
    expect(calls.filter((call) => call === 'retrieve truncated')).toHaveLength(3)
  })

  it('counts an answer as running until it has been read or left', async () => {
    puppet.parts = async function* () {
      for (;;) yield { contentType: 'application/dicom', body: (async function* () {})() }
    }
    for await (const part of await cluster.retrieve(study, forever())) {
      await bytesOf(part.body)
      expect(cluster.status().pool.running).toBe(1)
      break
    }
    expect(cluster.status().pool.running).toBe(0)
    expect(calls).toEqual(['retrieve cancelled'])
  })

  it('is judged by metadata as well, which are asked for when they are read', async () => {
    fails('failed')
    const metadata = cluster.metadata({ study: uid('1.2') }, forever())
    expect(puppet.asked).toBe(0)
    await expect(metadata[Symbol.asyncIterator]().next()).rejects.toThrow('failed on purpose')
    expect(cluster.status()).toMatchObject({ state: 'down', reason: 'failed' })
    expect(calls).toEqual(['metadata failed'])
  })

  it.each(['store', 'patient retrieval', 'patient metadata'] as const)(
    'does not shut everybody out while a %s lasts that came when it was due to be tried again',
    async (kind) => {
      fails('unreachable')
      await searches(3)
      await clock.advance(breaker.backoffMs)
      expect(cluster.status().breaker).toBe('half-open')
      const leaving = new AbortController()
      const begin = {
        store: () => cluster.store(endless(leaving.signal), leaving.signal),
        'patient retrieval': () => cluster.retrieve({ ...study, patient: true }, leaving.signal),
        'patient metadata': () => Array.fromAsync(cluster.metadata(study.target, leaving.signal, { patient: true })),
      }
      // It answers once.
      puppet.act = async () => hangs()
      const lasting = begin[kind]().catch((reason: unknown) => reason)
      await turn()
      expect(calls.at(-1)).toBe('probe ok')
      works()
      await searches(1)
      expect(calls.at(-1)).toBe('search ok')
      leaving.abort(new Error('enough'))
      expect(await lasting).toBe(leaving.signal.reason)
    },
  )

  it('refuses a store when the probe before it fails, without reading a byte of it', async () => {
    fails('unreachable')
    await searches(3)
    await clock.advance(breaker.backoffMs)
    let read = false
    const uploads = async function* (): AsyncGenerator<InstanceUpload> {
      read = true
      yield* uploadsOf()
    }
    expect((await failureOf(cluster.store(uploads(), forever()))).reason).toBe('circuit-open')
    expect(calls.slice(-2)).toEqual(['probe unreachable', 'store circuit-open'])
    expect((await failureOf(cluster.store(uploads(), forever()))).reason).toBe('circuit-open')
    expect(read).toBe(false)
    expect(calls.filter((call) => call.startsWith('probe'))).toHaveLength(1)
  })

  it('is probed once for all stores that come when it is due to be tried again', async () => {
    fails('unreachable')
    await searches(3)
    await clock.advance(breaker.backoffMs)
    works()
    await Promise.all([1, 2, 3].map(() => cluster.store(uploadsOf(), forever())))
    expect(calls.slice(-4)).toEqual(['probe ok', 'store ok', 'store ok', 'store ok'])
  })

  it('ends its trial with the first byte of a retrieval', async () => {
    fails('unreachable')
    await searches(3)
    await clock.advance(breaker.backoffMs)
    works()
    puppet.parts = async function* () {
      for (;;) yield { contentType: 'application/dicom', body: (async function* () {})() }
    }
    await cluster.retrieve(study, forever())
    await searches(1)
    expect(calls.at(-1)).toBe('search ok')
  })

  it('measures how long the first byte takes', async () => {
    puppet.act = async () => {
      await clock.advance(100)
    }
    await searches(1)
    expect(cluster.status().latencyMs).toBe(100)
    puppet.act = async () => {
      await clock.advance(200)
    }
    await searches(1)
    expect(cluster.status().latencyMs).toBeCloseTo(120)
  })

  describe('watched in the background', () => {
    const probes = () => calls.filter((call) => call.startsWith('probe')).length

    it('is probed at once', async () => {
      cluster.watch()
      await turn()
      expect(cluster.status().state).toBe('up')
      expect(calls).toEqual(['probe ok'])
    })

    it('comes back by itself when it is well again', async () => {
      await searches(1)
      cluster.watch()
      await turn()
      fails('unreachable')
      await searches(3)
      expect(cluster.status().breaker).toBe('open')
      await turn()
      await clock.advance(1000)
      expect(probes()).toBe(1)
      expect(cluster.status()).toMatchObject({ state: 'down', breaker: 'open' })
      works()
      await clock.advance(1999)
      expect(cluster.status().state).toBe('down')
      await clock.advance(1)
      expect(cluster.status()).toMatchObject({ state: 'up', breaker: 'closed' })
      expect((await cluster.search(anyStudy, forever())).rows).toEqual([])
    })

    it('is found although it was down from the start', async () => {
      fails('unreachable')
      cluster.watch()
      await turn()
      expect(cluster.status()).toMatchObject({ state: 'down', breaker: 'closed' })
      works()
      await clock.advance(1000)
      expect(cluster.status().state).toBe('up')
    })

    it('is probed when nobody asked it for long, and not while it is in use', async () => {
      cluster.watch()
      await turn()
      await clock.advance(20_000)
      await searches(1)
      await clock.advance(10_000)
      expect(probes()).toBe(1)
      await clock.advance(30_000)
      expect(probes()).toBe(2)
    })

    it('that hangs is probed no longer than its deadline', async () => {
      hangs()
      cluster.watch()
      await turn()
      await clock.advance(puppet.timeoutMs)
      expect(cluster.status()).toMatchObject({ state: 'down', reason: 'timed-out' })
    })

    it('is left alone once it is closed', async () => {
      const clusters = createClusters([cluster])
      await turn()
      expect(clusters.home).toBe(cluster)
      expect(clusters.get('north')).toBe(cluster)
      expect(clusters.get('south')).toBeUndefined()
      expect(clusters.status()).toHaveLength(1)
      await clusters.close()
      expect(puppet.closed).toBe(true)
      expect(clock.sleeping).toBe(0)
    })
  })
})

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RetrieveRequest } from '../../src/clusters/cluster.ts'
import { MonitoredCluster } from '../../src/clusters/health.ts'
import { noLog, noTelemetry } from '../../src/core/telemetry.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { forever, readAll, uid } from './setup.ts'

const [study, series, instance] = [uid('1.2'), uid('1.2.3'), uid('1.2.3.4')]
const wholeStudy = { kind: 'instances', target: { study }, transferSyntax: '*' } as const
const oneInstance = { ...wholeStudy, target: { study, series, instance } } as const
const oneFrame = { ...oneInstance, kind: 'frames', frames: [1], mediaType: 'image/jpeg' } as const
const anyStudy = { level: 'study', constraints: [], includeFields: [], limit: 1 } as const
const megabyte = 1024 * 1024
const minute = 60_000

/** Answers after `firstByteMs` with a body of chunks, each of which comes after `chunkMs`. */
class Origin extends MemoryCluster {
  firstByteMs = 0
  chunkMs = 0
  chunks: readonly number[] = []
  fails = false
  inLineMs = 0
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    super('north', { role: 'home' })
    this.#clock = clock
  }

  waitedMs(): number {
    return this.inLineMs
  }

  override async retrieve(_: RetrieveRequest, signal?: AbortSignal): Promise<Parts> {
    await this.#clock.advance(this.firstByteMs)
    signal?.throwIfAborted()
    if (this.fails) throw new Error('failed on purpose')
    return this.#parts()
  }

  async *#parts(): Parts {
    yield { contentType: 'application/dicom', body: this.#body() }
  }

  async *#body(): AsyncGenerator<Uint8Array> {
    for (const size of this.chunks) {
      await this.#clock.advance(this.chunkMs)
      yield new Uint8Array(size)
    }
  }
}

describe('of the retrievals from a cluster', () => {
  let clock: FakeClock
  let origin: Origin
  let cluster: MonitoredCluster
  beforeEach(() => {
    clock = new FakeClock()
    origin = new Origin(clock)
    cluster = new MonitoredCluster(origin, { clock, telemetry: noTelemetry, log: noLog })
  })
  afterEach(() => cluster.close())

  const retrieve = async (firstByteMs: number, request: RetrieveRequest = oneFrame) => {
    origin.firstByteMs = firstByteMs
    await readAll(await cluster.retrieve(request, forever()))
  }
  const times = async (count: number, firstByteMs: number, request?: RetrieveRequest) => {
    for (let time = 0; time < count; time++) await retrieve(firstByteMs, request)
  }

  it('nothing is told before one was measured', () => {
    const { firstByteMs, firstByteP95Ms, bytesPerSecond } = cluster.status()
    expect([firstByteMs, firstByteP95Ms, bytesPerSecond]).toEqual([undefined, undefined, undefined])
  })

  describe('the time to the first byte', () => {
    it('is an average of them alone, and that of searches is one without them', async () => {
      await retrieve(100)
      await cluster.search(anyStudy, forever())
      expect(cluster.status()).toMatchObject({ firstByteMs: 100, latencyMs: 0 })
    })

    it('decays: what was measured last weighs a fifth', async () => {
      await retrieve(100)
      await retrieve(600)
      expect(cluster.status().firstByteMs).toBeCloseTo(200)
    })

    it('stays as it was told until it has moved by a factor of √2', async () => {
      await retrieve(100)
      await retrieve(240)
      expect(cluster.status().firstByteMs).toBe(100)
      await retrieve(240)
      expect(cluster.status().firstByteMs).toBeCloseTo(150.4)
      for (const noise of [90, 190, 120, 180]) await retrieve(noise)
      expect(cluster.status().firstByteMs).toBeCloseTo(150.4)
    })

    it('is without the time in line for a connection', async () => {
      origin.inLineMs = 70
      await retrieve(100)
      expect(cluster.status().firstByteMs).toBe(30)
    })

    it('is forgotten when none was measured for ten minutes', async () => {
      await retrieve(1000)
      await clock.advance(10 * minute)
      expect(cluster.status().firstByteMs).toBe(1000)
      await clock.advance(1)
      expect(cluster.status().firstByteMs).toBeUndefined()
      await retrieve(10)
      expect(cluster.status().firstByteMs).toBe(10)
    })

    it('of none that failed is counted', async () => {
      origin.fails = true
      await expect(retrieve(100)).rejects.toThrow('failed on purpose')
      expect(cluster.status().firstByteMs).toBeUndefined()
    })
  })

  describe('the 95th percentile', () => {
    it('is there from the twentieth on', async () => {
      await times(19, 10)
      expect(cluster.status().firstByteP95Ms).toBeUndefined()
      await retrieve(10)
      expect(cluster.status().firstByteP95Ms).toBe(10)
    })

    it('is what one in twenty takes longer than', async () => {
      for (let ms = 100; ms > 0; ms--) await retrieve(ms)
      for (let ms = 101; ms <= 128; ms++) await retrieve(ms)
      expect(cluster.status().firstByteP95Ms).toBe(122)
    })

    it('is of the last 128', async () => {
      await times(128, 500)
      await times(128, 10)
      expect(cluster.status().firstByteP95Ms).toBe(10)
    })

    it('is of single instances and their frames: a whole study, or a picture, is another matter', async () => {
      const picture = { kind: 'rendered', target: oneFrame.target, mediaTypes: [], parameters: {} } as const
      await times(10, 10, oneInstance)
      await times(10, 10, oneFrame)
      await times(20, 900, wholeStudy)
      await times(20, 900, picture)
      expect(cluster.status().firstByteP95Ms).toBe(10)
    })

    it('has those in it that were given up for being slow, else it would seem ever shorter', async () => {
      await times(24, 10)
      for (let time = 0; time < 8; time++) await giveUpAfter(300)
      expect(cluster.status().firstByteP95Ms).toBe(300)
    })

    it('has those not in it whose client left early', async () => {
      await times(24, 10)
      for (let time = 0; time < 200; time++) await giveUpAfter(1)
      expect(cluster.status().firstByteP95Ms).toBe(10)
    })

    async function giveUpAfter(ms: number): Promise<void> {
      const leaving = new AbortController()
      origin.firstByteMs = ms
      const answer = cluster.retrieve(oneFrame, leaving.signal)
      leaving.abort(new Error('another one was faster'))
      await expect(answer).rejects.toThrow('another one was faster')
    }
  })

  describe('the throughput', () => {
    it('is measured over four megabytes, of however many answers', async () => {
      Object.assign(origin, { chunkMs: 50, chunks: [megabyte] })
      await times(3, 0)
      expect(cluster.status().bytesPerSecond).toBeUndefined()
      await retrieve(0)
      expect(cluster.status().bytesPerSecond).toBe(20 * megabyte)
    })

    it('is known in the middle of a long answer', async () => {
      Object.assign(origin, { chunkMs: 100, chunks: [4 * megabyte, 4 * megabyte] })
      const [part] = [await (await cluster.retrieve(wholeStudy, forever()))[Symbol.asyncIterator]().next()]
      await part?.value.body[Symbol.asyncIterator]().next()
      expect(cluster.status().bytesPerSecond).toBe(40 * megabyte)
    })

    it('counts the time that the cluster takes, not that of a slow client', async () => {
      Object.assign(origin, { chunkMs: 100, chunks: [2 * megabyte, 2 * megabyte] })
      for await (const { body } of await cluster.retrieve(wholeStudy, forever())) {
        for await (const _ of body) await clock.advance(5000)
      }
      expect(cluster.status().bytesPerSecond).toBe(20 * megabyte)
    })

    it('stays as it was told until it has moved by a factor of √2, and is forgotten after ten minutes', async () => {
      Object.assign(origin, { chunkMs: 100, chunks: [4 * megabyte] })
      await retrieve(0)
      origin.chunkMs = 50
      await retrieve(0)
      expect(cluster.status().bytesPerSecond).toBe(40 * megabyte)
      await times(2, 0)
      expect(cluster.status().bytesPerSecond).toBeGreaterThan(57 * megabyte)
      await clock.advance(10 * minute + 1)
      expect(cluster.status().bytesPerSecond).toBeUndefined()
    })
  })
})

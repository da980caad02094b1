import { describe, expect, it } from 'vitest'
import type { RetrieveRequest } from '../../src/clusters/cluster.ts'
import type { ClusterStatus } from '../../src/clusters/registry.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { createRetrieveService } from '../../src/retrieve/service.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { collect, MemoryCluster } from '../support/memory-cluster.ts'
import { noRenderer } from '../support/no-renderer.ts'

const study = madeUid() as Uid
const series = madeUid() as Uid
const instance = madeUid() as Uid
const made = madeInstance({ study, series, instance })
const usualMs = 100

/** Two holders of one instance, the first of which is late when it is told to be. */
function site() {
  const clock = new FakeClock()
  const [north, south] = [new Late('north', made, 9), new Late('south', made, 1)]
  const status = [north, south].map(
    ({ id, role }): ClusterStatus => ({
      id,
      role,
      state: 'up',
      breaker: 'closed',
      since: 0,
      firstByteP95Ms: usualMs,
      pool: { running: 0, waiting: 0 },
    }),
  )
  const service = createRetrieveService({
    clusters: [north, south],
    queries: new Map(),
    status: () => status,
    index: { holdersOf: async () => ['north', 'south'], remember: () => undefined, forget: () => undefined },
    clock,
    bulkdataKey: Buffer.from('key'),
    maxBufferedPartBytes: 1024 * 1024,
    renderer: noRenderer,
    maxRenderedBytes: 1024 * 1024,
  })
  const retrieve = (signal = new AbortController().signal) =>
    service.instances({ target: { study, series, instance }, transferSyntax: '*' }, { audience: 'internal', signal })
  return { clock, north, south, retrieve }
}

/** Lets questions that wait for nothing but each other come to their end. */
async function settle() {
  for (let i = 0; i < 20; i++) await turn()
}

describe('an instance whose holder is later than usual', () => {
  it('comes from the next one, and the first is told that it is not wanted any more', async () => {
    const { clock, north, south, retrieve } = site()
    north.late = true
    const answer = retrieve()
    await settle()
    expect(south.asked).toHaveLength(0)
    await clock.advance(usualMs)
    expect((await collect((await answer).body)).size).toBe(1)
    expect([north.asked.length, south.asked.length]).toEqual([1, 1])
    expect(north.asked[0]?.aborted).toBe(true)
    expect(south.asked[0]?.aborted).toBe(false)
  })

  it('comes from the first after all when the next one fails', async () => {
    const { clock, north, south, retrieve } = site()
    north.late = true
    south.faults.down = 'unreachable'
    const answer = retrieve()
    await settle()
    await clock.advance(usualMs)
    await settle()
    north.deliver()
    expect((await collect((await answer).body)).size).toBe(1)
  })

  it('lets go of what the slower one sends when both deliver at once', async () => {
    const { clock, north, south, retrieve } = site()
    north.late = true
    south.late = true
    const answer = retrieve()
    await settle()
    await clock.advance(usualMs)
    await settle()
    north.deliver()
    south.deliver()
    expect((await collect((await answer).body)).size).toBe(1)
    await settle()
    expect([north.open, south.open]).toEqual([0, 0])
  })

  it('is asked of others for one request in twenty at most', async () => {
    const { clock, north, south, retrieve } = site()
    north.late = true
    for (let request = 0; request < 40; request++) {
      const answer = retrieve()
      await settle()
      await clock.advance(usualMs)
      await settle()
      north.deliver()
      await collect((await answer).body)
    }
    expect(south.asked.length).toBeLessThanOrEqual(3)
    expect(south.asked.length).toBeGreaterThanOrEqual(2)
  })

  it('ends for all when the caller leaves', async () => {
    const { clock, north, south, retrieve } = site()
    north.late = true
    south.late = true
    const leaving = new AbortController()
    const answer = retrieve(leaving.signal)
    await settle()
    await clock.advance(usualMs)
    await settle()
    const reason = new Error('gone')
    leaving.abort(reason)
    await expect(answer).rejects.toBe(reason)
    expect([...north.asked, ...south.asked].map(({ aborted }) => aborted)).toEqual([true, true])
  })
})

/** Waits with every answer until it is told to deliver, when it is told to be late. */
class Late extends MemoryCluster {
  late = false
  readonly asked: AbortSignal[] = []
  /** Answers that were begun and neither read to their end nor left. */
  open = 0
  #release = Promise.withResolvers<void>()

  constructor(id: string, held: MadeInstance, priority: number) {
    super(id, { priority })
    this.add(held)
  }

  deliver(): void {
    this.#release.resolve()
    this.#release = Promise.withResolvers()
  }

  override async retrieve(request: RetrieveRequest, signal?: AbortSignal): Promise<Parts> {
    if (signal) this.asked.push(signal)
    if (this.late) {
      const left = new Promise<never>((_, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason))
      })
      await Promise.race([this.#release.promise, left])
    }
    return this.#watched(await super.retrieve(request))
  }

  async *#watched(parts: Parts): Parts {
    this.open++
    try {
      yield* parts
    } finally {
      this.open--
    }
  }
}

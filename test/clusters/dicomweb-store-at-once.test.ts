import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { InstanceUpload } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { type FakeArchive, startFakeArchive } from '../support/fake-archive.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance } from '../support/made-instance.ts'
import { clusterAt, forever, uploadsOf } from './setup.ts'
import { outcomes, Shelf } from './shelf.ts'

/** Uploads of a slow sender: each but the first comes when it is let go. */
class SlowSender {
  readonly #instances: readonly MadeInstance[]
  readonly #asked = Promise.withResolvers<void>()
  readonly #let = Promise.withResolvers<void>()

  constructor(...instances: readonly MadeInstance[]) {
    this.#instances = instances
  }

  /** The first has been read to its end. */
  get asked(): Promise<void> {
    return this.#asked.promise
  }

  letGo(): void {
    this.#let.resolve()
  }

  breakOff(reason: Error): void {
    this.#let.reject(reason)
  }

  async *uploads(): AsyncGenerator<InstanceUpload> {
    const [first, ...others] = this.#instances
    if (first) yield* uploadsOf(first)
    this.#asked.resolve()
    await this.#let.promise
    yield* uploadsOf(...others)
  }
}

describe('storing the same UIDs at the same time', () => {
  let archive: FakeArchive
  let shelf: Shelf
  let clock: FakeClock
  let cluster: PooledCluster

  beforeEach(async () => {
    archive = await startFakeArchive()
    shelf = new Shelf()
    shelf.attach(archive)
    clock = new FakeClock()
    cluster = clusterAt(archive.dicomweb, { clock, cluster: { maxConnections: 2 } })
  })
  afterEach(async () => {
    await cluster.close()
    await archive.close()
  })

  const store = async (uploads: AsyncIterable<InstanceUpload>, signal = forever()) =>
    outcomes(await cluster.store(uploads, signal))
  /** One instance in two contents. */
  const pair = (study = '1.2') => {
    const one = madeInstance({ study })
    return [one, madeInstance({ ...one, grey: 99 })] as const
  }
  const kept = ({ instance }: MadeInstance) => shelf.held.get(instance)?.content
  const bytes = (made: MadeInstance) => Buffer.from(made.bytes)
  /** Begins to store what will have to wait, which asks the archive nothing before it does. */
  const waiting = async (instance: MadeInstance, signal = forever()) => {
    const storing = store(uploadsOf(instance), signal)
    // A promise that fails later is not unhandled meanwhile.
    storing.catch(() => undefined)
    await turn()
    return { storing }
  }

  it('acknowledges one of two contents, which is the one that is kept', async () => {
    const [one, other] = pair()
    const results = (await Promise.all([store(uploadsOf(one)), store(uploadsOf(other))])).flat()
    expect(results.toSorted()).toEqual([0x0111, 'stored'])
    expect(kept(one)).toEqual(bytes(results[0] === 'stored' ? one : other))
  })

  it('acknowledges the same content to all, and sends it once', async () => {
    const instance = madeInstance({ study: '1.2' })
    const results = await Promise.all([1, 2, 3, 4].map(() => store(uploadsOf(instance))))
    expect(results).toEqual(Array(4).fill(['stored']))
    expect(shelf.requests).toEqual([[instance.instance]])
  })

  it('comes to an end when two calls hold what the other wants', async () => {
    const [x, otherX] = pair()
    const [y, otherY] = pair()
    const [a, b] = [new SlowSender(x, y), new SlowSender(otherY, otherX)]
    const results = Promise.all([store(a.uploads()), store(b.uploads())])
    await Promise.all([a.asked, b.asked])
    a.letGo()
    b.letGo()
    expect(await results).toEqual([
      ['stored', 0x0111],
      ['stored', 0x0111],
    ])
    expect([kept(x), kept(y)]).toEqual([bytes(x), bytes(otherY)])
  })

  it('sends what others wait for without collecting more', async () => {
    const [x, otherX] = pair()
    const [second, third] = [madeInstance({ study: '1.2' }), madeInstance({ study: '1.2' })]
    const sender = new SlowSender(x, second, third)
    const storing = store(sender.uploads())
    await sender.asked
    const { storing: other } = await waiting(otherX)
    sender.letGo()
    expect(await storing).toEqual(['stored', 'stored', 'stored'])
    expect(await other).toEqual([0x0111])
    expect(shelf.requests).toEqual([[x.instance], [second.instance, third.instance]])
  })

  it('sees what another call has stored since it looked', async () => {
    const [x, otherX] = pair()
    const sender = new SlowSender(madeInstance({ study: '1.2' }), otherX)
    const storing = store(sender.uploads())
    await sender.asked
    expect(await store(uploadsOf(x))).toEqual(['stored'])
    sender.letGo()
    expect(await storing).toEqual(['stored', 0x0111])
    expect(kept(x)).toEqual(bytes(x))
  })

  it('goes on when the call that was first breaks off', async () => {
    const [x, otherX] = pair()
    const sender = new SlowSender(x)
    const storing = store(sender.uploads())
    storing.catch(() => undefined)
    await sender.asked
    const { storing: other } = await waiting(otherX)
    sender.breakOff(new Error('the sender is gone'))
    await expect(storing).rejects.toThrow('the sender is gone')
    expect(await other).toEqual(['stored'])
    expect(kept(x)).toEqual(bytes(otherX))
  })

  it('goes on when the caller of the first leaves, whose sender then sends more', async () => {
    const [x, otherX] = pair()
    const [y, otherY] = pair()
    const sender = new SlowSender(x, y)
    const leaving = new AbortController()
    const storing = store(sender.uploads(), leaving.signal)
    storing.catch(() => undefined)
    await sender.asked
    leaving.abort(new Error('gone'))
    sender.letGo()
    await expect(storing).rejects.toThrow('gone')
    expect(await store(uploadsOf(otherX, otherY))).toEqual(['stored', 'stored'])
  })

  it('lets a caller leave that waits', async () => {
    const [x, otherX] = pair()
    const sender = new SlowSender(x)
    const storing = store(sender.uploads())
    await sender.asked
    const leaving = new AbortController()
    const reason = new Error('gone')
    const { storing: other } = await waiting(otherX, leaving.signal)
    leaving.abort(reason)
    await expect(other).rejects.toBe(reason)
    sender.letGo()
    expect(await storing).toEqual(['stored'])
  })

  it('is not waited for longer than a minute: the instance fails and may be sent again', async () => {
    const [x, otherX] = pair()
    const sender = new SlowSender(x)
    const storing = store(sender.uploads())
    await sender.asked
    const { storing: other } = await waiting(otherX)
    await clock.advance(60_000)
    expect(await other).toEqual([0x0110])
    sender.letGo()
    expect(await storing).toEqual(['stored'])
  })
})

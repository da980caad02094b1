import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { InstanceUpload } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { chained } from '../../src/core/chained.ts'
import { type FakeArchive, startFakeArchive, status } from '../support/fake-archive.ts'
import { turn } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { clusterAt, forever, uploadsOf } from './setup.ts'
import { item, outcomes, Shelf, storedList, us } from './shelf.ts'

/** Uploads as the proxy receives small ones: all in memory. */
async function* held(...instances: readonly MadeInstance[]): AsyncGenerator<InstanceUpload> {
  for await (const upload of uploadsOf(...instances)) {
    const chunks = await Array.fromAsync(upload.body)
    yield { ...upload, body: chained(chunks), held: chunks }
  }
}

describe('storing many single instances at once', () => {
  let archive: FakeArchive
  let shelf: Shelf
  let cluster: PooledCluster
  let gate: PromiseWithResolvers<void>

  beforeEach(async () => {
    archive = await startFakeArchive()
    shelf = new Shelf()
    shelf.attach(archive)
    gate = Promise.withResolvers<void>()
    archive.on(/studies$/, async (request, response) => {
      await gate.promise
      await shelf.take(request, response)
    })
    // One request with instances at a time, and a connection beside it.
    cluster = clusterAt(archive.dicomweb, { cluster: { maxConnections: 2 } })
  })
  afterEach(async () => {
    gate.resolve()
    await cluster.close()
    await archive.close()
  })

  const made = (count: number) => Array.from({ length: count }, () => madeInstance({ study: madeUid() }))
  const store = async (instance: MadeInstance, signal = forever()) =>
    outcomes(await cluster.store(held(instance), signal))
  const posts = () => archive.seen.filter(({ method }) => method === 'POST').length
  const until = async (isTrue: () => boolean) => {
    while (!isTrue()) await turn()
  }
  /** The first is on its way, the others have been looked up and wait. */
  const begun = async (instances: readonly MadeInstance[], signals: readonly AbortSignal[] = []) => {
    const [first, ...others] = instances.map((it, index) =>
      store(it, signals[index]).catch((thrown: unknown) => thrown),
    )
    await until(() => archive.seen.filter(({ method }) => method === 'GET').length === instances.length)
    await until(() => posts() > 0 && cluster.pool.running === posts())
    return [first, ...others]
  }

  it('sends one at once, and together what comes meanwhile, byte by byte', async () => {
    const instances = made(5)
    const storing = await begun(instances)
    expect(posts()).toBe(1)
    gate.resolve()
    expect(await Promise.all(storing)).toEqual(Array(5).fill(['stored']))
    expect(shelf.requests.map((uids) => uids.length)).toEqual([1, 4])
    for (const { instance, bytes } of instances) expect(shelf.held.get(instance)?.content).toEqual(Buffer.from(bytes))
  })

  it('sends no more together than 16, and what is large alone', async () => {
    const large = madeInstance({ study: madeUid(), rows: 1100, columns: 1100 })
    const storing = await begun([...made(21), large])
    gate.resolve()
    expect(await Promise.all(storing)).toEqual(Array(22).fill(['stored']))
    const sizes = shelf.requests.map((uids) => uids.length)
    expect(Math.max(...sizes)).toBe(16)
    expect(shelf.requests).toContainEqual([large.instance])
  })

  it('tells each what became of its own', async () => {
    const instances = made(4)
    const [, refused] = instances
    shelf.answer = (uids) => {
      const others = uids.filter((uid) => uid !== refused?.instance)
      const failed = uids.filter((uid) => uid === refused?.instance).map((uid) => item(uid, { '00081197': us(0x0122) }))
      return {
        status: failed.length > 0 ? 202 : 200,
        body: { ...storedList(others), '00081198': { vr: 'SQ', Value: failed } },
      }
    }
    const storing = await begun(instances)
    gate.resolve()
    expect(await Promise.all(storing)).toEqual([['stored'], [0x0122], ['stored'], ['stored']])
  })

  it.each([400, 409, 500, 'reset'] as const)('lets each find out alone when all are answered %s', async (answer) => {
    const instances = made(4)
    const poison = instances[2]?.instance ?? ''
    const storing = await begun(instances)
    shelf.answer = (uids) => {
      if (!uids.includes(poison)) return { status: 200, body: storedList(uids) }
      for (const uid of uids) shelf.held.delete(uid)
      return { status: answer === 'reset' ? 0 : answer, body: {} }
    }
    gate.resolve()
    const [first, second, third, fourth] = await Promise.all(storing)
    expect([first, second, fourth]).toEqual([['stored'], ['stored'], ['stored']])
    const reason = { 500: 'failed', reset: 'unreachable' }[answer as 500 | 'reset']
    expect(third).toEqual(reason ? expect.objectContaining({ reason }) : [0x0110])
    expect(shelf.requests.slice(2).map((uids) => uids.length)).toEqual([1, 1, 1])
  })

  it('does not send again what the archive has after all', async () => {
    const instances = made(4)
    const storing = await begun(instances)
    shelf.answer = () => (shelf.requests.length === 2 ? { status: 0, body: {} } : { status: 200, body: {} })
    gate.resolve()
    const [, ...others] = await Promise.all(storing)
    expect(others).toEqual(Array(3).fill(['stored']))
    expect(posts()).toBe(2)
  })

  it('does not take silence about one for its failure', async () => {
    const instances = made(4)
    const [, refused] = instances
    const storing = await begun(instances)
    shelf.answer = (uids) => {
      if (!refused || !uids.includes(refused.instance)) return { status: 200, body: storedList(uids) }
      shelf.held.delete(refused.instance)
      const failed = [item(refused.instance, { '00081197': us(0x0122) })]
      return { status: 202, body: { '00081198': { vr: 'SQ', Value: failed } } }
    }
    gate.resolve()
    const [, ...others] = await Promise.all(storing)
    expect(others).toEqual([[0x0122], ['stored'], ['stored']])
  })

  it('tells each that the archive does not let them in', async () => {
    const storing = await begun(made(4))
    archive.on(/studies$/, status(403))
    gate.resolve()
    const [, ...others] = await Promise.all(storing)
    expect(others).toMatchObject(Array(3).fill({ reason: 'access-denied' }))
  })

  it('takes back what a caller no longer wants before its turn, and waits for what is on its way', async () => {
    const instances = made(3)
    const [leaving, staying] = [new AbortController(), new AbortController()]
    const storing = await begun(instances, [staying.signal, leaving.signal])
    leaving.abort(new Error('left'))
    staying.abort(new Error('left too late'))
    expect(await storing[1]).toMatchObject({ message: 'left' })
    gate.resolve()
    expect(await storing[0]).toEqual(['stored'])
    expect(await storing[2]).toEqual(['stored'])
    expect(shelf.requests.flat()).not.toContain(instances[1]?.instance)
  })
})

import { describe, expect, it } from 'vitest'
import type { InstanceUpload } from '../../src/clusters/cluster.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { StudyUpdateNotice } from '../../src/link/notice.ts'
import { pullTarget } from '../../src/peers/pull.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { digestsOf, MemorySite, noticeOf } from './memory.ts'

const { signal } = new AbortController()
const secondaryCapture = '1.2.840.10008.5.1.4.1.1.7' as Uid

function setup(made: readonly MadeInstance[], { maxBufferedPartBytes = 1024 * 1024 } = {}) {
  const study = made[0]?.study as Uid
  const [home, peer, site] = [
    new MemoryCluster('north', { role: 'home' }),
    new MemoryCluster('south'),
    new MemorySite(),
  ]
  for (const it of made) peer.add(it)
  const told: string[] = []
  const came: Uid[] = []
  const target = pullTarget(peer, {
    ...{ home, notices: site.notices, refusals: site.refusals, visitors: site.visitors },
    ...{ buriedOf: site.buriedOf, travels: () => true, maxBufferedPartBytes, log: site.log },
    came: (it) => void came.push(it),
    tell: async (to, it) => void told.push(`${to} ${it}`),
  })
  const accept = async (notice: StudyUpdateNotice) => {
    await site.notices.accept(notice, { bodyDigest: '', queue: target.id })
    return () => site.kept.get(notice.noticeId)?.receipt
  }
  const run = () => target.run(study, signal)
  return { study, home, peer, site, told, came, target, accept, run }
}

const series = (count: number, study = madeUid(), uid = madeUid()) =>
  Array.from({ length: count }, (_, index) => madeInstance({ study, series: uid, instanceNumber: index + 1 }))

const uids = (made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()
const heldBy = ({ held }: MemoryCluster) => [...held.keys()].toSorted()

describe('pulling what a peer told of', () => {
  it('brings what is missing byte for byte, as visitors, and joins the version when it is all there', async () => {
    const made = series(3)
    const { study, home, site, came, accept, run } = setup(made)
    home.add(made[0] as MadeInstance)
    const receipt = await accept(noticeOf(study, made, { version: { south: 7 }, digests: await digestsOf(made) }))
    expect(await run()).toEqual({ sent: 2, refused: 0 })
    for (const { instance, bytes } of made)
      expect(Buffer.from(home.held.get(instance)?.bytes ?? [])).toEqual(Buffer.from(bytes))
    expect(receipt()).toMatchObject({ state: 'COMPLETE', promised: 3, held: 1, pulled: 2, refused: 0 })
    expect([...site.visiting].toSorted()).toEqual(uids(made.slice(1)))
    expect(await site.versionOf(study)).toEqual({ south: 7 })
    expect(came).toEqual([study])
    expect(await run()).toEqual({ sent: 0, refused: 0 })
  })

  it('takes a series that is missing whole in one retrieval, and single instances of others', async () => {
    const study = madeUid()
    const [missing, begun] = [series(50, study), series(50, study)]
    const { home, peer, accept, run } = setup([...missing, ...begun])
    for (const it of begun.slice(2)) home.add(it)
    await accept(noticeOf(study as Uid, [...missing, ...begun]))
    expect(await run()).toEqual({ sent: 52, refused: 0 })
    expect(peer.retrieves.map((it) => ('target' in it ? it.target.instance : it))).toEqual([
      undefined,
      begun[0]?.instance,
      begun[1]?.instance,
    ])
  })

  it('takes several notices of a study in one run', async () => {
    const made = series(4)
    const { study, peer, accept, run } = setup(made)
    const first = await accept(noticeOf(study, made.slice(0, 2)))
    const second = await accept(noticeOf(study, made))
    expect(await run()).toEqual({ sent: 4, refused: 0 })
    expect(peer.retrieves).toHaveLength(1)
    expect(first()).toMatchObject({ state: 'COMPLETE', promised: 2, pulled: 2 })
    expect(second()).toMatchObject({ state: 'COMPLETE', promised: 4, pulled: 4 })
  })

  it('takes a few notices at a time, since each may be large', async () => {
    const made = series(20)
    const { study, site, accept, run } = setup(made)
    const receipts = []
    for (const index of made.keys()) receipts.push(await accept(noticeOf(study, made.slice(0, index + 1))))
    const started: number[] = []
    const { start } = site.notices
    site.notices.start = (ids) => {
      started.push(ids.length)
      return start(ids)
    }
    expect(await run()).toEqual({ sent: 20, refused: 0 })
    expect(started).toEqual([8, 8, 4])
    for (const receipt of receipts) expect(receipt()).toMatchObject({ state: 'COMPLETE' })
  })

  it('passes over what was not promised', async () => {
    const made = series(4)
    const { study, home, accept, run } = setup(made)
    const receipt = await accept(noticeOf(study, made.slice(0, 3)))
    expect(await run()).toEqual({ sent: 3, refused: 0 })
    expect(heldBy(home)).toEqual(uids(made.slice(0, 3)))
    expect(receipt()).toMatchObject({ state: 'COMPLETE' })
  })

  for (const [what, maxBufferedPartBytes] of [
    ['one that fits the buffer', 1024 * 1024],
    ['one that does not', 512],
  ] as const) {
    it(`stores no instance with another digest than was promised, and all the others: ${what}`, async () => {
      const made = series(4)
      const { study, home, site, accept, run } = setup(made, { maxBufferedPartBytes })
      const [wrong] = made as [MadeInstance]
      const digests = await digestsOf(made)
      digests.set(wrong.instance, '0'.repeat(64))
      const receipt = await accept(noticeOf(study, made, { digests }))
      expect(await run()).toEqual({ sent: 3, refused: 1 })
      expect(heldBy(home)).toEqual(uids(made.slice(1)))
      expect(Object.fromEntries(site.refused)).toEqual({ [wrong.instance]: 0x0110 })
      expect(receipt()).toMatchObject({ state: 'PARTIAL', pulled: 3, refused: 1 })
      expect([...site.visiting].toSorted()).toEqual(uids(made.slice(1)))
      expect(site.logged.join()).toContain('instances not taken')
    })
  }

  it('does no harm to small instances with a large one that is not what was promised', async () => {
    const [study, uid] = [madeUid(), madeUid()]
    const made = [1, 8, 1].map((rows) => madeInstance({ study, series: uid, rows: rows * 32, columns: 32 }))
    const { home, accept, run } = setup(made, { maxBufferedPartBytes: 4096 })
    storeAllOrNothing(home)
    const digests = await digestsOf(made)
    digests.set(made[1]?.instance as string, '0'.repeat(64))
    await accept(noticeOf(study as Uid, made, { digests }))
    expect(await run()).toEqual({ sent: 2, refused: 1 })
    expect(heldBy(home)).toEqual(uids([made[0], made[2]] as MadeInstance[]))
  })

  it('reads what it does not take to its end before it goes on', async () => {
    const made = series(4)
    const { study, home, peer, accept, run } = setup(made)
    insistOnReading(peer)
    peer.add({ ...(made[1] as MadeInstance), bytes: madeInstance({ instance: made[1]?.instance as string }).bytes })
    await accept(noticeOf(study, made.slice(0, 3)))
    expect(await run()).toEqual({ sent: 2, refused: 1 })
    expect(heldBy(home)).toEqual(uids([made[0], made[2]] as MadeInstance[]))
  })

  it('does not go on asking a peer that is away', async () => {
    const made = series(50)
    const { study, peer, accept, run } = setup(made)
    await accept(noticeOf(study, made))
    peer.faults.down = 'unreachable'
    await expect(run()).rejects.toThrow('cluster south: unreachable')
    expect(peer.retrieves).toHaveLength(1)
  })

  it('stores no instance of another study, series, UID or class than was promised', async () => {
    const study = madeUid()
    const of = () => madeInstance({ study })
    const [right, study_, series_, instance_, class_] = [of(), of(), of(), of(), madeInstance({ study, frames: 2 })]
    const made = [right, study_, series_, instance_, class_]
    const { home, peer, site, accept, run } = setup([right, class_])
    const serve = (promised: MadeInstance, bytes: Uint8Array) => peer.add({ ...promised, bytes })
    serve(study_, madeInstance({ series: study_.series, instance: study_.instance }).bytes)
    serve(series_, madeInstance({ study, instance: series_.instance }).bytes)
    serve(instance_, madeInstance({ study, series: instance_.series }).bytes)
    const receipt = await accept(noticeOf(study as Uid, made, { sopClass: secondaryCapture }))
    expect(await run()).toEqual({ sent: 1, refused: 4 })
    expect(heldBy(home)).toEqual([right.instance])
    expect([...site.refused.values()]).toEqual([0x0122, 0x0122, 0x0122, 0x0122])
    expect(receipt()).toMatchObject({ state: 'PARTIAL', pulled: 1, refused: 4 })
  })

  it('remembers what it did not take and does not fetch it again', async () => {
    const made = series(1)
    const { study, home, peer, site, accept, run } = setup(made)
    home.faults.refuses = 0x0111
    const receipt = await accept(noticeOf(study, made))
    expect(await run()).toEqual({ sent: 0, refused: 1 })
    expect(receipt()).toMatchObject({ state: 'PARTIAL', refused: 1 })
    expect([...site.visiting]).toEqual([])
    delete home.faults.refuses
    await accept(noticeOf(study, made))
    expect(await run()).toEqual({ sent: 0, refused: 0 })
    expect(peer.retrieves).toHaveLength(1)
    expect(home.held.size).toBe(0)
  })

  it('does not bring back what was deleted here on purpose', async () => {
    const made = series(3)
    const { study, home, site, accept, run } = setup(made)
    site.buried.instances.add(made[1]?.instance as Uid)
    const receipt = await accept(noticeOf(study, made))
    expect(await run()).toEqual({ sent: 2, refused: 0 })
    expect(heldBy(home)).toEqual(uids([made[0], made[2]] as MadeInstance[]))
    expect(receipt()).toMatchObject({ state: 'PARTIAL', pulled: 2, refused: 1 })
    site.buried.whole = true
    home.held.clear()
    await accept(noticeOf(study, made))
    expect(await run()).toEqual({ sent: 0, refused: 0 })
    expect(home.held.size).toBe(0)
  })

  it('fails, to be tried again, while the peer does not send what it promised; what came counts', async () => {
    const made = series(3)
    const { study, home, peer, site, accept, run } = setup(made)
    const missing = made[2] as MadeInstance
    peer.held.delete(missing.instance)
    const receipt = await accept(noticeOf(study, made))
    await expect(run()).rejects.toThrow('cluster south: not-found')
    expect(heldBy(home)).toEqual(uids(made.slice(0, 2)))
    expect(receipt()).toMatchObject({ state: 'PULLING' })
    expect([...site.visiting].toSorted()).toEqual(uids(made.slice(0, 2)))
    expect(await site.versionOf(study)).toEqual({})
    peer.add(missing)
    expect(await run()).toEqual({ sent: 1, refused: 0 })
    expect(receipt()).toMatchObject({ state: 'COMPLETE', held: 2, pulled: 1 })
  })

  it('leaves the marks of another pull, whose instances are not there yet, of what home took without a word, and its own', async () => {
    const made = series(4)
    const { study, home, peer, site, accept, run } = setup(made)
    const [mine, others, silent] = [made[0] as MadeInstance, made[1] as MadeInstance, made[2] as MadeInstance]
    for (const it of made.slice(1)) peer.held.delete(it.instance)
    await accept(noticeOf(study, made))
    const retrieve = peer.retrieve.bind(peer)
    peer.retrieve = async (request) => {
      await site.visitors.mark(study, uids([others]) as Uid[], 'west')
      site.marks.delete(`${mine.instance} south`)
      home.add(silent)
      return retrieve(request)
    }
    await expect(run()).rejects.toThrow('not-found')
    expect([...site.marks].toSorted()).toEqual(
      [`${mine.instance} south`, `${others.instance} west`, `${silent.instance} south`].toSorted(),
    )
  })

  it('takes the instances of a series one by one when it breaks off, also in one that is large', async () => {
    for (const maxBufferedPartBytes of [1024 * 1024, 512]) {
      const made = series(4)
      const { home, peer, study, accept, run } = setup(made, { maxBufferedPartBytes })
      await accept(noticeOf(study, made))
      peer.faults.diesAfter = 2
      await run().catch(() => undefined)
      delete peer.faults.diesAfter
      await run()
      expect(heldBy(home)).toEqual(uids(made))
    }
  })

  it('fails when home is away, and is done when it is back', async () => {
    const made = series(2)
    const { study, home, accept, run } = setup(made)
    const receipt = await accept(noticeOf(study, made))
    home.faults.down = 'unreachable'
    await expect(run()).rejects.toThrow('north')
    delete home.faults.down
    expect(await run()).toEqual({ sent: 2, refused: 0 })
    expect(receipt()).toMatchObject({ state: 'COMPLETE' })
  })

  it('completes what a crash between storing and settling left, and it is a visitor', async () => {
    const made = series(2)
    const { study, site, accept, run } = setup(made)
    const receipt = await accept(noticeOf(study, made))
    const { settle } = site.notices
    site.notices.settle = async () => {
      throw new Error('crash')
    }
    await expect(run()).rejects.toThrow('crash')
    site.notices.settle = settle
    expect(await run()).toEqual({ sent: 0, refused: 0 })
    expect(receipt()).toMatchObject({ state: 'COMPLETE', held: 2 })
    expect([...site.visiting].toSorted()).toEqual(uids(made))
    expect(await site.versionOf(study)).toMatchObject({ south: expect.any(Number) })
  })

  it('tells the sender when it is given up', async () => {
    const made = series(1)
    const { study, target, accept } = setup(made)
    const receipt = await accept(noticeOf(study, made))
    await target.gaveUp(study, 'cluster south: unreachable')
    expect(receipt()).toMatchObject({ state: 'FAILED', error: 'cluster south: unreachable' })
  })

  it('answers a resync with what home has beside, once, and only to who asked', async () => {
    const made = series(3)
    const { study, home, told, accept, run } = setup(made)
    home.add(madeInstance({ study }))
    await accept(noticeOf(study, made))
    await run()
    expect(told).toEqual([])
    for (const _ of [1, 2]) {
      await accept(noticeOf(study, made, { trigger: 'RESYNC' }))
      await run()
    }
    expect(told).toEqual([`south ${study}`])
    await accept(noticeOf(study, made.slice(1), { trigger: 'RESYNC' }))
    await run()
    expect(told).toHaveLength(2)
  })

  it('is no answer to a resync that tells all that home has', async () => {
    const made = series(3)
    const { study, told, accept, run } = setup(made)
    await accept(noticeOf(study, made, { trigger: 'RESYNC' }))
    await run()
    expect(told).toEqual([])
  })
})

/** As archives do that read a request whole before they look into it. */
function storeAllOrNothing(cluster: MemoryCluster): void {
  const store = cluster.store.bind(cluster)
  cluster.store = async (uploads) => {
    const read: InstanceUpload[] = []
    for await (const { header, body } of uploads) {
      const chunks = await Array.fromAsync(body)
      read.push({ header, body: each(chunks) })
    }
    return store(each(read))
  }
}

/** The next part is there only when the one before was read. */
function insistOnReading(cluster: MemoryCluster): void {
  const retrieve = cluster.retrieve.bind(cluster)
  cluster.retrieve = async (request) => insisting(await retrieve(request))
  async function* insisting(parts: Parts): AsyncGenerator<Part> {
    for await (const part of parts) {
      let isRead = false
      yield { ...part, body: noticing(part.body, () => (isRead = true)) }
      if (!isRead) throw new Error('a part was left before its end')
    }
  }
}

async function* noticing(body: AsyncIterable<Uint8Array>, ended: () => void): AsyncGenerator<Uint8Array> {
  yield* body
  ended()
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

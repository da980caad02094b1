import { describe, expect, it } from 'vitest'
import { ClusterError } from '../../src/core/outcome.ts'
import { uidsDigest } from '../../src/dicom/digest.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { Receipt, ReceiptState } from '../../src/link/receipt.ts'
import { emptySnapshot } from '../../src/link/snapshot.ts'
import { noticeTarget, type PeerLink } from '../../src/peers/send.ts'
import { FakeClock, passing, turn } from '../support/fake-clock.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { MemorySite, noon } from './memory.ts'

const { signal } = new AbortController()

/** A peer that answers with these states, one after the other, the last one again and again. */
class FakeLink implements PeerLink {
  readonly sent: Record<string, unknown>[] = []
  readonly asked: string[] = []
  states: ReceiptState[] = ['COMPLETE']
  error: string | undefined
  fails: ClusterError | undefined

  async send({ id, body }: { readonly id: string; readonly body: Uint8Array }): Promise<Receipt> {
    if (this.fails) throw this.fails
    this.sent.push(JSON.parse(Buffer.from(body).toString()))
    return this.#receipt(id)
  }

  async receipt(noticeId: string): Promise<Receipt> {
    this.asked.push(noticeId)
    if (this.fails) throw this.fails
    return this.#receipt(noticeId)
  }

  get triggers() {
    return this.sent.map(({ trigger }) => trigger)
  }

  #receipt(noticeId: string): Receipt {
    const state = (this.states.length > 1 ? this.states.shift() : this.states[0]) ?? 'COMPLETE'
    const pulled = state === 'COMPLETE' || state === 'PARTIAL' ? 2 : 0
    const counts = { promised: 2, held: 0, pulled, refused: 0, receivedAt: noon, updatedAt: noon }
    return { noticeId, study: '1.2' as Uid, state, ...counts, ...(this.error && { error: this.error }) }
  }
}

function setup(updates: 'all' | 'holders' = 'all') {
  const study = madeUid() as Uid
  const made = [madeInstance({ study }), madeInstance({ study })]
  const [home, cluster] = [new MemoryCluster('north', { role: 'home' }), new MemoryCluster('south')]
  for (const it of made) home.add(it)
  const [site, link, clock] = [new MemorySite(), new FakeLink(), new FakeClock()]
  site.raise(study, 'north')
  const found: string[] = []
  const target = noticeTarget(
    { cluster, link, updates },
    {
      ...{ site: 'north', home, clock, told: site.telling, snapshotOf: async () => emptySnapshot },
      versions: { of: site.versionOf },
      travels: (sopClass) => sopClass !== 'stays',
      found: (of, peer) => void found.push(`${of} ${peer}`),
    },
  )
  return { study, made, home, cluster, site, link, clock, found, run: () => target.run(study, signal) }
}

describe('telling a peer of a study', () => {
  it('says all that home holds, the version, and who says it', async () => {
    const { study, made, link, found, run } = setup()
    expect(await run()).toEqual({ sent: 2, refused: 0 })
    expect(found).toEqual([`${study} south`])
    const [notice] = link.sent
    expect(notice).toMatchObject({ origin: 'north', hops: ['north'], trigger: 'OBJECT', studyInstanceUID: study })
    expect(notice).toMatchObject({
      version: { north: 1 },
      maxHops: 4,
      noticeId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
    expect(JSON.stringify(notice?.series)).toContain(made[0]?.instance)
    expect(JSON.stringify(notice?.series)).toContain(made[1]?.series)
  })

  it('leaves out what stays here', async () => {
    const { study, home, link, run } = setup()
    const stays = madeInstance({ study })
    home.add(stays, { [tag.SOPClassUID]: ['stays'] })
    await run()
    expect(JSON.stringify(link.sent)).not.toContain(stays.instance)
  })

  it('says why: new objects, only what was told, or to compare once more', async () => {
    const { study, home, site, link, run } = setup()
    await run()
    site.raise(study, 'north')
    await run()
    site.raise(study, 'north')
    home.add(madeInstance({ study }))
    await run()
    await run()
    expect(link.triggers).toEqual(['OBJECT', 'STATUS', 'OBJECT', 'RESYNC'])
  })

  it('asks to compare when the peer takes nothing for news, which it may have been told by way of others', async () => {
    const { link, run } = setup()
    link.states = ['STALE', 'COMPLETE']
    expect(await run()).toEqual({ sent: 2, refused: 0 })
    expect(link.triggers).toEqual(['OBJECT', 'RESYNC'])
  })

  it('asks so once, whatever the peer says then', async () => {
    const { link, run } = setup()
    link.states = ['STALE']
    expect(await run()).toEqual({ sent: 0, refused: 0 })
    expect(link.triggers).toEqual(['OBJECT', 'RESYNC'])
  })

  it('asks to compare when it was no change of this site that brought what is new', async () => {
    const { study, home, site, link, run } = setup()
    await run()
    site.versions.set(study, { north: 1, south: 4 })
    home.add(madeInstance({ study }))
    await run()
    site.versions.clear()
    await run()
    expect(link.triggers).toEqual(['OBJECT', 'RESYNC', 'RESYNC'])
  })

  it('waits until the peer is done, less and less often', async () => {
    const { link, clock, run } = setup()
    link.states = ['ACCEPTED', 'ACCEPTED', 'PULLING', 'PULLING', 'PARTIAL']
    const begun = clock.now()
    const done = run()
    for (const ms of [250, 500, 1000]) {
      await turn()
      await clock.advance(ms)
    }
    expect(link.asked).toHaveLength(3)
    await passing(clock, done)
    expect(clock.now() - begun).toBe(250 + 500 + 1000 + 2000)
    expect(new Set([...link.asked, link.sent[0]?.noticeId])).toHaveLength(1)
  })

  it('leaves a peer that takes long alone for a while, and then asks after the same notice', async () => {
    const { study, site, link, clock, run } = setup()
    link.states = ['PULLING']
    await expect(passing(clock, run())).rejects.toThrow('not all of the study yet (PULLING)')
    expect(site.told.size).toBe(0)
    link.states = ['COMPLETE']
    expect(await passing(clock, run())).toMatchObject({ sent: 2 })
    expect(link.sent).toHaveLength(1)
    site.raise(study, 'north')
    await run()
    expect(link.sent).toHaveLength(2)
  })

  it('sends anew what the peer has forgotten', async () => {
    const { link, clock, run } = setup()
    link.states = ['PULLING']
    await expect(passing(clock, run())).rejects.toThrow()
    link.fails = new ClusterError('south', 'not-found', 'no such notice')
    await expect(run()).rejects.toThrow('no such notice')
    link.fails = undefined
    link.states = ['COMPLETE']
    await run()
    expect(link.sent).toHaveLength(2)
  })

  it('fails when the peer does or gives up, and remembers nothing', async () => {
    const { site, link, run } = setup()
    link.fails = new ClusterError('south', 'unreachable', 'connection refused')
    await expect(run()).rejects.toThrow('cluster south: connection refused')
    link.fails = undefined
    link.states = ['FAILED']
    link.error = 'x'.repeat(1000)
    await expect(run()).rejects.toThrow(/^cluster south: could not take the study \(x{200}\)$/)
    expect(site.told.size).toBe(0)
    link.states = ['COMPLETE']
    await run()
    expect(link.triggers).toEqual(['OBJECT', 'OBJECT'])
  })

  it('is done when the peer knows better', async () => {
    for (const state of ['STALE', 'IGNORED_LOOP'] as const) {
      const { study, made, site, link, found, run } = setup()
      link.states = [state]
      await run()
      expect(found).toEqual([])
      const manifest = uidsDigest(made.map(({ instance }) => instance as Uid))
      expect(site.told.get(`${study} south`)).toEqual({ version: { north: 1 }, manifest })
    }
  })

  it('says nothing when home does not say what it holds', async () => {
    const { home, link, run } = setup()
    home.faults.down = 'unreachable'
    await expect(run()).rejects.toThrow('north')
    expect(link.sent).toEqual([])
  })

  it('tells a peer that takes only updates of what it holds of nothing else', async () => {
    const { study, cluster, link, run } = setup('holders')
    expect(await run()).toEqual({ sent: 0, refused: 0 })
    expect(link.sent).toEqual([])
    cluster.add(madeInstance({ study }))
    await run()
    expect(link.triggers).toEqual(['OBJECT'])
  })
})

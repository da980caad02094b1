import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Uid } from '../../src/dicom/uid.ts'
import { emptySnapshot } from '../../src/link/snapshot.ts'
import { pullTarget } from '../../src/peers/pull.ts'
import { createReceive } from '../../src/peers/receive.ts'
import { noticeTarget } from '../../src/peers/send.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { MemorySite } from './memory.ts'

const { signal } = new AbortController()
const study = madeUid() as Uid
const made = Array.from({ length: 6 }, () => madeInstance({ study }))
const clock = new FakeClock()

type Name = 'north' | 'south'
const others = { north: 'south', south: 'north' } as const

/** Two sites whose jobs are run one after the other; a notice is answered when the other has pulled. */
class Pair {
  readonly homes = { north: new MemoryCluster('north'), south: new MemoryCluster('south') }
  readonly sites = { north: new MemorySite(), south: new MemorySite() }
  readonly jobs: Name[] = []
  readonly triggers: string[] = []
  readonly #pulls = { north: this.#pull('north'), south: this.#pull('south') }
  readonly #notices = { north: this.#notice('north'), south: this.#notice('south') }

  /** What is told by `name`. */
  async run(name: Name): Promise<void> {
    this.jobs.push(name)
    for (let next = this.jobs.shift(); next; next = this.jobs.shift()) {
      await this.#notices[next].run(study, signal)
      if (this.triggers.length > 20) throw new Error('they do not end')
    }
  }

  heldBy(name: Name): string[] {
    return [...this.homes[name].held.keys()].toSorted()
  }

  #pull(name: Name) {
    const site = this.sites[name]
    return pullTarget(this.homes[others[name]], {
      ...{ home: this.homes[name], notices: site.notices, refusals: site.refusals, visitors: site.visitors },
      ...{ buriedOf: site.buriedOf, travels: () => true, maxBufferedPartBytes: 1e6, log: site.log },
      came: () => undefined,
      tell: async () => void this.jobs.push(name),
    })
  }

  #notice(name: Name) {
    const [site, other] = [this.sites[name], others[name]]
    const theirs = this.sites[other]
    const receive = createReceive({
      ...{ site: other, peers: new Set([name]), notices: theirs.notices, clock, log: theirs.log },
      ...{ versions: { of: theirs.versionOf }, wake: () => undefined },
    })
    const receiptOf = async (id: string, otherwise: Awaited<ReturnType<typeof receive>>['receipt']) =>
      (await theirs.notices.find(id))?.receipt ?? otherwise
    const link = {
      send: async ({ id, body }: { readonly id: string; readonly body: Uint8Array }) => {
        this.triggers.push(JSON.parse(Buffer.from(body).toString()).trigger)
        const { receipt } = await receive(body, id, name)
        await this.#pulls[other].run(study, signal)
        return receiptOf(id, receipt)
      },
      receipt: async () => {
        throw new Error('not asked for what is done')
      },
    }
    return noticeTarget(
      { cluster: this.homes[other], link, updates: 'all' },
      {
        ...{
          site: name,
          home: this.homes[name],
          told: site.telling,
          travels: () => true,
          clock,
          found: () => undefined,
        },
        ...{ versions: { of: site.versionOf }, snapshotOf: async () => emptySnapshot },
      },
    )
  }
}

const uids = (indices: Iterable<number>) => [...indices].map((index) => made[index]?.instance as Uid)

describe('two sites', () => {
  it('have the same in the end, told by one notice each', async () => {
    const pair = new Pair()
    for (const it of made.slice(0, 4)) pair.homes.north.add(it)
    pair.sites.north.raise(study, 'north')
    await pair.run('north')
    for (const it of made.slice(4)) pair.homes.south.add(it)
    pair.sites.south.raise(study, 'south')
    await pair.run('south')
    for (const name of ['north', 'south'] as const) {
      expect(pair.heldBy(name)).toEqual(uids(made.keys()).toSorted())
      expect(await pair.sites[name].versionOf(study)).toEqual({ north: 1, south: 1 })
    }
    expect(pair.triggers).toEqual(['OBJECT', 'OBJECT'])
  })

  it('have the same again after both lost something that both know of', async () => {
    const pair = new Pair()
    for (const it of made.slice(0, 4)) pair.homes.north.add(it)
    for (const it of made.slice(2)) pair.homes.south.add(it)
    for (const { versions, told } of Object.values(pair.sites)) {
      versions.set(study, { north: 3, south: 2 })
      for (const peer of Object.keys(others))
        told.set(`${study} ${peer}`, { version: { north: 3, south: 2 }, manifest: '' })
    }
    await pair.run('north')
    expect(pair.heldBy('north')).toEqual(uids(made.keys()).toSorted())
    expect(pair.heldBy('south')).toEqual(uids(made.keys()).toSorted())
    expect(pair.triggers).toEqual(['RESYNC', 'RESYNC'])
  })

  it('come to an end whatever each of them keeps out, and lack nothing else', async () => {
    const some = fc.uniqueArray(fc.nat(made.length - 1))
    const site = fc.record({
      holds: some,
      buried: some,
      counter: fc.integer({ min: 1, max: 3 }),
      joined: fc.integer({ min: 1, max: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(site, site, async (north, south) => {
        const pair = new Pair()
        const states = { north, south }
        for (const name of ['north', 'south'] as const) {
          const { holds, buried, counter, joined } = states[name]
          for (const index of holds) pair.homes[name].add(made[index] as (typeof made)[0])
          for (const uid of uids(buried)) pair.sites[name].buried.instances.add(uid)
          pair.sites[name].versions.set(study, { [name]: counter, [others[name]]: joined })
        }
        // Each compares: the second time there was no change of its own.
        for (const name of ['north', 'south', 'north', 'south'] as const) await pair.run(name)
        for (const name of ['north', 'south'] as const) {
          const { holds, buried } = states[name]
          const wanted = new Set(states[others[name]].holds).difference(new Set(buried))
          expect(pair.heldBy(name)).toEqual(uids(wanted.union(new Set(holds))).toSorted())
        }
        expect(pair.triggers.length).toBeLessThanOrEqual(4 * 3)
      }),
      { numRuns: 100 },
    )
  })
})

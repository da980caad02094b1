import { describe, expect, it } from 'vitest'
import { noLog } from '../../src/core/telemetry.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { archiveTarget } from '../../src/replicate/archive-target.ts'
import { Fresh } from '../../src/replicate/fresh.ts'
import { forever } from '../clusters/setup.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { headerOf } from '../support/uploads.ts'

function setup(updates: 'all' | 'holders' = 'all') {
  const study = madeUid()
  const [home, south] = [new MemoryCluster('home', { role: 'home' }), new MemoryCluster('south')]
  const refused = new Set<Uid>()
  const fresh = new Fresh()
  const target = archiveTarget(south, updates, {
    sourcesFor: async () => [home],
    refusals: {
      of: async () => refused,
      remember: async (_study, _cluster, some) => {
        for (const { instance } of some) refused.add(instance)
      },
    },
    found: () => undefined,
    fresh: fresh.reader(),
    log: noLog,
    maxBufferedPartBytes: 1024 * 1024,
    travels: () => true,
  })
  /** As if the proxy had stored it. */
  const store = async (made: MadeInstance = madeInstance({ study })) => {
    home.add(made)
    fresh.note([await headerOf(made.bytes)])
    return made.instance
  }
  /** The study is brought to the target; answers with what that came to and which clusters had to list it. */
  const run = async () => {
    const before = [home.searches.length, south.searches.length]
    const result = await target.run(study as Uid, forever())
    const listed = [home, south].filter((it, index) => it.searches.length > (before[index] ?? 0)).map(({ id }) => id)
    return { ...result, listed }
  }
  return { study, home, south, refused, store, run }
}

const again = { againInMs: 5000, listed: [] }

describe('a study that grows', () => {
  it('is compared at first, and then given what came since without being listed, to be compared again later', async () => {
    const { south, store, run } = setup()
    const first = await store()
    expect(await run()).toEqual({ sent: 1, refused: 0, listed: ['home', 'south'] })
    const more = [await store(), await store()]
    expect(await run()).toEqual({ sent: 2, refused: 0, ...again })
    expect([...south.held.keys()]).toEqual([first, ...more])
    expect(await run()).toEqual({ sent: 0, refused: 0, listed: ['home', 'south'] })
  })

  it('is compared when something of it came by another way', async () => {
    const { study, home, south, store, run } = setup()
    await store()
    await run()
    const elsewhere = madeInstance({ study })
    home.add(elsewhere)
    expect(await run()).toMatchObject({ sent: 1, listed: ['home', 'south'] })
    expect(south.held.has(elsewhere.instance)).toBe(true)
  })

  it('is compared after a failure, so that nothing is forgotten', async () => {
    const { south, store, run } = setup()
    await store()
    await run()
    const lost = await store()
    south.faults.down = 'unreachable'
    await expect(run()).rejects.toThrow()
    south.faults = {}
    const next = await store()
    expect(await run()).toEqual({ sent: 2, refused: 0, listed: ['home', 'south'] })
    expect([lost, next].every((uid) => south.held.has(uid))).toBe(true)
  })

  it('is not given again what was refused for good', async () => {
    const { study, south, refused, store, run } = setup()
    await store()
    await run()
    south.faults.refuses = 0x0122
    const made = madeInstance({ study })
    await store(made)
    expect(await run()).toEqual({ sent: 0, refused: 1, ...again })
    expect([...refused]).toEqual([made.instance])
    south.faults = {}
    await store(made)
    expect(await run()).toEqual({ sent: 0, refused: 0, ...again })
  })

  it('is never begun at a cluster that takes only what belongs to studies it holds', async () => {
    const { south, store, run } = setup('holders')
    await store()
    await run()
    await store()
    expect(await run()).toMatchObject({ sent: 0, listed: ['south'] })
    expect(south.held.size).toBe(0)
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Cluster } from '../../src/clusters/cluster.ts'
import { locationIndex } from '../../src/compose/location-index.ts'
import { noLog } from '../../src/core/telemetry.ts'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { holdersOf } from '../../src/db/study-location.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { type LocationIndex, Locator } from '../../src/retrieve/locate.ts'
import { createRetrieveService } from '../../src/retrieve/service.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { collect, MemoryCluster } from '../support/memory-cluster.ts'
import { noRenderer } from '../support/no-renderer.ts'
import { type PostgresServer, postgresAvailable, postgresMissing, startPostgres } from '../support/postgres.ts'

const requester = { audience: 'internal', signal: new AbortController().signal } as const

/** An index in memory that tells what it was told. */
class MemoryIndex implements LocationIndex {
  readonly known = new Map<string, number | undefined>()
  async holdersOf() {
    return [...this.known.keys()]
  }
  remember(_: Uid, holders: readonly { cluster: string; instances?: number }[]) {
    for (const { cluster, instances } of holders) this.known.set(cluster, instances)
  }
  forget(_: Uid, cluster: string) {
    this.known.delete(cluster)
  }
}

function service(clusters: readonly Cluster[], index: LocationIndex, clock = new FakeClock()) {
  return createRetrieveService({
    clusters,
    queries: new Map(),
    status: () => [],
    index,
    clock,
    bulkdataKey: Buffer.from('key'),
    maxBufferedPartBytes: 1024 * 1024,
    renderer: noRenderer,
    maxRenderedBytes: 1024 * 1024,
  })
}

const timesLocated = ({ searches }: MemoryCluster) => searches.filter(({ level }) => level === 'series').length

const requestFor = ({ study, series, instance }: MadeInstance) =>
  ({
    target: { study, series, instance } as Required<{ study: Uid; series: Uid; instance: Uid }>,
    transferSyntax: '*',
  }) as const

describe('a location that was asked for before something was stored', () => {
  it('is neither kept nor given to those who ask afterwards', async () => {
    const [a, b] = [madeInstance(), madeInstance()]
    const study = a.study as Uid
    const north = new MemoryCluster('north').add(a)
    const released = Promise.withResolvers<void>()
    const search = north.search.bind(north)
    let isFirst = true
    north.search = async (request) => {
      const answer = await search(request)
      const isHeldUp = isFirst
      isFirst = false
      if (isHeldUp) await released.promise
      return answer
    }
    const locator = new Locator({ clusters: [north], index: new MemoryIndex(), clock: new FakeClock() })
    const early = locator.locate(study, requester.signal)
    await turn()
    north.add({ ...b, study })
    locator.forget(study)
    const late = await locator.locate(study, requester.signal)
    released.resolve()
    expect((await early).holders[0]?.series.size).toBe(1)
    expect(late.holders[0]?.series.size).toBe(2)
    expect((await locator.locate(study, requester.signal)).holders[0]?.series.size).toBe(2)
  })
})

describe('a cluster that does not list all its series', () => {
  it('is one of which it is not known what it holds', async () => {
    const a = madeInstance()
    const north = new MemoryCluster('north').add(a)
    const search = north.search.bind(north)
    north.search = async (request) => ({ ...(await search(request)), truncated: true })
    const locator = new Locator({ clusters: [north], index: new MemoryIndex(), clock: new FakeClock() })
    const { holders, silent } = await locator.locate(a.study as Uid, requester.signal)
    expect(holders).toEqual([])
    expect(silent.map(({ reason }) => reason)).toEqual(['too-large'])
  })
})

describe('holders', () => {
  it('are found with what they say of each series, how much it is and how near', async () => {
    const [a, b] = [madeInstance(), madeInstance()]
    const north = new MemoryCluster('north').add(a, { [tag.InstanceAvailability]: ['NEARLINE'] })
    const south = new MemoryCluster('south').add({ ...b, study: a.study }, { [tag.InstanceAvailability]: ['near by'] })
    const locator = new Locator({ clusters: [north, south], index: new MemoryIndex(), clock: new FakeClock() })
    const { holders } = await locator.locate(a.study as Uid, requester.signal)
    expect(holders.map(({ series }) => Object.fromEntries(series))).toEqual([
      { [a.series]: { instances: 1, availability: 'NEARLINE' } },
      { [b.series]: { instances: 1, availability: undefined } },
    ])
    expect(north.searches[0]?.includeFields).toContain(tag.InstanceAvailability)
  })

  it('are remembered in the index with the number of their instances', async () => {
    const made = madeInstance()
    const index = new MemoryIndex()
    const clusters = [new MemoryCluster('north').add(made), new MemoryCluster('south')]
    await service(clusters, index).explain({ study: made.study as Uid }, requester)
    expect([...index.known]).toEqual([['north', 1]])
  })
})

describe('a holder that the index remembers in vain', () => {
  it('is forgotten when what it does not have comes from another one', async () => {
    const made = madeInstance()
    const [stale, right] = [new MemoryCluster('north', { priority: 9 }), new MemoryCluster('south').add(made)]
    const index = new MemoryIndex()
    for (const cluster of ['north', 'south']) index.known.set(cluster, undefined)
    const retrieve = service([stale, right], index)
    for (let time = 0; time < 3; time++) {
      const { body } = await retrieve.instances(requestFor(made), requester)
      expect((await collect(body)).size).toBe(1)
      await turn()
    }
    expect([...index.known]).toEqual([['south', 1]])
    expect(stale.retrieves).toHaveLength(1)
  })

  it('is not looked for again and again when it is a partial copy', async () => {
    const same = { study: madeUid(), series: madeUid() }
    const [held, wanted] = [madeInstance(same), madeInstance(same)]
    const partial = new MemoryCluster('north', { priority: 9 }).add(held)
    const other = new MemoryCluster('south').add(wanted)
    const index = new MemoryIndex()
    for (const cluster of ['north', 'south']) index.known.set(cluster, undefined)
    const retrieve = service([partial, other], index)
    for (let time = 0; time < 5; time++) {
      await collect((await retrieve.instances(requestFor(wanted), requester)).body)
      await turn()
    }
    expect(index.known.has('north')).toBe(true)
    expect(partial.retrieves).toHaveLength(5)
    expect(partial.searches).toHaveLength(1)
  })

  it('is forgotten, and the right one found, when nobody remembered has it', async () => {
    const made = madeInstance()
    const [stale, right] = [new MemoryCluster('north'), new MemoryCluster('south').add(made)]
    const index = new MemoryIndex()
    index.known.set('north', undefined)
    const { body } = await service([stale, right], index).frames(
      { ...requestFor(made), frames: [1], mediaType: 'application/octet-stream' },
      requester,
    )
    expect(await Array.fromAsync(body)).toHaveLength(1)
    expect([...index.known.keys()]).toEqual(['south'])
  })
})

describe.skipIf(!postgresAvailable)(
  `two proxies on one database${postgresAvailable ? '' : ` (${postgresMissing})`}`,
  () => {
    let server: PostgresServer
    let databases: Database[]
    beforeAll(async () => {
      server = await startPostgres()
      const url = await server.createDatabase()
      databases = [await openDatabase({ url, dataDir: '' }), await openDatabase({ url, dataDir: '' })]
    })
    afterAll(async () => {
      await Promise.all(databases.map((db) => db.close()))
      await server?.stop()
    })

    /** What one of them writes is known to the other a moment later. */
    const eventually = async (db: Database, study: Uid, clusters: readonly string[]) => {
      for (;;) {
        const known = (await holdersOf(db, study)).map(({ cluster }) => cluster)
        if (known.join() === clusters.join()) return
        await turn()
      }
    }

    it('know where a study is from each other, and one puts right for both what has changed', async () => {
      const made = madeInstance()
      const study = made.study as Uid
      const [north, south] = [new MemoryCluster('north', { priority: 9 }).add(made), new MemoryCluster('south')]
      const [a, b] = databases.map((db) => service([north, south], locationIndex(db, noLog)))
      const [first, second] = databases
      if (!a || !b || !first || !second) throw new Error('two databases')

      await a.explain({ study }, requester)
      await eventually(second, study, ['north'])
      await collect((await b.instances(requestFor(made), requester)).body)
      expect([north, south].map(timesLocated)).toEqual([1, 1])

      // It moves, which nobody is told.
      north.held.clear()
      south.add(made)
      await collect((await b.instances(requestFor(made), requester)).body)
      await eventually(first, study, ['south'])

      const asked = north.retrieves.length
      a.forget(study)
      await collect((await a.instances(requestFor(made), requester)).body)
      expect(north.retrieves.length).toBe(asked)
      expect(south.retrieves.length).toBe(2)
    })
  },
)

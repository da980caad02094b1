import { describe, expect, it } from 'vitest'
import type { ClusterStatus } from '../../src/clusters/registry.ts'
import type { Audience } from '../../src/core/audience.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { createRetrieveService } from '../../src/retrieve/service.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { noRenderer } from '../support/no-renderer.ts'

const study = madeUid() as Uid
const series = madeUid() as Uid
const images = Array.from({ length: 5 }, () => madeInstance({ study, series }))
const report = madeInstance({ study })
const uids = images.map(({ instance }) => instance)
const as = (audience: Audience) => ({ audience, signal: new AbortController().signal })
const internal = as('internal')

const well: Omit<ClusterStatus, 'id'> = {
  role: 'linked',
  state: 'up',
  breaker: 'closed',
  since: 0,
  pool: { running: 0, waiting: 0 },
}

interface Site {
  readonly south?: { readonly internal: boolean; readonly external: boolean }
  readonly status?: Partial<ClusterStatus>
}

/** North holds images 1 to 3, south images 3 to 5 and the report, east has nothing. */
function site({ south = { internal: true, external: true }, status = {} }: Site = {}) {
  const north = new MemoryCluster('north', { role: 'home' })
  const other = new MemoryCluster('south', { priority: 9 })
  const east = new MemoryCluster('east', { role: 'thirdParty', timeoutMs: 1000 })
  for (const image of images.slice(0, 3)) north.add(image)
  for (const image of images.slice(2)) other.add(image)
  other.add(report)
  const clock = new FakeClock()
  const service = createRetrieveService({
    clusters: [north, other, east],
    queries: new Map([['south', south]]),
    status: () => [
      { ...well, id: 'north' },
      { ...well, id: 'south', ...status },
    ],
    index: { holdersOf: async () => [], remember: () => undefined, forget: () => undefined },
    clock,
    bulkdataKey: Buffer.from('key'),
    maxBufferedPartBytes: 1024,
    renderer: noRenderer,
    maxRenderedBytes: 1024 * 1024,
  })
  return { north, south: other, east, service, clock }
}

describe('explaining where a study is', () => {
  it('tells its holders in the order in which they are asked, what they hold, and what decided', async () => {
    const { service } = site()
    const { holders, union, silent, skipped, target } = await service.explain({ study }, internal)
    expect(target).toEqual({ study })
    expect(holders).toMatchObject([
      { cluster: 'south', role: 'linked', listed: { instances: 4, onlyHere: 3 }, status: { state: 'up' } },
      { cluster: 'north', role: 'home', listed: { instances: 3, onlyHere: 2 }, decidedBy: 'series' },
    ])
    expect(holders[0]).not.toHaveProperty('decidedBy')
    expect(holders[0]?.listed?.examples.toSorted()).toEqual([uids[3], uids[4], report.instance].toSorted())
    expect(holders[1]?.listed?.examples.toSorted()).toEqual([uids[0], uids[1]].toSorted())
    expect(union).toEqual({ series: 2, instances: 6 })
    expect([silent, skipped]).toEqual([[], []])
  })

  it('is in the order in which a retrieval asks', async () => {
    const { service, north, south } = site({ status: { state: 'down' } })
    const { holders } = await service.explain({ study, series }, internal)
    expect(holders.map(({ cluster, decidedBy }) => [cluster, decidedBy])).toEqual([
      ['north', undefined],
      ['south', 'health'],
    ])
    const shared = { study, series, instance: uids[2] as Uid }
    await service.instances({ target: shared, transferSyntax: '*' }, internal)
    expect([north.retrieves.length, south.retrieves.length]).toEqual([1, 0])
  })

  it('tells the values of each criterion', async () => {
    const { service, south } = site({ status: { firstByteMs: 40, bytesPerSecond: 2 ** 20 } })
    for (const [instance, { row, bytes }] of south.held) {
      south.held.set(instance, {
        row: { ...row, [tag.InstanceAvailability]: { vr: 'CS', Value: ['NEARLINE'] } },
        bytes,
      })
    }
    const { holders } = await service.explain({ study }, internal)
    expect(holders.map(({ merits }) => merits)).toEqual([
      {
        id: 'north',
        isIll: false,
        availability: 'ONLINE',
        series: 1,
        instances: 3,
        priority: 0,
        isBusy: false,
        expectedMs: 0,
      },
      {
        id: 'south',
        isIll: false,
        availability: 'NEARLINE',
        series: 2,
        instances: 4,
        priority: 9,
        isBusy: false,
        expectedMs: 1040,
      },
    ])
    expect(holders[1]?.decidedBy).toBe('availability')
  })

  it('is of a series or an instance alone when it is asked about one', async () => {
    const { service } = site()
    const ofSeries = await service.explain({ study, series }, internal)
    expect(ofSeries.holders.map(({ listed }) => listed?.instances)).toEqual([3, 3])
    expect(ofSeries.holders[1]).toMatchObject({ cluster: 'north', decidedBy: 'priority' })
    expect(ofSeries.union).toEqual({ series: 1, instances: 5 })
    const target = { study, series, instance: uids[0] as Uid }
    const ofInstance = await service.explain(target, internal)
    expect(ofInstance.holders.map(({ cluster, listed }) => [cluster, listed?.instances, listed?.examples])).toEqual([
      ['south', 0, []],
      ['north', 1, [uids[0]]],
    ])
    expect(ofInstance.union).toEqual({ series: 1, instances: 1 })
  })

  it('retrieves nothing', async () => {
    const { service, north, south, east } = site()
    await service.explain({ study }, internal)
    expect([north, south, east].flatMap(({ retrieves }) => retrieves)).toEqual([])
  })

  it('names at most 100 of the instances that one cluster alone holds', async () => {
    const { service, south } = site()
    for (let count = 0; count < 200; count++) south.add(madeInstance({ study }))
    const [first] = (await service.explain({ study }, internal)).holders
    expect(first?.listed).toMatchObject({ instances: 204, onlyHere: 203 })
    expect(first?.listed?.examples).toHaveLength(100)
  })

  it('says which clusters do not tell whether they hold it, and which do not list what they hold', async () => {
    const { service, north, east } = site()
    north.faults.uncounted = true
    east.faults.down = 'unreachable'
    const { holders, silent, union } = await service.explain({ study }, internal)
    expect(silent).toEqual([{ cluster: 'east', reason: 'unreachable' }])
    expect(holders[1]).toMatchObject({ cluster: 'north', unlisted: 'timed-out' })
    expect(holders[1]).not.toHaveProperty('listed')
    expect(union.instances).toBe(4)
  })

  it('tells of a holder also when none lists what it holds', async () => {
    const { service, north, south } = site()
    for (const cluster of [north, south]) cluster.faults.uncounted = true
    const { holders, union } = await service.explain({ study }, internal)
    expect(holders.map(({ cluster, unlisted }) => [cluster, unlisted])).toEqual([
      ['south', 'timed-out'],
      ['north', 'timed-out'],
    ])
    expect(union).toEqual({ series: 0, instances: 0 })
  })

  it('does not wait for a cluster that hangs past its deadline', async () => {
    const { service, east, clock } = site()
    east.faults.hung = true
    const explained = service.explain({ study }, internal)
    await clock.advance(east.timeoutMs)
    expect((await explained).silent).toEqual([{ cluster: 'east', reason: 'timed-out' }])
  })

  it('of what nobody holds is not found, and unavailable while a cluster is silent', async () => {
    const { service, east } = site()
    const unknown = { study: madeUid() as Uid }
    await expect(service.explain(unknown, internal)).rejects.toMatchObject({ code: 'not-found' })
    const nowhere = { study, series, instance: madeUid() as Uid }
    await expect(service.explain(nowhere, internal)).rejects.toMatchObject({ code: 'not-found' })
    east.faults.down = 'access-denied'
    await expect(service.explain(unknown, internal)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('east access-denied'),
    })
  })
})

describe('a cluster that is not asked for a caller', () => {
  it('is told to callers of our own, with the reason', async () => {
    const { service, south } = site({ south: { internal: false, external: true } })
    const { holders, skipped } = await service.explain({ study }, internal)
    expect(holders.map(({ cluster }) => cluster)).toEqual(['north'])
    expect(skipped).toEqual([{ cluster: 'south', role: 'linked', why: 'does not answer internal queries' }])
    expect(south.searches).toEqual([])
  })

  it.each(['external', 'home'] as const)('does not exist for the audience %s', async (audience) => {
    const { service, south } = site({ south: { internal: true, external: false } })
    await service.explain({ study }, internal)
    const before = south.searches.length
    const explained = await service.explain({ study }, as(audience))
    expect(JSON.stringify(explained)).not.toContain('south')
    expect(explained.union.instances).toBe(3)
    expect(south.searches.length).toBe(before)
  })
})

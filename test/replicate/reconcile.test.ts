import { describe, expect, test } from 'vitest'
import type { SearchAnswer, SearchRequest } from '../../src/clusters/cluster.ts'
import { LinkError } from '../../src/core/errors.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { travelsUnless } from '../../src/link/travels.ts'
import { type Finding, type Party, type ReconcileOptions, reconcile } from '../../src/replicate/reconcile.ts'
import type { Updates } from '../../src/replicate/targets.ts'
import { FakeClock, passing } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const instancesOf = (count: number, study = madeUid()) => Array.from({ length: count }, () => madeInstance({ study }))

function holding(id: string, made: readonly MadeInstance[], Kind: typeof MemoryCluster = MemoryCluster): MemoryCluster {
  const cluster = new Kind(id, { role: id === 'home' ? 'home' : 'linked' })
  for (const it of made) cluster.add(it)
  return cluster
}

const party = (cluster: MemoryCluster, updates: Updates = cluster.role === 'home' ? 'holders' : 'all'): Party => ({
  id: cluster.id,
  updates,
  open: async () => cluster,
})

interface Ran extends Awaited<ReturnType<typeof reconcile>> {
  readonly findings: readonly Finding[]
}

async function run(parties: readonly Party[], more: Partial<ReconcileOptions> = {}): Promise<Ran> {
  const clock = new FakeClock()
  const findings: Finding[] = []
  const options: ReconcileOptions = {
    parties,
    repair: true,
    travels: travelsUnless([]),
    studiesPerSecond: 1000,
    maxRows: 1000,
    maxBufferedPartBytes: 1024 * 1024,
    clock,
    signal: new AbortController().signal,
    onFinding: (finding) => findings.push(finding),
    onProgress: () => undefined,
    ...more,
  }
  const work = reconcile(options)
  const result = await (options.clock === clock ? passing(clock, work) : work)
  return { ...result, findings }
}

const told = ({ clusters }: Ran) => Object.fromEntries(clusters.map(({ id, ...rest }) => [id, rest]))
const heldBy = (...clusters: readonly MemoryCluster[]) => clusters.map(({ held }) => [...held.keys()].toSorted())

/** Three studies: in parts, whole, at a linked cluster only. */
function threeClusters() {
  const [parts, whole, foreign] = [instancesOf(10), instancesOf(2), instancesOf(1)]
  const home = holding('home', [...parts.slice(0, 6), ...whole])
  const south = holding('south', [...parts.slice(4, 8), ...whole])
  const west = holding('west', [...parts.slice(8), ...whole, ...foreign])
  return { parts, whole, foreign, home, south, west }
}

describe('reconciling', () => {
  test('a dry run tells exactly what is missing where, and sends nothing', async () => {
    const { parts, home, south, west } = threeClusters()
    const before = heldBy(home, south, west)
    const result = await run([party(home), party(south), party(west)], { repair: false })
    expect(result).toMatchObject({ studies: 3, complete: 2, repaired: 0, stopped: false })
    expect(result.findings).toEqual([
      {
        study: parts[0]?.study,
        instances: 10,
        lacking: [
          { cluster: 'home', missing: 4 },
          { cluster: 'south', missing: 6 },
          { cluster: 'west', missing: 8 },
        ],
      },
    ])
    expect(heldBy(home, south, west)).toEqual(before)
  })

  test('makes all equal where home holds something, and finds nothing to do a second time', async () => {
    const { parts, whole, foreign, home, south, west } = threeClusters()
    const parties = [party(home), party(south), party(west)]
    const result = await run(parties)
    expect(result).toMatchObject({ studies: 3, complete: 2, repaired: 1 })
    expect(told(result)).toMatchObject({
      home: { missing: 4, sent: 4 },
      south: { missing: 6, sent: 6 },
      west: { missing: 8, sent: 8 },
    })
    const all = [...parts, ...whole].map(({ instance }) => instance)
    expect(heldBy(home, south)).toEqual([all.toSorted(), all.toSorted()])
    expect(heldBy(west)).toEqual([[...all, ...foreign.map(({ instance }) => instance)].toSorted()])
    expect(await run(parties)).toMatchObject({ studies: 3, complete: 3, repaired: 0, findings: [] })
  })

  test.each([
    ['all', 3],
    ['holders', 2],
    ['none', 1],
  ] as const)('gives a cluster with updates %s what it takes', async (updates, expected) => {
    const [known, unknown] = [instancesOf(2), instancesOf(1)]
    const [home, south] = [holding('home', [...known, ...unknown]), holding('south', known.slice(1))]
    await run([party(home), party(south, updates)])
    expect(south.held.size).toBe(expected)
  })

  test('reads from a cluster that takes nothing', async () => {
    const made = instancesOf(3)
    const [home, south] = [holding('home', made.slice(1)), holding('south', made)]
    await run([party(home), party(south, 'none')])
    expect(home.held.size).toBe(3)
  })

  test('looks at one study when only that is wanted, also at clusters that are not to be gone through', async () => {
    const { whole, parts, home, south, west } = threeClusters()
    const parties = [party(home), { ...party(south), skip: 'constrained' }, party(west)]
    expect(await run(parties, { study: whole[0]?.study as Uid })).toMatchObject({ studies: 1, complete: 1 })
    const result = await run(parties, { study: parts[0]?.study as Uid })
    expect(result).toMatchObject({ studies: 1, repaired: 1 })
    expect(told(result).south).toMatchObject({ sent: 6 })
    await expect(run(parties, { study: '1.2.3' as Uid })).rejects.toMatchObject({ code: 'not-found' })
  })

  test('does not call a study unknown as long as a cluster did not say', async () => {
    const { home, south } = threeClusters()
    south.faults.down = 'unreachable'
    const result = await run([party(home), party(south)], { study: '1.2.3' as Uid })
    expect(told(result).south).toMatchObject({ unanswered: 1, silence: 'cluster south: unreachable' })
  })

  test('does not go through the studies of a cluster that is not to be asked for all, and compares it', async () => {
    const { home, west } = threeClusters()
    const result = await run([party(home), { ...party(west), skip: 'constrained' }])
    expect(result.studies).toBe(2)
    expect(told(result).west).toMatchObject({ skipped: 'constrained', sent: 6 })
  })

  test('tells of clusters that do not answer or cannot be opened, and completes the others', async () => {
    const { parts, home, south, west } = threeClusters()
    west.faults.down = 'unreachable'
    const shut: Party = {
      id: 'shut',
      updates: 'all',
      open: async () => {
        throw new LinkError('config', 'in use')
      },
    }
    const result = await run([party(home), party(west), shut, party(south)])
    expect(south.held.size).toBe(8 + 2)
    expect(result).toMatchObject({ studies: 2, repaired: 1, complete: 1, stopped: false })
    expect(told(result)).toMatchObject({
      west: { unanswered: 2, silence: 'cluster west: unreachable', failed: 'cluster west: unreachable' },
      shut: { failed: 'in use' },
      south: { unanswered: 0 },
    })
    expect(result.findings.map(({ study }) => study)).toEqual([parts[0]?.study])
  })

  test('does not wait again and again for a cluster that fails, and tells of every study it was not asked for', async () => {
    const home = holding(
      'home',
      Array.from({ length: 200 }, () => madeInstance()),
    )
    const south = holding('south', [])
    south.faults.down = 'timed-out'
    const result = await run([party(home), party(south)])
    expect(told(result).south).toMatchObject({ unanswered: 200 })
    expect(south.searches.filter(({ level }) => level === 'instance').length).toBeLessThanOrEqual(6)
  })

  test('compares many studies in one question a cluster, and each study once', async () => {
    const made = Array.from({ length: 60 }, () => madeInstance())
    const clusters = [holding('home', made), holding('south', made)]
    const result = await run(clusters.map((it) => party(it)))
    expect(result).toMatchObject({ studies: 60, complete: 60 })
    const [home, south] = clusters.map((it) => it.searches.filter(({ level }) => level === 'instance').length)
    // Those of home again when it is asked whether it has what south lists.
    expect([home, south]).toEqual([6, 3])
  })

  test.each([
    ['takes no notice of lists', (request: SearchRequest, all: SearchAnswer) => (isList(request) ? nothing : all)],
    [
      'gives the beginning of all it has to lists',
      (request: SearchRequest, all: SearchAnswer) =>
        isList(request) ? { ...all, rows: [...all.rows.slice(0, 2), foreignRow] } : all,
    ],
    [
      'leaves things out of lists',
      (request: SearchRequest, all: SearchAnswer) =>
        isList(request) ? { ...all, rows: all.rows.filter((_, at) => at % 2 === 0) } : all,
    ],
    [
      'refuses lists',
      (request: SearchRequest, all: SearchAnswer) => {
        if (isList(request)) throw new ClusterError('south', 'unsupported', 'no')
        return all
      },
    ],
  ])('takes nothing for missing that is there at a cluster that %s', async (_, answer) => {
    class Peculiar extends MemoryCluster {
      override async search(request: SearchRequest): Promise<SearchAnswer> {
        return answer(request, await super.search(request))
      }
    }
    const made = [...instancesOf(3), ...instancesOf(2)]
    const [home, south] = [holding('home', made), holding('south', made.slice(1), Peculiar)]
    const result = await run([party(home), party(south)], { repair: false })
    expect(result).toMatchObject({ studies: 2, complete: 1 })
    expect(told(result).south).toMatchObject({ missing: 1 })
    // Nor for absent: home is completed only where it holds something.
    const parties = [party(holding('home', made.slice(0, 4), Peculiar)), party(holding('south', made))]
    expect(told(await run(parties, { repair: false })).home).toMatchObject({ missing: 1 })
  })

  test('tells conflicts, refusals and failures apart, and none of them is a repair', async () => {
    const reasons = [
      [0x0111, { conflicts: 1, refused: 0 }],
      [0x0122, { conflicts: 0, refused: 1 }],
      [0xa700, { conflicts: 0, refused: 0, failures: 1, failure: expect.stringContaining('A700H') }],
    ] as const
    for (const [refuses, expected] of reasons) {
      const [home, south] = [holding('home', instancesOf(1)), holding('south', [])]
      south.faults.refuses = refuses
      const result = await run([party(home), party(south)])
      expect(result).toMatchObject({ studies: 1, complete: 0, repaired: 0 })
      expect(told(result).south).toMatchObject({ missing: 1, sent: 0, ...expected })
    }
  })

  test('what stays where it is, is not missing elsewhere', async () => {
    const [image, capture] = [madeInstance(), madeInstance({ frames: 2 })]
    const home = new MemoryCluster('home', { role: 'home' })
    home.add(image, { '00080016': ['1.2.840.10008.5.1.4.1.1.2'] })
    home.add({ ...capture, study: image.study }, { '00080016': ['1.2.840.10008.5.1.4.1.1.7'] })
    const travels = travelsUnless(['SecondaryCaptureImageStorage'])
    const result = await run([party(home), party(holding('south', []))], { travels, repair: false })
    expect(told(result).south).toMatchObject({ missing: 1 })
  })

  test('goes no faster than it may', async () => {
    const clock = new FakeClock()
    const home = holding(
      'home',
      Array.from({ length: 40 }, () => madeInstance()),
    )
    const begun = clock.now()
    await passing(clock, run([party(home)], { clock, studiesPerSecond: 4 }))
    expect(clock.now() - begun).toBeGreaterThanOrEqual(10_000)
  })

  test('ends with what was done until then when it is stopped', async () => {
    const stop = new AbortController()
    const home = holding(
      'home',
      Array.from({ length: 100 }, () => madeInstance()),
    )
    const south = holding('south', [])
    const onFinding = () => stop.abort(new Error('enough'))
    const result = await run([party(home), party(south)], { signal: stop.signal, onFinding })
    expect(result).toMatchObject({ studies: 1, repaired: 1, stopped: true })
    expect(south.held.size).toBe(1)
  })

  test('comes nearer to its end with every step', async () => {
    const progress: number[] = []
    const home = holding(
      'home',
      Array.from({ length: 50 }, () => madeInstance()),
    )
    await run([party(home)], { onProgress: (_, __, now) => progress.push(now) })
    expect(progress).toEqual(progress.toSorted((a, b) => a - b))
    expect(progress.at(-1)).toBeCloseTo(1, 9)
  })
})

const nothing: SearchAnswer = { rows: [], truncated: false }
const foreignRow = Object.fromEntries(
  ['0020000D', '0020000E', '00080018'].map((key) => [key, { vr: 'UI', Value: ['1.9'] }]),
)
const isList = ({ level, study }: SearchRequest): boolean => level === 'instance' && study === undefined

import { describe, expect, it } from 'vitest'
import type { SearchAnswer, SearchRequest } from '../../src/clusters/cluster.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import { uidsDigest } from '../../src/dicom/digest.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { travelsUnless } from '../../src/link/travels.ts'
import type { Version } from '../../src/link/version.ts'
import { type SweepOptions, type SweepTarget, sweep } from '../../src/replicate/sweep.ts'
import { sweptArchive, sweptPeer } from '../../src/replicate/sweep-targets.ts'
import { FakeClock, passing } from '../support/fake-clock.ts'
import { ListCluster, type ListedStudy } from '../support/list-cluster.ts'
import { type MadeInstance, madeInstance } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const everything = travelsUnless([])
const today = '20260101'

function setup({ home, targets, ...options }: Partial<SweepOptions> & Pick<SweepOptions, 'home'>) {
  const clock = new FakeClock()
  const requested: string[] = []
  const request = async (study: Uid, target: string) => void requested.push(`${target} ${study}`)
  const ofThisSite: SweepOptions['ofThisSite'] = async (studies) => studies
  const given = {
    ofThisSite,
    since: new Date(clock.now() - 1000),
    sample: 1000,
    studiesPerSecond: 1000,
    maxRows: 1000,
    ...options,
  }
  const signal = options.signal ?? new AbortController().signal
  const run = () => passing(clock, sweep({ ...given, home, targets: targets ?? [], request, clock, signal }))
  return { clock, requested, run }
}

const noneRefused = async () => new Set<Uid>()
const archive = (cluster: MemoryCluster, more: Partial<Parameters<typeof sweptArchive>[0]> = {}): SweepTarget =>
  sweptArchive({
    cluster,
    updates: 'all',
    travels: everything,
    refusedOf: noneRefused,
    clock: new FakeClock(),
    ...more,
  })

const uid = (text: string) => text as Uid

function held(cluster: MemoryCluster, ...instances: readonly MadeInstance[]): MemoryCluster {
  for (const it of instances) cluster.add(it)
  return cluster
}

describe('an archive', () => {
  const [one, two] = [madeInstance({ studyDate: today }), madeInstance({ studyDate: today })]
  const more = madeInstance({ study: two.study, series: two.series, studyDate: today })
  const home = () => held(new MemoryCluster('home', { role: 'home' }), one, two, more)

  it('is requested what it lacks of what home has, and nothing that it has', async () => {
    const { run, requested } = setup({ home: home(), targets: [archive(held(new MemoryCluster('south'), one, two))] })
    expect(await run()).toEqual({ studies: 2, requested: 1, failed: [] })
    expect(requested).toEqual([`south ${two.study}`])
  })

  it('that only completes studies is not requested those of which it has nothing', async () => {
    const south = archive(held(new MemoryCluster('south'), two), { updates: 'holders' })
    const { run, requested } = setup({ home: home(), targets: [south] })
    await run()
    expect(requested).toEqual([`south ${two.study}`])
  })

  it('does not lack what it refuses, nor what does not travel', async () => {
    const south = held(new MemoryCluster('south'), one, two)
    const refusing = archive(south, { refusedOf: async () => new Set([uid(more.instance)]) })
    const kept = archive(south, { travels: () => false })
    const { run, requested } = setup({ home: home(), targets: [refusing, kept] })
    await run()
    expect(requested).toEqual([])
  })

  it('that does not answer is told, and does not keep others from being compared', async () => {
    const down = new MemoryCluster('down')
    down.faults.down = 'unreachable'
    const { run, requested } = setup({ home: home(), targets: [archive(down), archive(new MemoryCluster('south'))] })
    expect(await run()).toMatchObject({ failed: ['down'], requested: 2 })
    expect(requested.toSorted()).toEqual([`south ${one.study}`, `south ${two.study}`].toSorted())
  })
})

describe('a peer', () => {
  const versionsOf = async () => new Map<Uid, Version>()
  const [same, other] = [madeInstance({ studyDate: today }), madeInstance({ studyDate: today })]
  const home = held(new MemoryCluster('home', { role: 'home' }), same, other)
  const digestOf = (study: string, ...instances: readonly string[]) => {
    const digest = uidsDigest(instances.map(uid))
    return { study: uid(study), instances: instances.length, digest, version: {} }
  }
  const peer = (told: readonly ReturnType<typeof digestOf>[], updates: 'all' | 'holders' = 'all') => {
    const asked: object[] = []
    const digests = async (question: object) => {
      asked.push(question)
      if (!('studies' in question)) return { studies: told, next: undefined }
      const wanted = question.studies as readonly Uid[]
      return { studies: told.filter(({ study }) => wanted.includes(study)), next: undefined }
    }
    return {
      target: sweptPeer({ id: 'west', link: { digests: digests as never }, updates, travels: everything, versionsOf }),
      asked,
    }
  }

  it('is told of what it has otherwise, or not at all', async () => {
    const { target } = peer([digestOf(same.study, same.instance)])
    const { run, requested } = setup({ home, targets: [target] })
    await run()
    expect(requested).toEqual([`west ${other.study}`])
  })

  it('that is told only of what it holds is not told of the rest', async () => {
    const { target } = peer([digestOf(same.study, same.instance, '1.2.3')], 'holders')
    const { run, requested } = setup({ home, targets: [target] })
    await run()
    expect(requested).toEqual([`west ${same.study}`])
  })

  it('is asked what changed there, page by page, of which home may have nothing', async () => {
    const asked: { since?: Date; cursor?: string }[] = []
    const link = {
      async digests(question: { since?: Date; cursor?: string; studies?: readonly Uid[] }) {
        if (question.studies) return { studies: [digestOf('1.9', '1.9.1')], next: undefined }
        asked.push(question)
        return question.cursor === undefined
          ? { studies: [digestOf('1.8')], next: 'more' }
          : { studies: [digestOf('1.9', '1.9.1')], next: undefined }
      },
    }
    const target = sweptPeer({ id: 'west', link: link as never, updates: 'all', travels: everything, versionsOf })
    const empty = new MemoryCluster('home', { role: 'home' })
    const { run, requested, clock } = setup({ home: empty, targets: [target] })
    expect(await run()).toMatchObject({ studies: 2, requested: 1 })
    expect(requested).toEqual(['west 1.9'])
    expect(asked.map(({ cursor }) => cursor)).toEqual([undefined, 'more'])
    expect(asked[0]?.since?.getTime()).toBeLessThan(clock.now() - 1000)
  })

  it('that lacks changes of this site is told of them, though it has all instances', async () => {
    const told = [digestOf(same.study, same.instance), digestOf(other.study, other.instance)]
    const link = { digests: async () => ({ studies: told, next: undefined }) as never }
    const ours = new Map([[uid(other.study), { here: 2 }]])
    const target = sweptPeer({ id: 'west', link, updates: 'all', travels: everything, versionsOf: async () => ours })
    const { run, requested } = setup({ home, targets: [{ id: target.id, differing: target.differing }] })
    await run()
    expect(requested).toEqual([`west ${other.study}`])
  })

  it('is not told of what only came from other sites', async () => {
    const { target } = peer([])
    const ofThisSite: SweepOptions['ofThisSite'] = async (all) => new Map([...all].filter(([it]) => it === same.study))
    const { run, requested } = setup({ home, targets: [target], ofThisSite })
    await run()
    expect(requested).toEqual([`west ${same.study}`])
  })

  it('that says that there is more, without end and without saying what, is not asked for ever', async () => {
    let pages = 0
    const link = { digests: async () => ({ studies: [], next: String(++pages) }) as never }
    const target = sweptPeer({ id: 'west', link, updates: 'all', travels: everything, versionsOf })
    await setup({ home: new MemoryCluster('home', { role: 'home' }), targets: [target] }).run()
    expect(pages).toBe(1)
  })

  it('that does not answer is told', async () => {
    const digests = async () => Promise.reject(new ClusterError('west', 'unreachable', 'is away'))
    const target = sweptPeer({ id: 'west', link: { digests }, updates: 'all', travels: everything, versionsOf })
    const { run } = setup({ home, targets: [target] })
    expect(await run()).toMatchObject({ failed: ['west'], requested: 0 })
  })
})

/** Studies of one instance each. */
class DatedCluster extends ListCluster {
  constructor(studies: readonly ListedStudy[]) {
    super('home', { role: 'home' })
    this.studies.push(...studies)
  }

  override async search(request: SearchRequest): Promise<SearchAnswer> {
    if (request.level !== 'instance') return super.search(request)
    const uids = request.study ? [request.study] : (request.constraints[0]?.value.split(',') ?? [])
    const element = (uid: string) => ({ vr: 'UI', Value: [uid] })
    const rows = uids.map((uid) => ({
      [tag.StudyInstanceUID]: element(uid),
      [tag.SeriesInstanceUID]: element(`${uid}.1`),
      [tag.SOPInstanceUID]: element(`${uid}.1.1`),
    }))
    return { rows, truncated: false }
  }
}

describe('which studies', () => {
  const day = (ago: number) => new Date(Date.UTC(2026, 0, 1 - ago)).toISOString().slice(0, 10).replaceAll('-', '')
  const dates = [...Array.from({ length: 40 }, (_, ago) => day(ago)), '']
  const home = () => new DatedCluster(dates.map((date, index) => ({ uid: `1.2.${index + 1}`, date })))
  const recent = ['1.2.1', '1.2.2', '1.2.3', '1.2.4']

  /** Tells which studies it is asked to compare. */
  function watching() {
    const seen: string[] = []
    const target: SweepTarget = {
      id: 'south',
      differing: async (studies) => {
        seen.push(...studies.keys())
        return []
      },
    }
    return { target, seen }
  }

  it('are those of the last days each time, and a sample of the others that goes on where it ended', async () => {
    const looked: string[][] = []
    let before: string | undefined
    for (let turn = 0; turn < 5; turn++) {
      const { target, seen } = watching()
      const { next } = await setup({
        home: home(),
        targets: [target],
        sample: 12,
        maxRows: 12,
        ...(before !== undefined && { before }),
      }).run()
      looked.push(seen)
      before = next
    }
    for (const seen of looked) expect(seen).toEqual(expect.arrayContaining(recent))
    for (const seen of looked) expect(seen.length).toBeLessThan(40)
    expect(new Set(looked.flat()).size).toBe(41)
  })

  it('are looked at so many in a second at most', async () => {
    const { target } = watching()
    const { run, clock } = setup({ home: home(), targets: [target], studiesPerSecond: 2 })
    const begun = clock.now()
    await run()
    expect(clock.now() - begun).toBeGreaterThanOrEqual(20_000)
  })

  it('are none any more once it is to stop', async () => {
    const stopping = new AbortController()
    const { target, seen } = watching()
    const stops: SweepTarget = {
      id: 'stops',
      differing: async () => {
        stopping.abort(new Error('stopping'))
        return []
      },
    }
    const { run } = setup({ home: home(), targets: [target, stops], signal: stopping.signal, maxRows: 5 })
    await expect(run()).rejects.toThrow('stopping')
    expect(seen.length).toBeLessThan(20)
  })
})

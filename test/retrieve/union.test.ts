import { describe, expect, it } from 'vitest'
import type { RetrieveRequest, SearchAnswer, SearchRequest } from '../../src/clusters/cluster.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { createRetrieveService } from '../../src/retrieve/service.ts'
import { canHelp, Wait } from '../../src/retrieve/together.ts'
import { Progress } from '../../src/retrieve/union.ts'
import { FakeClock, passing } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { collect, MemoryCluster } from '../support/memory-cluster.ts'
import { noRenderer } from '../support/no-renderer.ts'

const requester = { audience: 'internal', signal: new AbortController().signal } as const
const study = madeUid() as Uid
const series = madeUid() as Uid
const whole = { target: { study }, transferSyntax: '*' }

const instances = (count: number): MadeInstance[] =>
  Array.from({ length: count }, (_, index) => madeInstance({ study, series, instanceNumber: index + 1 }))

function service(clusters: readonly MemoryCluster[], clock = new FakeClock()) {
  return createRetrieveService({
    clusters,
    queries: new Map(),
    status: () => [],
    index: { holdersOf: async () => [], remember: () => undefined, forget: () => undefined },
    clock,
    bulkdataKey: Buffer.from('key'),
    maxBufferedPartBytes: 1024 * 1024,
    renderer: noRenderer,
    maxRenderedBytes: 1024 * 1024,
  })
}

const cluster = (id: string, held: readonly MadeInstance[], options = {}): MemoryCluster =>
  held.reduce((made, instance) => made.add(instance), new MemoryCluster(id, options))

const uidsOf = (made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()
const inventoriesOf = ({ searches }: MemoryCluster) => searches.filter(({ level }) => level === 'instance').length
const singlesOf = ({ retrieves }: MemoryCluster) =>
  retrieves.flatMap((request) => ('target' in request ? (request.target.instance ?? []) : []))

describe('a study of one holder', () => {
  it('comes without its inventory when as many instances come as there are', async () => {
    const made = instances(5)
    const north = cluster('north', made)
    const { status, body } = await service([north, cluster('south', [])]).instances(whole, requester)
    expect([...(await collect(body)).keys()].toSorted()).toEqual(uidsOf(made))
    expect(status).toBe(200)
    expect(inventoriesOf(north)).toBe(0)
  })

  it('is completed instance by instance when fewer come than there are', async () => {
    const made = instances(5)
    const north = new Forgetful('north', 2)
    for (const instance of made) north.add(instance)
    const { body } = await service([north]).instances(whole, requester)
    expect([...(await collect(body)).keys()].toSorted()).toEqual(uidsOf(made))
    expect(singlesOf(north).toSorted()).toEqual(uidsOf(made.slice(2)))
  })
})

describe('inventories', () => {
  it('are taken once while the copies keep their size', async () => {
    const made = instances(3)
    const both = [cluster('north', made), cluster('south', made.slice(1))]
    const retrieve = service(both)
    for (let time = 0; time < 3; time++) await collect((await retrieve.instances(whole, requester)).body)
    expect(both.map(inventoriesOf)).toEqual([1, 1])
  })

  it('are taken again when a copy has grown', async () => {
    const made = instances(4)
    const [north, south] = [cluster('north', made.slice(0, 2)), cluster('south', made.slice(1, 3))]
    const retrieve = service([north, south])
    await collect((await retrieve.instances(whole, requester)).body)
    north.add(made[3] as MadeInstance)
    retrieve.forget(study)
    expect((await collect((await retrieve.instances(whole, requester)).body)).size).toBe(4)
  })
})

describe('the metadata of one instance after another of a series', () => {
  it.each([1, 2])('are those of each, with %i holders', async (holders) => {
    const made = instances(3)
    const all = ['north', 'south'].slice(0, holders).map((id) => cluster(id, made))
    const retrieve = service(all)
    for (const { instance } of made) {
      const { body } = await retrieve.metadata({ study, series, instance: instance as Uid }, 'http://proxy', requester)
      const got = (await Array.fromAsync(body)).map((dataset) => firstString(dataset, tag.SOPInstanceUID))
      expect(got).toEqual([instance])
    }
  })
})

describe('a list that is shorter than what its cluster counts', () => {
  it('hides nothing of what is sent, and makes the answer a doubtful one', async () => {
    const made = instances(10)
    const [cutting, other] = [new Cutting('north', 4), cluster('south', made.slice(0, 1))]
    for (const instance of made) cutting.add(instance)
    const { status, warnings, body } = await service([cutting, other]).instances(whole, requester)
    expect([...(await collect(body)).keys()].toSorted()).toEqual(uidsOf(made))
    expect(status).toBe(206)
    expect(warnings).toEqual(['Results are incomplete: cluster north malformed'])
  })

  it('of a sole holder is believed when just what it lists is sent', async () => {
    const made = instances(3)
    const north = cluster('north', made)
    const counting = north.search.bind(north)
    north.search = async (request) => {
      const answer = await counting(request)
      if (request.level !== 'series') return answer
      const rows = answer.rows.map((row) => ({
        ...row,
        [tag.NumberOfSeriesRelatedInstances]: { vr: 'IS', Value: [5] },
      }))
      return { ...answer, rows }
    }
    const { body } = await service([north, cluster('south', [])]).instances(whole, requester)
    expect((await collect(body)).size).toBe(3)
  })

  it('of a sole holder that sends less is no end', async () => {
    const clock = new FakeClock()
    const cutting = new Cutting('north', 4)
    for (const instance of instances(10)) cutting.add(instance)
    cutting.faults.diesAfter = 6
    const { body } = await service([cutting, cluster('south', [])], clock).instances(whole, requester)
    await expect(passing(clock, collect(body))).rejects.toMatchObject({ code: 'bad-gateway' })
  })

  it('is none when its rows do not say what they are', async () => {
    const made = instances(4)
    const [mute, other] = [cluster('north', made), cluster('south', made.slice(0, 1))]
    const listing = mute.search.bind(mute)
    mute.search = async (request) => {
      const { rows, truncated } = await listing(request)
      if (request.level !== 'instance') return { rows, truncated }
      return { rows: rows.map(({ [tag.SeriesInstanceUID]: _, ...row }) => row), truncated }
    }
    const { status, body } = await service([mute, other]).instances(whole, requester)
    expect((await collect(body)).size).toBe(4)
    expect(status).toBe(206)
  })
})

describe('what an archive sends of something else', () => {
  it('is passed over, in a series and of one instance, of files and of metadata', async () => {
    const [own] = instances(1)
    const stranger = madeInstance({ study, series: madeUid() })
    const confused = new Confused('north', [own as MadeInstance, stranger])
    const retrieve = service([confused, cluster('south', [])])
    const below = { study, series }
    const instance = { ...below, instance: own?.instance as Uid }
    for (const target of [below, instance]) {
      const { body } = await retrieve.instances({ target, transferSyntax: '*' }, requester)
      expect([...(await collect(body)).keys()]).toEqual([own?.instance])
      const metadata = await retrieve.metadata(target, 'http://proxy', requester)
      const datasets = await Array.fromAsync(metadata.body)
      expect(datasets.map((dataset) => firstString(dataset, tag.SOPInstanceUID))).toEqual([own?.instance])
    }
  })
})

describe('a study that its reader has to wait for', () => {
  it('comes from all holders at the same time, each instance once', async () => {
    const clock = new FakeClock()
    const made = instances(40)
    const [slow, other] = [new Slow('north', clock, 300), cluster('south', made)]
    for (const instance of made) slow.add(instance)
    const { body } = await service([slow, other], clock).instances(whole, requester)
    const got = await collect(body)
    expect([...got.keys()].toSorted()).toEqual(uidsOf(made))
    for (const { instance, bytes } of made) expect(got.get(instance as Uid)).toEqual(Buffer.from(bytes))
    const [fromSlow, fromOther] = [singlesOf(slow), singlesOf(other)]
    expect(fromSlow.length).toBeGreaterThan(0)
    expect(fromOther.length).toBeGreaterThan(0)
    expect(new Set([...fromSlow, ...fromOther]).size).toBe(fromSlow.length + fromOther.length)
  })

  it('is looked through for helpers now and then, not for every instance', async () => {
    const clock = new FakeClock()
    const made = instances(40)
    const slow = new Slow('north', clock, 300)
    for (const instance of made) slow.add(instance)
    const other = cluster('south', made.slice(0, 2))
    const missing = new Progress({ sources: [] }, new Set())
    let asked = 0
    const wait = new Wait(() => clock.now())
    const items = wait.over(await slow.retrieve({ kind: 'instances', ...whole }), () => {
      asked++
      return canHelp(slow, [{ cluster: other, inventory: new Map() }], missing)
    })
    expect(await Array.fromAsync(items)).toHaveLength(40)
    expect(asked).toBeLessThan(10)
  })

  it('comes whole when a holder dies that was asked to help', async () => {
    const clock = new FakeClock()
    const made = instances(40)
    const [slow, other] = [new Slow('north', clock, 300), cluster('south', made)]
    for (const instance of made) slow.add(instance)
    other.faults.poison = new Set(made.map(({ instance }) => instance))
    const { body } = await service([slow, other], clock).instances(whole, requester)
    expect([...(await collect(body)).keys()].toSorted()).toEqual(uidsOf(made))
  })

  it('comes from its holder alone when it is the client that is slow', async () => {
    const clock = new FakeClock()
    const made = instances(40)
    const [north, south] = [cluster('north', made), cluster('south', made)]
    const { body } = await service([north, south], clock).instances(whole, requester)
    let count = 0
    for await (const part of body) {
      await Array.fromAsync(part.body)
      await clock.advance(300)
      count++
    }
    expect(count).toBe(40)
    expect([north.retrieves.length, south.retrieves.length]).toEqual([1, 0])
  })
})

describe('a study whose holders all break down', () => {
  it.each([1, 2])('is completed when one of %i is back in a moment', async (count) => {
    const clock = new FakeClock()
    const made = instances(6)
    const holders = [cluster('north', made), cluster('south', made)].slice(0, count)
    for (const holder of holders) holder.faults.diesAfter = 2
    const { body } = await service(holders, clock).instances(whole, requester)
    for (const holder of holders) holder.faults.down = 'unreachable'
    const recovery = clock.sleep(3000).then(() => {
      for (const holder of holders) holder.faults = {}
    })
    const got = await passing(clock, collect(body))
    await recovery
    expect([...got.keys()].toSorted()).toEqual(uidsOf(made))
  })

  it('ends as an error when none is', async () => {
    const clock = new FakeClock()
    const north = cluster('north', instances(6))
    north.faults.diesAfter = 2
    const { body } = await service([north, cluster('south', [])], clock).instances(whole, requester)
    north.faults.down = 'unreachable'
    await expect(passing(clock, collect(body))).rejects.toMatchObject({ code: 'bad-gateway' })
  })

  it('is completed from a cluster that was silent when it began', async () => {
    const clock = new FakeClock()
    const made = instances(6)
    const [north, south] = [cluster('north', made), cluster('south', made)]
    north.faults.diesAfter = 2
    south.faults.down = 'circuit-open'
    const { status, body } = await service([north, south], clock).instances(whole, requester)
    north.faults.down = 'unreachable'
    south.faults = {}
    expect([...(await passing(clock, collect(body))).keys()].toSorted()).toEqual(uidsOf(made))
    expect(status).toBe(206)
  })

  it('is not taken for complete when the only one left holds a part', async () => {
    const clock = new FakeClock()
    const made = instances(6)
    const [north, south] = [cluster('north', made), cluster('south', made.slice(0, 3))]
    north.faults.diesAfter = 2
    south.faults.down = 'circuit-open'
    const { body } = await service([north, south], clock).instances(whole, requester)
    north.faults.down = 'unreachable'
    south.faults = {}
    await expect(passing(clock, collect(body))).rejects.toMatchObject({ code: 'bad-gateway' })
  })

  it('is not waited for before anything of it was given', async () => {
    const north = cluster('north', instances(2))
    const retrieve = service([north])
    north.retrieve = async () => {
      throw new ClusterError('north', 'unreachable', 'is away')
    }
    await expect(retrieve.instances(whole, requester)).rejects.toMatchObject({ code: 'unavailable' })
  })
})

/** Lists no more instances than this, and does not say that there are more. */
class Cutting extends MemoryCluster {
  readonly #most: number

  constructor(id: string, most: number) {
    super(id, { priority: 9 })
    this.#most = most
  }

  override async search(request: SearchRequest): Promise<SearchAnswer> {
    const answer = await super.search(request)
    return request.level === 'instance' ? { ...answer, rows: answer.rows.slice(0, this.#most) } : answer
  }
}

/** Answers every retrieval with all it has of the study. */
class Confused extends MemoryCluster {
  constructor(id: string, held: readonly MadeInstance[]) {
    super(id)
    for (const instance of held.toReversed()) this.add(instance)
  }

  override retrieve(request: RetrieveRequest): Promise<Parts> {
    return super.retrieve('target' in request ? ({ ...request, target: { study } } as RetrieveRequest) : request)
  }

  override metadata(): AsyncGenerator<Dataset> {
    return super.metadata({ study })
  }
}

/** Leaves out the end of every answer of several instances. */
class Forgetful extends MemoryCluster {
  readonly #most: number

  constructor(id: string, most: number) {
    super(id)
    this.#most = most
  }

  override async retrieve(request: RetrieveRequest): Promise<Parts> {
    return firstOf(await super.retrieve(request), this.#most)
  }
}

async function* firstOf(parts: Parts, most: number): Parts {
  let given = 0
  for await (const part of parts) {
    if (given++ < most) yield part
  }
}

/** Takes its time for every part. */
class Slow extends MemoryCluster {
  readonly #clock: FakeClock
  readonly #perPartMs: number

  constructor(id: string, clock: FakeClock, perPartMs: number) {
    super(id, { priority: 9 })
    this.#clock = clock
    this.#perPartMs = perPartMs
  }

  override async retrieve(request: RetrieveRequest): Promise<Parts> {
    return this.#slowed(await super.retrieve(request))
  }

  async *#slowed(parts: Parts): Parts {
    for await (const part of parts) {
      await this.#clock.advance(this.#perPartMs)
      yield part
    }
  }
}

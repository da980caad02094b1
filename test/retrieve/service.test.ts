import { describe, expect, it } from 'vitest'
import { ClusterError } from '../../src/core/outcome.ts'
import { firstString } from '../../src/dicom/dataset.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { Renderer } from '../../src/render/renderer.ts'
import { createRetrieveService } from '../../src/retrieve/service.ts'
import { FakeClock, passing, turn } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { collect, MemoryCluster } from '../support/memory-cluster.ts'
import { noRenderer } from '../support/no-renderer.ts'
import { textsOf } from './fake-retrieve.ts'

const requester = { audience: 'internal', signal: new AbortController().signal } as const
const study = madeUid() as Uid
const series = madeUid() as Uid

const instances = (count: number, options = {}): MadeInstance[] =>
  Array.from({ length: count }, (_, index) => madeInstance({ study, series, instanceNumber: index + 1, ...options }))

function cluster(id: string, held: readonly MadeInstance[], options = {}): MemoryCluster {
  const made = new MemoryCluster(id, options)
  for (const instance of held) made.add(instance)
  return made
}

function service(
  clusters: readonly MemoryCluster[],
  known: Record<string, string[]> = {},
  clock = new FakeClock(),
  renderer: Renderer = noRenderer,
) {
  return createRetrieveService({
    clusters,
    queries: new Map(),
    status: () => [],
    index: {
      holdersOf: async (uid) => known[uid] ?? [],
      remember: () => undefined,
      forget: (uid, id) => {
        known[uid] = known[uid]?.filter((it) => it !== id) ?? []
      },
    },
    clock,
    bulkdataKey: Buffer.from('key'),
    maxBufferedPartBytes: 1024 * 1024,
    renderer,
    maxRenderedBytes: 1024 * 1024,
  })
}

const uidsOf = (made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()
const whole = { target: { study }, transferSyntax: '*' }

describe('a study', () => {
  it('split over two clusters is retrieved whole, each instance once and byte for byte', async () => {
    const [a, b, both] = [instances(3), instances(2, { series: madeUid() }), instances(1)]
    const answer = await service([cluster('north', [...a, ...both]), cluster('south', [...b, ...both])]).instances(
      whole,
      requester,
    )
    const got = await collect(answer.body)
    expect(answer.status).toBe(200)
    expect([...got.keys()].toSorted()).toEqual(uidsOf([...a, ...b, ...both]))
    for (const made of [...a, ...b, ...both]) expect(got.get(made.instance as Uid)).toEqual(Buffer.from(made.bytes))
  })

  it('is completed from another copy when its holder dies in the middle of an instance', async () => {
    const made = instances(10)
    const [dying, other] = [cluster('north', made, { priority: 9 }), cluster('south', made)]
    dying.faults.diesAfter = 4
    const answer = await service([dying, other]).instances(whole, requester)
    expect([...(await collect(answer.body)).keys()].toSorted()).toEqual(uidsOf(made))
  })

  it('comes piece by piece from an archive whose answer as a whole is spoilt by one bad instance', async () => {
    const made = instances(5)
    const [spoilt, other] = [cluster('north', made), cluster('south', made.slice(2, 3))]
    spoilt.faults.poison = new Set([made[2]?.instance ?? ''])
    const answer = await service([spoilt, other]).instances(whole, requester)
    expect([...(await collect(answer.body)).keys()].toSorted()).toEqual(uidsOf(made))
  })

  it('ends as an error, never as a shorter study, when nobody can complete it', async () => {
    const made = instances(4)
    const dying = cluster('north', made)
    dying.faults.diesAfter = 2
    const answer = await service([dying]).instances(whole, requester)
    dying.faults.poison = new Set([made[3]?.instance ?? ''])
    await expect(collect(answer.body)).rejects.toMatchObject({ code: 'bad-gateway' })
  })

  it('comes whole, as a 206, from a cluster that cannot list what it holds', async () => {
    const made = instances(4)
    const [uncounted, other] = [cluster('north', made), cluster('south', made.slice(1, 3))]
    uncounted.faults.uncounted = true
    const answer = await service([uncounted, other]).instances(whole, requester)
    expect(answer.status).toBe(206)
    expect([...(await collect(answer.body)).keys()].toSorted()).toEqual(uidsOf(made))
  })

  it('from a cluster that cannot list what it holds, and breaks off, ends as an error', async () => {
    const uncounted = cluster('north', instances(4))
    uncounted.faults = { uncounted: true, diesAfter: 2 }
    const clock = new FakeClock()
    const answer = await service([uncounted], {}, clock).instances(whole, requester)
    await expect(passing(clock, collect(answer.body))).rejects.toMatchObject({ code: 'bad-gateway' })
  })

  it('is answered with 206 and the reason when a cluster that may hold more is silent', async () => {
    const silent = cluster('south', [])
    silent.faults.down = 'unreachable'
    const answer = await service([cluster('north', instances(1)), silent]).instances(whole, requester)
    expect(answer.status).toBe(206)
    expect(answer.warnings).toEqual(['Results are incomplete: cluster south unreachable'])
  })

  it('nobody holds is not found, but unavailable while a cluster is silent', async () => {
    const [empty, silent] = [cluster('north', []), cluster('south', [])]
    await expect(service([empty, silent]).instances(whole, requester)).rejects.toMatchObject({ code: 'not-found' })
    silent.faults.down = 'failed'
    await expect(service([empty, silent]).instances(whole, requester)).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('is served without waiting for a cluster that hangs past its deadline', async () => {
    const clock = new FakeClock()
    const hung = cluster('south', [], { timeoutMs: 1000 })
    hung.faults.hung = true
    const pending = service([cluster('north', instances(2)), hung], {}, clock).instances(whole, requester)
    await clock.advance(1000)
    expect((await pending).warnings).toEqual(['Results are incomplete: cluster south timed-out'])
  })

  it('that its holders cannot give in the form asked for is not acceptable, and asked for once', async () => {
    const north = cluster('north', instances(50))
    let asked = 0
    north.retrieve = async () => {
      asked++
      throw new ClusterError('north', 'unsupported', 'cannot transcode')
    }
    const request = { target: { study }, transferSyntax: '1.2.840.10008.1.2.4.70' }
    await expect(service([north]).instances(request, requester)).rejects.toMatchObject({ code: 'not-acceptable' })
    expect(asked).toBe(1)
  })
})

describe('one instance', () => {
  const [made = madeInstance()] = instances(1)
  const target = { study, series, instance: made.instance as Uid }

  it('is asked of the clusters the index knows, without asking the others', async () => {
    const [north, south] = [cluster('north', []), cluster('south', [made])]
    await service([north, south], { [study]: ['south'] }).instances({ target, transferSyntax: '*' }, requester)
    expect([north.searches, north.retrieves, south.searches]).toEqual([[], [], []])
  })

  it('is found elsewhere when the index is wrong, which is then corrected', async () => {
    const [north, south] = [cluster('north', []), cluster('south', [made])]
    const known = { [study]: ['north'] }
    const answer = await service([north, south], known).instances({ target, transferSyntax: '*' }, requester)
    expect([...(await collect(answer.body)).keys()]).toEqual([made.instance])
    expect(known[study]).toEqual([])
  })

  it('comes from the next holder when the first fails before or within it', async () => {
    for (const faults of [{ down: 'failed' }, { diesAfter: 0 }] as const) {
      const [north, south] = [cluster('north', [made], { priority: 5 }), cluster('south', [made])]
      north.faults = faults
      const answer = await service([north, south], { [study]: ['north', 'south'] }).instances(
        { target, transferSyntax: '*' },
        requester,
      )
      expect((await collect(answer.body)).get(made.instance as Uid)).toEqual(Buffer.from(made.bytes))
    }
  })

  it('comes as stored from an archive that cannot transcode it, when the client named no transfer syntax', async () => {
    const north = cluster('north', [made])
    const retrieve = north.retrieve.bind(north)
    north.retrieve = async (request) => {
      if ('transferSyntax' in request && request.transferSyntax === '*') return retrieve(request)
      throw new ClusterError('north', 'unsupported', 'cannot')
    }
    const asked = { transferSyntax: '1.2.840.10008.1.2.1' }
    for (const wanted of [target, { study }]) {
      const answer = await service([north]).instances({ ...asked, target: wanted, orAsStored: true }, requester)
      expect([...(await collect(answer.body)).keys()]).toEqual([made.instance])
    }
    await expect(service([north]).instances({ ...asked, target }, requester)).rejects.toMatchObject({
      code: 'not-acceptable',
    })
  })

  it('is waited for longer where nobody else can give it', async () => {
    const patienceOf = ({ retrieves }: MemoryCluster) => retrieves.map(({ patient }) => patient === true)
    const [north, south] = [cluster('north', [made], { priority: 5 }), cluster('south', [made])]
    north.faults.down = 'timed-out'
    for (const wanted of [target, { study }]) {
      const holders = { [study]: ['north', 'south'] }
      const answer = await service([north, south], holders).instances(
        { target: wanted, transferSyntax: '*' },
        requester,
      )
      expect([...(await collect(answer.body)).keys()]).toEqual([made.instance])
    }
    expect(patienceOf(north)).not.toContain(true)
    expect(patienceOf(south)).not.toContain(false)
  })

  it('that no holder can represent is not acceptable', async () => {
    const north = cluster('north', [made])
    north.retrieve = async () => {
      throw new ClusterError('north', 'unsupported', 'cannot')
    }
    const frames = { target, frames: [1], mediaType: 'image/jp2', transferSyntax: '*' }
    await expect(service([north]).frames(frames, requester)).rejects.toMatchObject({ code: 'not-acceptable' })
  })
})

describe('frames', () => {
  const made = madeInstance({ study, series, frames: 3 })
  const target = { study, series, instance: made.instance as Uid }
  const request = { target, frames: [1, 2, 3], mediaType: 'application/octet-stream', transferSyntax: '*' }

  function serving(id: string, count: number): MemoryCluster {
    const held = cluster(id, [made])
    held.retrieve = async () => frames(count)
    return held
  }

  async function* frames(count: number): Parts {
    for (let frame = 1; frame <= count; frame++) {
      yield { contentType: 'application/octet-stream', body: once(Buffer.from(`frame ${frame}`)) }
    }
  }

  it('that are fewer than asked for are an answer cut short, not a short answer', async () => {
    const { body } = await service([serving('north', 2)]).frames(request, requester)
    await expect(Array.fromAsync(body)).rejects.toMatchObject({ reason: 'truncated' })
  })

  it('that none came of are asked of the next holder, and no more are given than were asked for', async () => {
    const known = { [study]: ['north', 'south'] }
    const { body } = await service([serving('north', 0), serving('south', 5)], known).frames(request, requester)
    expect(await Array.fromAsync(body)).toHaveLength(3)
  })
})

describe('locating', () => {
  it('asks each cluster once for all who want the same study at the same time', async () => {
    const made = instances(3)
    const north = cluster('north', made)
    const retrieve = service([north])
    const answers = await Promise.all(made.map(() => retrieve.metadata({ study }, 'http://proxy', requester)))
    for (const { body } of answers) await Array.fromAsync(body)
    expect(north.searches.filter(({ level }) => level === 'series')).toHaveLength(1)
  })

  it('of one caller who leaves goes on for the others', async () => {
    const north = cluster('north', instances(1))
    const retrieve = service([north])
    const leaving = new AbortController()
    const [left, stays] = [leaving.signal, requester.signal].map((signal) =>
      retrieve.metadata({ study }, 'http://proxy', { ...requester, signal }),
    )
    const gone = expect(left).rejects.toThrow('left')
    leaving.abort(new Error('left'))
    await gone
    expect((await stays)?.status).toBe(200)
  })

  it('does not ask everybody again for each object of a holder that is down', async () => {
    const [made = madeInstance()] = instances(1)
    const [north, south] = [cluster('north', [made]), cluster('south', [])]
    const retrieve = service([north, south])
    await retrieve.metadata({ study }, 'http://proxy', requester)
    north.faults.down = 'unreachable'
    const before = south.searches.length
    const target = { study, series, instance: made.instance as Uid }
    for (let frame = 1; frame <= 5; frame++) {
      const request = { target, frames: [frame], mediaType: 'application/octet-stream', transferSyntax: '*' }
      await expect(retrieve.frames(request, requester)).rejects.toMatchObject({ code: 'unavailable' })
    }
    expect(south.searches.length).toBe(before)
  })

  it('goes on without the index when that does not answer', async () => {
    const [made = madeInstance()] = instances(1)
    const clock = new FakeClock()
    const retrieve = createRetrieveService({
      clusters: [cluster('north', [made])],
      queries: new Map(),
      status: () => [],
      index: { holdersOf: () => new Promise(() => undefined), remember: () => undefined, forget: () => undefined },
      clock,
      bulkdataKey: Buffer.from('key'),
      maxBufferedPartBytes: 1024 * 1024,
      renderer: noRenderer,
      maxRenderedBytes: 1024 * 1024,
    })
    const target = { study, series, instance: made.instance as Uid }
    const pending = retrieve.instances({ target, transferSyntax: '*' }, requester)
    await turn()
    await clock.advance(1000)
    expect((await collect((await pending).body)).size).toBe(1)
  })
})

describe('metadata', () => {
  it('is the union of the copies, each instance once, and survives a holder that dies', async () => {
    const made = instances(6)
    const [dying, other] = [cluster('north', made, { priority: 9 }), cluster('south', made.slice(1))]
    dying.faults.diesAfter = 2
    const answer = await service([dying, other]).metadata({ study }, 'http://proxy/dicom-web', requester)
    const got = (await Array.fromAsync(answer.body)).map((dataset) => firstString(dataset, tag.SOPInstanceUID) ?? '')
    expect(got.toSorted()).toEqual(uidsOf(made))
  })
})

describe('pictures of a study', () => {
  const request = { kind: 'rendered', target: { study }, mediaTypes: ['image/jpeg'], parameters: {} } as const

  /** Makes pictures, of a study only of what it holds itself, and none of `plain`. */
  function picturing(id: string, held: readonly MadeInstance[], plain: readonly MadeInstance[] = []) {
    const made = cluster(id, held)
    const pictured = held.filter((it) => !plain.includes(it))
    const retrieve = made.retrieve.bind(made)
    made.retrieve = async (asked) => {
      if (asked.kind !== 'rendered') return retrieve(asked)
      const { instance } = asked.target
      const found = pictured.filter((it) => instance === undefined || it.instance === instance)
      if (found.length === 0) throw new ClusterError(id, 'unsupported', 'has no picture')
      return each(found.map((it) => ({ contentType: 'image/jpeg', body: once(Buffer.from(it.instance)) })))
    }
    return made
  }

  async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
    yield* items
  }

  it('are those of all its holders, each once, without what has none', async () => {
    const [a, b, both, plain] = [instances(2), instances(2), instances(1), instances(1)]
    const holders = [
      picturing('north', [...a, ...both, ...plain], plain),
      picturing('south', [...b, ...both, ...plain], plain),
    ]
    const answer = await service(holders).rendered(request, requester)
    expect(answer).toMatchObject({ status: 200, warnings: [] })
    expect((await textsOf(answer)).toSorted()).toEqual(uidsOf([...a, ...b, ...both]))
  })

  it.each(['down', 'uncounted'] as const)('may be more when a cluster is %s', async (fault) => {
    const south = picturing('south', instances(1))
    south.faults = fault === 'down' ? { down: 'unreachable' } : { uncounted: true }
    const made = instances(2)
    const answer = await service([picturing('north', made), south]).rendered(request, requester)
    expect(answer).toMatchObject({ status: 206, warnings: [expect.stringContaining('south')] })
    expect((await textsOf(answer)).toSorted()).toEqual(uidsOf(made))
  })

  it('cannot be had at the moment when their holder does not list them', async () => {
    const north = picturing('north', instances(1))
    north.faults.uncounted = true
    await expect(service([north]).rendered(request, requester)).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('pictures of frames', () => {
  it('that are fewer than asked for are an answer cut short', async () => {
    const [made = madeInstance()] = instances(1)
    const north = cluster('north', [made])
    north.retrieve = async () => once({ contentType: 'image/jpeg', body: once(Buffer.from('picture')) })
    const target = { study, series, instance: made.instance as Uid }
    const request = { kind: 'rendered', target, frames: [1, 7], mediaTypes: ['image/jpeg'], parameters: {} } as const
    const { body } = await service([north]).rendered(request, requester)
    await expect(Array.fromAsync(body)).rejects.toMatchObject({ reason: 'truncated' })
  })
})

describe('instances that are to be rendered here', () => {
  const rendering = (made: MadeInstance) => {
    const target = { study, series, instance: made.instance as Uid }
    return { kind: 'rendered', target, mediaTypes: ['image/jpeg'], parameters: {} } as const
  }

  /** Makes no pictures, and tells how much of each instance has been read. */
  function plain(id: string, held: readonly MadeInstance[], options = {}) {
    const made = cluster(id, held, options)
    const retrieve = made.retrieve.bind(made)
    const read = new Map<string, number>()
    made.retrieve = async (asked) => {
      if (asked.kind !== 'instances') throw new ClusterError(id, 'unsupported', 'makes no pictures')
      return counting(await retrieve(asked), (bytes) => {
        const { instance = '' } = asked.target
        read.set(instance, (read.get(instance) ?? 0) + bytes)
      })
    }
    return Object.assign(made, { read })
  }

  async function* counting(parts: Parts, count: (bytes: number) => void): Parts {
    for await (const part of parts) yield { ...part, body: pieces(part.body, count) }
  }

  async function* pieces(body: AsyncIterable<Uint8Array>, count: (bytes: number) => void) {
    for await (const chunk of body) {
      for (let at = 0; at < chunk.length; at += 4096) {
        const piece = chunk.subarray(at, at + 4096)
        count(piece.length)
        yield piece
      }
    }
  }

  /** Renders what it is let to, and keeps what of. */
  function renderer(free: Promise<void> = Promise.resolve()) {
    const files: Uint8Array[] = []
    const render: Renderer['render'] = async ({ file }) => {
      files.push(Buffer.from(file))
      await free
      return { contentType: 'image/jpeg', bytes: Buffer.from('made here') }
    }
    return { files, render, close: async () => undefined }
  }

  it('are not in memory before there is a place for them', async () => {
    const made = instances(5, { rows: 200, columns: 200 })
    const free = Promise.withResolvers<void>()
    const [north, slow] = [plain('north', made), renderer(free.promise)]
    const retrieve = service([north], {}, new FakeClock(), slow)
    const answers = made.map((it) => retrieve.rendered(rendering(it), requester))
    while (north.read.size < 5 || slow.files.length < 4) await turn()
    for (let i = 0; i < 20; i++) await turn()
    const sizes = made.map(({ bytes }) => bytes.length)
    expect([...north.read.values()].filter((bytes) => sizes.includes(bytes))).toHaveLength(4)
    expect(Math.min(...north.read.values())).toBeLessThan(10_000)
    free.resolve()
    expect(await Promise.all((await Promise.all(answers)).map(textsOf))).toEqual(made.map(() => ['made here']))
  })

  it('go on from another copy when their holder breaks off', async () => {
    const [made = madeInstance()] = instances(1, { rows: 200, columns: 200 })
    const [north, south, here] = [plain('north', [made], { priority: 9 }), plain('south', [made]), renderer()]
    north.faults.diesAfter = 0
    const answer = await service([north, south], {}, new FakeClock(), here).rendered(rendering(made), requester)
    expect(await textsOf(answer)).toEqual(['made here'])
    expect(here.files).toEqual([Buffer.from(made.bytes)])
  })
})

describe('a thumbnail', () => {
  it('of a study whose archive makes none is a small rendering of its middle instance', async () => {
    const made = instances(5)
    const north = cluster('north', made)
    const asked: unknown[] = []
    north.retrieve = async (request) => {
      asked.push(request)
      if (request.kind === 'thumbnail') throw new ClusterError('north', 'not-found', 'has no such resource')
      return once({ contentType: 'image/jpeg', body: once(Buffer.from('picture')) })
    }
    const request = { kind: 'thumbnail', target: { study }, mediaTypes: ['image/jpeg'], parameters: {} } as const
    const { body } = await service([north]).rendered(request, requester)
    expect((await Array.fromAsync(body)).map(({ contentType }) => contentType)).toEqual(['image/jpeg'])
    const target = { study, series, instance: made[2]?.instance }
    expect(asked.at(-1)).toMatchObject({ ...request, kind: 'rendered', target, parameters: { viewport: '256,256' } })
  })
})

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value
}

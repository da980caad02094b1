import { describe, expect, it } from 'vitest'
import type { RetrieveRequest } from '../../src/clusters/cluster.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { createRetrieveService } from '../../src/retrieve/service.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { collect, MemoryCluster } from '../support/memory-cluster.ts'
import { noRenderer } from '../support/no-renderer.ts'

const requester = { audience: 'internal', signal: new AbortController().signal } as const
const study = madeUid() as Uid
const series = madeUid() as Uid
const large = (grey = 10): MadeInstance => madeInstance({ study, series, rows: 400, columns: 400, grey })

function service(clusters: readonly MemoryCluster[]) {
  return createRetrieveService({
    clusters,
    queries: new Map(),
    status: () => [],
    index: { holdersOf: async () => [], remember: () => undefined, forget: () => undefined },
    clock: new FakeClock(),
    bulkdataKey: Buffer.from('key'),
    maxBufferedPartBytes: 1024,
    renderer: noRenderer,
    maxRenderedBytes: 1024,
  })
}

const whole = { target: { study }, transferSyntax: '*' }
const alone = (made: MadeInstance) => ({
  target: { study, series, instance: made.instance as Uid },
  transferSyntax: '*',
})

const breaking = (held: readonly MadeInstance[], at: number, answers = Number.POSITIVE_INFINITY) =>
  held.reduce<Breaking>((made, instance) => made.add(instance), new Breaking('north', at, answers))

const good = (held: readonly MadeInstance[]) =>
  held.reduce((made, instance) => made.add(instance), new MemoryCluster('south'))

describe('an instance too large to be held back that breaks off', () => {
  const made = large()

  it.each([0, 1, 1000, 65_536, 70_001, 160_000])('after %i bytes goes on from a copy that is the same', async (at) => {
    const retrieve = service([breaking([made], at), good([made])])
    const got = await collect((await retrieve.instances(alone(made), requester)).body)
    expect(got.get(made.instance as Uid)).toEqual(Buffer.from(made.bytes))
  })

  it('goes on from its own holder when that has recovered', async () => {
    const retrieve = service([breaking([made], 70_000, 1)])
    const got = await collect((await retrieve.instances(alone(made), requester)).body)
    expect(got.get(made.instance as Uid)).toEqual(Buffer.from(made.bytes))
  })

  it.each([2000, 100_000])('does not go on from a copy that differs in byte %i of what was sent', async (at) => {
    const other = { ...made, bytes: Buffer.from(made.bytes) }
    other.bytes[at] = (other.bytes[at] ?? 0) ^ 1
    const { body } = await service([breaking([made], 150_000), good([other])]).instances(alone(made), requester)
    await expect(collect(body)).rejects.toMatchObject({ reason: 'truncated' })
  })

  it('does not go on from a copy that is shorter than what was sent', async () => {
    const other = { ...made, bytes: made.bytes.subarray(0, 120_000) }
    const { body } = await service([breaking([made], 150_000), good([other])]).instances(alone(made), requester)
    await expect(collect(body)).rejects.toMatchObject({ reason: 'truncated' })
  })
})

describe('the copies that are looked at', () => {
  const made = large()
  const other = { ...made, bytes: Buffer.from(made.bytes) }
  other.bytes[2000] = (other.bytes[2000] ?? 0) ^ 1

  it('are those of others before that of the holder that broke off', async () => {
    const [north, south] = [breaking([made], 70_000, 1), good([made])]
    await collect((await service([north, south]).instances(alone(made), requester)).body)
    expect([north.retrieves.length, south.retrieves.length]).toEqual([1, 1])
  })

  it('are let go when they differ, not read to their end', async () => {
    const [north, south] = [breaking([made], 10_000, 1), new Watched('south', other)]
    await collect((await service([north, south]).instances(alone(made), requester)).body)
    expect(south).toMatchObject({ isAskedForMore: false, isLeft: true })
  })

  it.each([
    ['instance', alone(made)],
    ['study', whole],
  ])('are those as they are stored when the %s came so', async (_, wanted) => {
    const asStored = (it: MemoryCluster) => {
      const retrieve = it.retrieve.bind(it)
      it.retrieve = async (request) => {
        if (request.kind === 'instances' && request.transferSyntax === '*') return retrieve(request)
        throw new ClusterError(it.id, 'unsupported', 'does not transcode')
      }
      return it
    }
    const retrieve = service([asStored(breaking([made], 70_000)), asStored(good([made]))])
    const request = { ...wanted, transferSyntax: '1.2.840.10008.1.2.1', orAsStored: true }
    const got = await collect((await retrieve.instances(request, requester)).body)
    expect(got.get(made.instance as Uid)).toEqual(Buffer.from(made.bytes))
  })
})

describe('a study of instances too large to be held back', () => {
  it('is completed, each byte for byte, when its holder breaks off in every one of them', async () => {
    const all = [large(1), large(2), large(3)]
    const { status, body } = await service([breaking(all, 90_000), good(all)]).instances(whole, requester)
    const got = await collect(body)
    expect(status).toBe(200)
    expect(got.size).toBe(3)
    for (const made of all) expect(got.get(made.instance as Uid)).toEqual(Buffer.from(made.bytes))
  })
})

/** Tells whether it is asked for a part behind its only one, and whether its answer was left. */
class Watched extends MemoryCluster {
  isAskedForMore = false
  isLeft = false

  constructor(id: string, held: MadeInstance) {
    super(id)
    this.add(held)
  }

  override async retrieve(request: RetrieveRequest): Promise<Parts> {
    return this.#watched(await super.retrieve(request))
  }

  async *#watched(parts: Parts): Parts {
    try {
      for await (const part of parts) {
        yield part
        this.isAskedForMore = true
      }
    } finally {
      this.isLeft = true
    }
  }
}

/** Breaks off in every part, as often as it is told to. */
class Breaking extends MemoryCluster {
  readonly #at: number
  #answers: number

  constructor(id: string, at: number, answers: number) {
    super(id, { priority: 9 })
    this.#at = at
    this.#answers = answers
  }

  override async retrieve(request: RetrieveRequest): Promise<Parts> {
    const parts = await super.retrieve(request)
    return this.#answers-- > 0 ? this.#broken(parts) : parts
  }

  async *#broken(parts: Parts): Parts {
    for await (const part of parts) {
      yield { ...part, body: this.#half(part) }
      throw new ClusterError(this.id, 'truncated', 'breaks off')
    }
  }

  async *#half({ body }: Part): AsyncGenerator<Uint8Array> {
    let left = this.#at
    for await (const chunk of body) {
      for (let from = 0; from < chunk.length && left > 0; from += 30_000) {
        const piece = chunk.subarray(from, Math.min(from + 30_000, from + left))
        left -= piece.length
        yield piece
      }
      if (left === 0) break
    }
    throw new ClusterError(this.id, 'truncated', 'breaks off')
  }
}

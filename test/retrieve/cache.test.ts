import { describe, expect, it } from 'vitest'
import type { Cluster } from '../../src/clusters/cluster.ts'
import type { Audience } from '../../src/core/audience.ts'
import { blocks } from '../../src/core/blocks.ts'
import { chained } from '../../src/core/chained.ts'
import { LinkError } from '../../src/core/errors.ts'
import { withRequest } from '../../src/core/request-context.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { withCache } from '../../src/retrieve/cache.ts'
import type { RetrieveService } from '../../src/retrieve/service.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { answered, datasets, FakeRetrieve, frameOf, Source, target, textsOf } from './fake-retrieve.ts'

/** One answer may have an eighth of it. */
const maxBytes = 64 * 1024
const maxAnswerBytes = maxBytes / 8

class Told {
  readonly results: string[] = []
  heldBytes = 0
  cacheAsked = (resource: string, result: string): void => void this.results.push(`${resource} ${result}`)
  cacheHeld = (bytes: number): void => {
    this.heldBytes = bytes
  }
}

function setup(options: { maxBytes?: number; clusters?: readonly Cluster[] } = {}) {
  const inner = new FakeRetrieve()
  const clock = new FakeClock()
  const told = new Told()
  const queries = new Map([['south', { internal: true, external: false }]])
  const clusters = [new MemoryCluster('north', { role: 'home' }), new MemoryCluster('south')]
  const cached = withCache(inner, { maxBytes, clusters, queries, clock, telemetry: told, ...options })
  return { inner, clock, told, cached }
}

const as = (audience: Audience = 'internal') => ({ audience, signal: new AbortController().signal })

/** Somebody who may leave. */
function visitor() {
  const controller = new AbortController()
  const leave = () => controller.abort(new LinkError('cancelled', 'left'))
  return { requester: { audience: 'internal', signal: controller.signal } as const, leave }
}

const pixels = ['pixels']

describe('what does not change', () => {
  const picture = { kind: 'rendered', target, mediaTypes: ['image/jpeg'], parameters: {} } as const
  const ways: [string, (cached: RetrieveService) => Promise<unknown>][] = [
    ['frames', async (cached) => textsOf(await cached.frames(frameOf(), as()))],
    ['bulk data', async (cached) => textsOf(await cached.bulkdata(target, 'token', as()))],
    ['a picture', async (cached) => textsOf(await cached.rendered(picture, as()))],
    ['a thumbnail', async (cached) => textsOf(await cached.rendered({ ...picture, kind: 'thumbnail' }, as()))],
    ['metadata', async (cached) => Array.fromAsync((await cached.metadata(target, 'http://a', as())).body)],
  ]

  it.each(ways)('is fetched once: %s', async (_, ask) => {
    const { inner, cached, told } = setup()
    const first = await ask(cached)
    expect(first).toHaveLength(1)
    expect(await ask(cached)).toEqual(first)
    expect(inner.asked).toHaveLength(1)
    expect(told.results.map((it) => it.split(' ')[1])).toEqual(['miss', 'hit'])
  })

  it('is in memory whole, with a digest that is that of the content however it came', async () => {
    const [one, other] = [setup(), setup()]
    other.inner.onParts = async () => answered(new Source(['p', 'ixel', 's']).parts())
    const [first, same] = [await one.cached.frames(frameOf(), as()), await other.cached.frames(frameOf(), as())]
    expect(first.inHand).toMatchObject({ length: 6, pieces: [{ length: 6, contentType: 'application/octet-stream' }] })
    expect(first.inHand?.digest).toMatch(/^[\da-f]{16}$/)
    expect(same.inHand?.digest).toBe(first.inHand?.digest)
  })

  it.each([
    ['other bytes', () => [new Source(['pixelz'])]],
    ['another type', () => [new Source(pixels, 'image/jpeg')]],
    ['the same bytes in two parts', () => [new Source(['pix']), new Source(['els'])]],
  ])('has another digest for %s', async (_, sources) => {
    const { inner, cached } = setup()
    const first = await cached.frames(frameOf(), as())
    inner.onParts = async () => answered(partsOf(sources()))
    const other = await cached.frames(frameOf({ frames: [2] }), as())
    expect(other.inHand?.digest).not.toBe(first.inHand?.digest)
  })

  it('has another digest than one part that contains the beginning of a second', async () => {
    const { inner, cached } = setup()
    const digestOf = async (frame: number, ...texts: string[]) => {
      inner.onParts = async () => answered(partsOf(texts.map((text) => new Source([text]))))
      return (await cached.frames(frameOf({ frames: [frame] }), as())).inHand?.digest
    }
    const two = await digestOf(1, 'a', 'b')
    expect(await digestOf(2, 'aapplication/octet-stream\nb')).not.toBe(two)
    expect(await digestOf(3, 'aapplication/octet-stream\n1\nb')).not.toBe(two)
  })

  it('may be read by several, each from its beginning', async () => {
    const { cached } = setup()
    const answer = await cached.frames(frameOf(), as())
    expect(await textsOf(answer)).toEqual(pixels)
    expect(await textsOf(answer)).toEqual(pixels)
  })

  it('is fetched anew after minutes, since archives correct and delete', async () => {
    const { inner, cached, clock } = setup()
    await cached.frames(frameOf(), as())
    await clock.advance(299_000)
    await cached.frames(frameOf(), as())
    expect(inner.asked).toHaveLength(1)
    await clock.advance(2000)
    await cached.frames(frameOf(), as())
    expect(inner.asked).toHaveLength(2)
  })

  it('is dropped when too much is kept, the least used first', async () => {
    const { inner, cached, told } = setup()
    inner.onParts = async () => answered(new Source(['x'.repeat(7000)]).parts())
    for (let frame = 1; frame <= 20; frame++) {
      await cached.frames(frameOf({ frames: [frame] }), as())
      await cached.frames(frameOf({ frames: [1] }), as())
    }
    expect(told.heldBytes).toBeGreaterThan(maxBytes / 2)
    expect(told.heldBytes).toBeLessThanOrEqual(maxBytes)
    expect(inner.asked).toHaveLength(20)
    await cached.frames(frameOf({ frames: [2] }), as())
    expect(inner.asked).toHaveLength(21)
  })

  it('holds no more than its bytes, though they came in a buffer with others', async () => {
    const { inner, cached } = setup()
    const large = Buffer.alloc(64 * 1024, 'x')
    inner.onParts = async () =>
      answered(
        (async function* () {
          yield { contentType: 'image/jpeg', body: partsOf([large.subarray(0, 100)]) }
        })(),
      )
    const { inHand } = await cached.frames(frameOf(), as())
    expect(inHand?.pieces[0]?.chunks[0]?.buffer.byteLength).toBe(100)
  })

  it('is not kept when nothing is to be kept', () => {
    const inner = new FakeRetrieve()
    const options = { clusters: [], queries: new Map(), clock: new FakeClock(), telemetry: new Told() }
    expect(withCache(inner, { ...options, maxBytes: 0 })).toBe(inner)
  })
})

async function* partsOf<T>(items: readonly (T | Source)[]): AsyncGenerator<never> {
  for (const item of items) yield (item instanceof Source ? item.part() : item) as never
}

describe('an answer is never that to another question', () => {
  const picture = (more: object = {}) =>
    ({ kind: 'rendered', target, mediaTypes: ['a/b'], parameters: {}, ...more }) as never
  const other = { ...target, instance: '1.2.3.5' as Uid }
  const pairs: [string, (cached: RetrieveService) => Promise<unknown>[]][] = [
    ['instances', (it) => [it.frames(frameOf(), as()), it.frames(frameOf({ target: other }), as())]],
    ['frames', (it) => [it.frames(frameOf(), as()), it.frames(frameOf({ frames: [2] }), as())]],
    ['orders', (it) => [it.frames(frameOf({ frames: [1, 2] }), as()), it.frames(frameOf({ frames: [2, 1] }), as())]],
    ['media types', (it) => [it.frames(frameOf(), as()), it.frames(frameOf({ mediaType: 'image/jp2' }), as())]],
    ['transfer syntaxes', (it) => [it.frames(frameOf(), as()), it.frames(frameOf({ transferSyntax: '1.2' }), as())]],
    ['bulk data', (it) => [it.bulkdata(target, 'a', as()), it.bulkdata(target, 'b', as())]],
    ['owners of bulk data', (it) => [it.bulkdata(target, 'a', as()), it.bulkdata(other, 'a', as())]],
    ['addresses of the proxy', (it) => [it.metadata(target, 'http://a', as()), it.metadata(target, 'http://b', as())]],
    ['sizes', (it) => [it.rendered(picture(), as()), it.rendered(picture({ kind: 'thumbnail' }), as())]],
    ['windows', (it) => [it.rendered(picture(), as()), it.rendered(picture({ parameters: { window: '1,2' } }), as())]],
    ['pictures', (it) => [it.rendered(picture(), as()), it.rendered(picture({ mediaTypes: ['c/d', 'a/b'] }), as())]],
    ['framed pictures', (it) => [it.rendered(picture(), as()), it.rendered(picture({ frames: [1] }), as())]],
    ['rights', (it) => [it.frames(frameOf(), as('internal')), it.frames(frameOf(), as('external'))]],
    ['peers', (it) => [it.bulkdata(target, 'a', as('internal')), it.bulkdata(target, 'a', as('home'))]],
    ['routes', (it) => [came(it, []), came(it, ['west'])]],
  ]
  const came = (it: RetrieveService, hops: string[]) => withRequest({ id: 'a', hops }, () => it.frames(frameOf(), as()))

  it.each(pairs)('%s', async (_, ask) => {
    const { inner, cached } = setup()
    await Promise.all(ask(cached))
    await Promise.all(ask(cached))
    expect(inner.asked).toHaveLength(2)
  })

  it('but audiences that may reach the same clusters share it', async () => {
    const { inner, cached } = setup()
    await cached.frames(frameOf(), as('external'))
    await cached.frames(frameOf(), as('home'))
    expect(inner.asked).toHaveLength(1)
  })
})

describe('who asks for what is being fetched', () => {
  it('gets that: ten at once are one fetch', async () => {
    const { inner, cached, told } = setup()
    const answers = await Promise.all(Array.from({ length: 10 }, () => cached.frames(frameOf(), as())))
    expect(inner.asked).toHaveLength(1)
    for (const answer of answers) expect(await textsOf(answer)).toEqual(pixels)
    expect(told.results.toSorted()).toEqual([...Array(9).fill('frames coalesced'), 'frames miss'])
  })

  it('gets the error of it, and the next one who asks does not', async () => {
    const { inner, cached } = setup()
    const { onParts } = inner
    inner.onParts = async () => Promise.reject(new LinkError('unavailable', 'nobody answers'))
    const asked = [cached.frames(frameOf(), as()), cached.frames(frameOf(), as())]
    for (const it of asked) await expect(it).rejects.toMatchObject({ code: 'unavailable' })
    inner.onParts = onParts
    expect(await textsOf(await cached.frames(frameOf(), as()))).toEqual(pixels)
    expect(inner.asked).toHaveLength(2)
  })

  it('gets the error of a source that dies in the middle, which is let go', async () => {
    const { inner, cached } = setup()
    const source = new Source(['pix', 'els'])
    const dead = Promise.withResolvers<void>()
    source.gate = dead.promise
    inner.onParts = async () => answered(source.parts())
    const asked = [cached.frames(frameOf(), as()), cached.frames(frameOf(), as())]
    source.failure = new LinkError('bad-gateway', 'broke off')
    dead.resolve()
    for (const it of asked) await expect(it).rejects.toMatchObject({ code: 'bad-gateway' })
    expect(source.isReturned).toBe(true)
    expect(inner.asked).toHaveLength(1)
  })

  it.each([
    ['lacks something', { status: 206, warnings: ['Results are incomplete'] } as const],
    ['is said to be incomplete', { status: 206 } as const],
    ['warns of something', { warnings: ['Results are incomplete'] }],
  ])('gets an answer that %s, which is not kept', async (_, incomplete) => {
    const { inner, cached } = setup()
    inner.onMetadata = async () => answered(datasets(1), incomplete)
    const ask = () => cached.metadata(target, 'http://a', as())
    for (const answer of await Promise.all([ask(), ask()])) expect(answer).toMatchObject(incomplete)
    expect(inner.asked).toHaveLength(1)
    await ask()
    expect(inner.asked).toHaveLength(2)
  })

  it('still gets it when the one who asked first leaves', async () => {
    const { inner, cached } = setup()
    const source = new Source(['pix', 'els'])
    const gate = Promise.withResolvers<void>()
    source.gate = gate.promise
    inner.onParts = async () => answered(source.parts())
    const [first, second] = [visitor(), visitor()]
    const asked = [cached.frames(frameOf(), first.requester), cached.frames(frameOf(), second.requester)] as const
    first.leave()
    await expect(asked[0]).rejects.toMatchObject({ code: 'cancelled' })
    expect(inner.asked[0]?.requester.signal.aborted).toBe(false)
    gate.resolve()
    expect(await textsOf(await asked[1])).toEqual(pixels)
    second.leave()
    expect(inner.asked[0]?.requester.signal.aborted).toBe(false)
  })

  it('cancels the fetch by leaving last, and whoever comes then has one of its own', async () => {
    const { inner, cached } = setup()
    const { onParts } = inner
    inner.onParts = () => new Promise(() => undefined)
    const both = [visitor(), visitor()]
    const asked = both.map(({ requester }) =>
      cached.frames(frameOf(), requester).catch((error: LinkError) => error.code),
    )
    for (const { leave } of both) leave()
    expect(await Promise.all(asked)).toEqual(['cancelled', 'cancelled'])
    expect(inner.asked[0]?.requester.signal.reason).toMatchObject({ code: 'cancelled' })
    inner.onParts = onParts
    expect(await textsOf(await cached.frames(frameOf(), as()))).toEqual(pixels)
    expect(inner.asked).toHaveLength(2)
  })

  it('shares metadata of a series too, which are not kept since instances may join it', async () => {
    const { inner, cached } = setup()
    inner.onMetadata = async () => answered(datasets(3))
    const { instance: _, ...series } = target
    const ask = async () => Array.fromAsync((await cached.metadata(series, 'http://a', as())).body)
    const [one, other] = await Promise.all([ask(), ask()])
    expect(one).toHaveLength(3)
    expect(other).toEqual(one)
    expect(inner.asked).toHaveLength(1)
    await ask()
    expect(inner.asked).toHaveLength(2)
  })

  it.each([
    ['metadata of a study', (it: RetrieveService) => it.metadata({ study: target.study }, 'http://a', as())],
    ['instances', (it: RetrieveService) => it.instances({ target, transferSyntax: '*' }, as())],
    [
      'the picture of a study',
      (it: RetrieveService) =>
        it.rendered({ kind: 'thumbnail', target: { study: target.study }, mediaTypes: [], parameters: {} }, as()),
    ],
  ])('of %s asks for itself', async (_, ask) => {
    const { inner, cached, told } = setup()
    const answers = await Promise.all([ask(cached), ask(cached)])
    expect(answers.map(({ inHand }) => inHand)).toEqual([undefined, undefined])
    expect(inner.asked).toHaveLength(2)
    expect(told.results).toEqual([])
  })
})

describe('an answer that is too large', () => {
  const kilobyte = 'x'.repeat(1024)
  const chunks = Array.from({ length: 32 }, () => kilobyte)
  const large = chunks.join('')

  function largeSetup(more: object = {}) {
    const parts = setup()
    const sources: Source[] = []
    parts.inner.onParts = async () => {
      const source = new Source(chunks)
      sources.push(source)
      return answered(source.parts(more))
    }
    return { ...parts, sources }
  }

  it('goes to the first who asked as it comes, and the others ask for themselves', async () => {
    const { cached, sources } = largeSetup()
    const answers = await Promise.all([1, 2, 3].map(() => cached.frames(frameOf(), as())))
    expect(sources.map(({ read }) => read)).toEqual([maxAnswerBytes / 1024 + 1, 0, 0])
    for (const answer of answers) {
      expect(answer.inHand).toBeUndefined()
      expect(await textsOf(answer)).toEqual([large])
    }
  })

  it('is not collected again, nor kept', async () => {
    const { cached, sources, told } = largeSetup()
    await cached.frames(frameOf(), as())
    const again = await cached.frames(frameOf(), as())
    expect(sources[1]?.read).toBe(0)
    expect(await textsOf(again)).toEqual([large])
    expect(told.results).toEqual(['frames miss', 'frames too-large'])
    expect(told.heldBytes).toBe(0)
  })

  it('is not collected at all when it says so', async () => {
    const { cached, sources } = largeSetup({ length: large.length })
    const answer = await cached.frames(frameOf(), as())
    expect(sources[0]?.read).toBe(0)
    expect(await textsOf(answer)).toEqual([large])
  })

  it('goes to the next one when the first has left', async () => {
    const { inner, cached, sources } = largeSetup()
    const [first, second] = [visitor(), visitor()]
    const asked = [cached.frames(frameOf(), first.requester), cached.frames(frameOf(), second.requester)] as const
    first.leave()
    await expect(asked[0]).rejects.toMatchObject({ code: 'cancelled' })
    expect(await textsOf(await asked[1])).toEqual([large])
    expect(sources).toHaveLength(1)
    expect(inner.asked).toHaveLength(1)
  })

  it('is cancelled by the one who has it, whether others wait or not', async () => {
    const { inner, cached } = largeSetup()
    const { requester, leave } = visitor()
    await cached.frames(frameOf(), requester)
    expect(inner.asked[0]?.requester.signal.aborted).toBe(false)
    leave()
    expect(inner.asked[0]?.requester.signal.reason).toMatchObject({ code: 'cancelled' })
  })

  it('is let go when it is left in the middle', async () => {
    const { cached, sources } = largeSetup()
    const { body } = await cached.frames(frameOf(), as())
    for await (const _ of body) break
    expect(sources[0]?.isReturned).toBe(true)
  })

  it('comes with all its parts, those that had been read too', async () => {
    const { inner, cached } = setup()
    const sources = [new Source(['one']), new Source(chunks), new Source(['three'])]
    inner.onParts = async () => answered(partsOf(sources))
    expect(await textsOf(await cached.frames(frameOf(), as()))).toEqual(['one', large, 'three'])
  })

  it('comes with all its datasets', async () => {
    const { inner, cached } = setup()
    inner.onMetadata = async () => answered(datasets(20, kilobyte))
    const answer = await cached.metadata(target, 'http://a', as())
    expect(answer.inHand).toBeUndefined()
    expect(await Array.fromAsync(answer.body)).toEqual(await Array.fromAsync(datasets(20, kilobyte)))
  })

  it('is so for the moment only when too many are on their way into memory', async () => {
    const { inner, cached } = setup()
    const gates = Array.from({ length: 12 }, () => Promise.withResolvers<void>())
    const sources = gates.map(({ promise }) =>
      Object.assign(new Source([...chunks.slice(0, 7), 'end']), { gate: promise }),
    )
    const left = [...sources]
    inner.onParts = async () => answered((left.shift() ?? new Source(pixels)).parts())
    const frames = gates.map((_, index) => cached.frames(frameOf({ frames: [index + 1] }), as()))
    await turn()
    expect(sources.reduce((total, { read }) => total + read, 0) * 1024).toBeLessThanOrEqual(maxBytes + 12 * 1024)
    for (const { resolve } of gates) resolve()
    const answers = await Promise.all(frames)
    const streamed = answers.findIndex(({ inHand }) => !inHand)
    expect(streamed).toBeGreaterThanOrEqual(0)
    for (const answer of answers) expect(await textsOf(answer)).toEqual([`${kilobyte.repeat(7)}end`])
    await cached.frames(frameOf({ frames: [streamed + 1] }), as())
    const kept = await cached.frames(frameOf({ frames: [streamed + 1] }), as())
    expect(kept.inHand).toBeDefined()
  })
})

describe('the memory of an answer', () => {
  const roomy = { maxBytes: 8 * 64 * 1024 }

  /** An answer in a block, and whether that has been given back: taking blocks shows it. */
  function inBlock() {
    const block = blocks.take(50_000).fill(1)
    const source = { held: [block], length: block.length, contentType: 'image/jpeg', body: chained([block]) }
    return { parts: chained([source]), buffer: block.buffer }
  }
  const freed = () => new Set(Array.from({ length: 20 }, () => blocks.take(50_000).buffer))

  it('is used again when it is not kept any more and all who got it are done', async () => {
    const { inner, cached } = setup(roomy)
    const { parts, buffer } = inBlock()
    inner.onParts = async () => answered(parts)
    const answers = [await cached.frames(frameOf(), as()), await cached.frames(frameOf(), as())]
    answers[0]?.inHand?.lending.done()
    cached.forget(target.study)
    expect(freed()).not.toContain(buffer)
    answers[1]?.inHand?.lending.done()
    expect(freed()).toContain(buffer)
  })

  it('is not, as long as it is kept', async () => {
    const { inner, cached } = setup(roomy)
    const { parts, buffer } = inBlock()
    inner.onParts = async () => answered(parts)
    ;(await cached.frames(frameOf(), as())).inHand?.lending.done()
    expect(freed()).not.toContain(buffer)
  })

  it.each(Array.from({ length: 40 }, (_, turns) => turns))(
    'is not, before it is given to who waits, when it is dropped %i turns after it came',
    async (turns) => {
      const { inner, cached } = setup(roomy)
      const { parts, buffer } = inBlock()
      inner.onParts = async () => answered(parts)
      const asked = cached.frames(frameOf(), as())
      for (let turn = 0; turn < turns; turn++) await undefined
      cached.forget(target.study)
      await asked
      expect(freed()).not.toContain(buffer)
    },
  )
})

describe('a study that changed', () => {
  it('is fetched anew, other studies are not', async () => {
    const { inner, cached, told } = setup()
    const elsewhere = frameOf({ target: { ...target, study: '1.9' as Uid } })
    for (const it of [frameOf(), elsewhere]) await cached.frames(it, as())
    await cached.metadata(target, 'http://a', as())
    cached.forget(target.study)
    expect(inner.forgotten).toEqual([target.study])
    expect(told.heldBytes).toBeGreaterThan(0)
    await cached.frames(elsewhere, as())
    expect(inner.asked).toHaveLength(3)
    await cached.frames(frameOf(), as())
    await cached.metadata(target, 'http://a', as())
    expect(inner.asked).toHaveLength(5)
  })

  it('is not met with what was under way before, which is not kept either', async () => {
    const { inner, cached } = setup()
    const gate = Promise.withResolvers<void>()
    const old = Object.assign(new Source(['old']), { gate: gate.promise })
    inner.onParts = async () => answered(old.parts())
    const before = cached.frames(frameOf(), as())
    cached.forget(target.study)
    inner.onParts = async () => answered(new Source(['new']).parts())
    const after = await cached.frames(frameOf(), as())
    gate.resolve()
    expect([await textsOf(await before), await textsOf(after)]).toEqual([['old'], ['new']])
    expect(await textsOf(await cached.frames(frameOf(), as()))).toEqual(['new'])
  })

  it('leaves nothing behind of studies long forgotten', async () => {
    const { cached, told } = setup()
    await cached.frames(frameOf(), as())
    cached.forget(target.study)
    expect(told.heldBytes).toBe(0)
  })
})

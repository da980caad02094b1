import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ClusterStatus } from '../../src/clusters/registry.ts'
import { type Availability, availabilities } from '../../src/dicom/availability.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { type Criterion, criteria, rank, rankHolders, type Standing } from '../../src/retrieve/choose.ts'
import type { HeldSeries } from '../../src/retrieve/locate.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const uid = (n: number): Uid => parseUid(`1.2.3.${n}`, 'test')

interface Given extends Partial<Omit<ClusterStatus, 'pool'>> {
  readonly id: string
  readonly series?: readonly Partial<HeldSeries>[]
  readonly priority?: number
  readonly waiting?: number
}

/** A holder of series 1, 2, … that is well and idle unless said otherwise. */
function standing({ id, series = [{ instances: 1 }], priority = 0, waiting = 0, ...status }: Given): Standing {
  const held = series.map(
    (it, index) => [uid(index), { instances: undefined, availability: undefined, ...it }] as const,
  )
  return {
    holder: { cluster: new MemoryCluster(id, { priority }), series: new Map(held) },
    status: { id, role: 'linked', state: 'up', breaker: 'closed', since: 0, ...status, pool: { running: 0, waiting } },
  }
}

const order = (...given: readonly Given[]) => rankHolders(given.map(standing)).map(({ cluster }) => cluster.id)

interface Merit extends Omit<Given, 'id' | 'series'> {
  /** How many series, how many instances in all of them, and where these are. */
  readonly count?: number
  readonly total?: number
  readonly availability?: Availability
}

const having = (id: string, { count = 1, total = 5, availability, ...given }: Merit): Standing => {
  const series = Array.from({ length: count }, (_, index) => ({ instances: index === 0 ? total : 0, availability }))
  return standing({ ...given, id, series })
}

/** By criterion, what makes a holder the better one and what the worse one. */
const merits = Object.entries({
  health: [{ state: 'up' }, { state: 'down' }],
  availability: [{ availability: 'ONLINE' }, { availability: 'NEARLINE' }],
  series: [{ count: 2 }, { count: 1 }],
  instances: [{ total: 2 }, { total: 1 }],
  priority: [{ priority: 1 }, { priority: 0 }],
  load: [{ waiting: 0 }, { waiting: 1 }],
  speed: [{ firstByteMs: 10 }, { firstByteMs: 40 }],
} satisfies Record<Exclude<Criterion, 'id'>, [Merit, Merit]>) as [Criterion, [better: Merit, worse: Merit]][]

const combinations = merits.flatMap(([stronger, a], index) =>
  merits.slice(index + 1).map(([weaker, b]) => [stronger, weaker, a, b] as const),
)
const placesOf = (...standings: readonly Standing[]) => rank(standings).map((it) => [it.merits.id, it.decidedBy])

describe('of two holders the first is', () => {
  it.each(merits)('the better one by %s, where nothing else differs', (criterion, [better, worse]) => {
    expect(placesOf(having('a', worse), having('b', better))).toEqual([
      ['b', undefined],
      ['a', criterion],
    ])
  })

  it('that of the smaller id, where nothing differs', () => {
    expect(placesOf(having('b', {}), having('a', {}))).toEqual([
      ['a', undefined],
      ['b', 'id'],
    ])
  })

  it.each(combinations)('the better one by %s, though it is the worse one by %s', (criterion, _, strong, weak) => {
    const [better, worse] = [
      { ...weak[1], ...strong[0] },
      { ...weak[0], ...strong[1] },
    ]
    expect(placesOf(having('a', worse), having('b', better))).toEqual([
      ['b', undefined],
      ['a', criterion],
    ])
  })
})

describe('a holder', () => {
  it('with an open breaker is the last, whatever it has', () => {
    const complete = { id: 'a', priority: 9, series: [{ instances: 9, availability: 'ONLINE' }] } as const
    expect(order({ ...complete, breaker: 'open' }, { id: 'b', series: [{ availability: 'OFFLINE' }] })).toEqual([
      'b',
      'a',
    ])
  })

  it('that is not known yet is as good as one that is up', () => {
    expect(order({ id: 'a', state: 'unknown' }, { id: 'b' })).toEqual(['a', 'b'])
    expect(rankHolders([{ ...standing({ id: 'a' }), status: undefined }, standing({ id: 'b' })])[0]?.cluster.id).toBe(
      'a',
    )
  })

  it('is as near as the farthest of its series', () => {
    const mixed = { id: 'a', series: [{ availability: 'ONLINE' }, { availability: 'OFFLINE' }] } as const
    const nearline = { id: 'b', series: [{ availability: 'NEARLINE' }, {}] } as const
    expect(order(mixed, nearline)).toEqual(['b', 'a'])
    const wanted = rankHolders([standing(mixed), standing(nearline)], uid(0))
    expect(wanted.map(({ cluster }) => cluster.id)).toEqual(['a', 'b'])
  })

  it.each([...availabilities.entries()])('%i. of four is the one that is %s', (place, availability) => {
    const all = availabilities.map((it) => ({ id: it, series: [{ availability: it }] }))
    expect(order(...all.toReversed())[place]).toBe(availability)
  })

  it('that does not count its instances is taken for complete, and so left to its priority', () => {
    const uncounted = { id: 'b', priority: 1, series: [{}] }
    expect(order({ id: 'a', series: [{ instances: 20 }] }, uncounted)).toEqual(['b', 'a'])
    expect(order({ id: 'a', priority: 2, series: [{ instances: 20 }] }, uncounted)).toEqual(['a', 'b'])
  })

  it('is judged by the series that is wanted only', () => {
    const larger = { id: 'b', series: [{ instances: 1 }, { instances: 90 }] }
    expect(order({ id: 'a', series: [{ instances: 2 }] }, larger)).toEqual(['b', 'a'])
    const wanted = rankHolders([standing(larger), standing({ id: 'a', series: [{ instances: 2 }] })], uid(0))
    expect(wanted.map(({ cluster }) => cluster.id)).toEqual(['a', 'b'])
  })

  it('is not behind another one for a little more time', () => {
    expect(order({ id: 'a', firstByteMs: 36 }, { id: 'b', firstByteMs: 30 })).toEqual(['a', 'b'])
  })

  it('with a slow line is behind one that is slower to begin', () => {
    const late = { id: 'b', firstByteMs: 40, bytesPerSecond: 100e6 }
    expect(order({ id: 'a', firstByteMs: 10, bytesPerSecond: 5e6 }, late)).toEqual(['b', 'a'])
  })

  it('that gave nothing yet is judged by its searches, and is tried before a slow one', () => {
    expect(order({ id: 'a', firstByteMs: 40 }, { id: 'b', latencyMs: 10 })).toEqual(['b', 'a'])
    expect(order({ id: 'a', firstByteMs: 40 }, { id: 'b', latencyMs: 200 })).toEqual(['a', 'b'])
    expect(order({ id: 'a', firstByteMs: 40 }, { id: 'b' })).toEqual(['b', 'a'])
  })
})

const availability = fc.option(fc.constantFrom(...availabilities), { nil: undefined })
const counted = fc.record({ instances: fc.integer({ min: 0, max: 3 }), availability })
const uncounted = fc.record({ instances: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }), availability })

/** Several holders that differ in anything, each with an id of its own. */
const holdersOf = (copy: typeof uncounted) =>
  fc
    .array(
      fc.record(
        {
          state: fc.constantFrom('up', 'down', 'unknown'),
          breaker: fc.constantFrom('closed', 'open', 'half-open'),
          latencyMs: fc.integer({ min: 0, max: 300 }),
          firstByteMs: fc.integer({ min: 1, max: 300 }),
          bytesPerSecond: fc.integer({ min: 1, max: 1e8 }),
          waiting: fc.integer({ min: 0, max: 2 }),
          priority: fc.integer({ min: 0, max: 2 }),
          series: fc.array(copy, { maxLength: 3 }),
        },
        { requiredKeys: [] },
      ),
      { minLength: 2, maxLength: 6 },
    )
    .map((all) => all.map((it, index) => standing({ ...(it as Partial<Given>), id: `c${index}` })))
const holders = holdersOf(uncounted)

const ids = (standings: readonly Standing[], series?: Uid) =>
  rankHolders(standings, series).map(({ cluster }) => cluster.id)

describe('the order of any holders', () => {
  it('has each of them once, and is the same in whatever order they come', () => {
    const shuffled = holders.chain((all) =>
      fc.record({ all: fc.constantFrom(all), mixed: fc.shuffledSubarray(all, { minLength: all.length }) }),
    )
    fc.assert(
      fc.property(shuffled, ({ all, mixed }) => {
        expect(ids(mixed)).toEqual(ids(all))
        expect(ids(all, uid(0))).toEqual(ids(mixed, uid(0)))
        expect(ids(all).toSorted()).toEqual(all.map(({ holder }) => holder.cluster.id).toSorted())
      }),
    )
  })

  it('is total, antisymmetric and transitive: of any two the same one comes first, whoever else is there', () => {
    // A count that is not told depends on the other copies.
    fc.assert(
      fc.property(holdersOf(counted), (all) => {
        const ranked = ids(all)
        for (const a of all) {
          for (const b of all.filter((it) => it !== a)) {
            const [x, y] = [a.holder.cluster.id, b.holder.cluster.id]
            expect(ids([a, b])).toEqual(ranked.indexOf(x) < ranked.indexOf(y) ? [x, y] : [y, x])
          }
        }
      }),
    )
  })

  it('says of each but the first what puts it behind the one before: what comes earlier in the list is equal', () => {
    const meritOf = ({ merits }: ReturnType<typeof rank>[number]) => ({
      health: merits.isIll,
      availability: merits.availability,
      series: merits.series,
      instances: merits.instances,
      priority: merits.priority,
      load: merits.isBusy,
      speed: Math.round(Math.log2(Math.max(1, merits.expectedMs))),
      id: merits.id,
    })
    fc.assert(
      fc.property(holders, (all) => {
        const ranked = rank(all)
        expect(ranked[0]?.decidedBy).toBeUndefined()
        for (const [index, here] of ranked.entries()) {
          const before = ranked[index - 1]
          if (!before) continue
          const different = criteria.find((it) => meritOf(here)[it] !== meritOf(before)[it])
          expect(here.decidedBy).toBe(different)
        }
      }),
    )
  })
})

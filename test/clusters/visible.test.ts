import { describe, expect, it } from 'vitest'
import { type QuerySwitches, visibleClusters, visibleTo } from '../../src/clusters/visible.ts'
import type { Audience } from '../../src/core/audience.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const home = new MemoryCluster('north', { role: 'home' })
const linked = new MemoryCluster('south')
const thirdParty = new MemoryCluster('cardio', { role: 'thirdParty' })
const all = [home, linked, thirdParty]

const on = { internal: true, external: true }
const inside = { internal: true, external: false }
const outside = { internal: false, external: true }
const off = { internal: false, external: false }

const switches = (north: typeof on, south: typeof on, cardio = on) => new Map(Object.entries({ north, south, cardio }))

describe('a cluster is visible', () => {
  it.each<[Audience, QuerySwitches, string[]]>([
    ['internal', switches(on, on, on), ['north', 'south', 'cardio']],
    ['external', switches(on, on, on), ['north', 'south', 'cardio']],
    ['home', switches(on, on, on), ['north']],
    ['internal', switches(outside, inside, off), ['south']],
    ['external', switches(outside, inside, off), ['north']],
    ['home', switches(off, on, on), ['north']],
    ['internal', new Map(), ['north', 'south', 'cardio']],
    ['external', new Map(), ['north', 'south', 'cardio']],
    ['home', new Map(), ['north']],
  ])('to the audience %s as the switches say, to peers home alone: %j', (audience, rules, visible) => {
    expect(visibleClusters(audience, all, rules).map(({ id }) => id)).toEqual(visible)
  })

  it.each([
    ['internal', outside, 'does not answer internal queries'],
    ['external', inside, 'does not answer external queries'],
    ['home', on, 'is not asked for a peer proxy'],
  ] as const)('or it is said why not to %s', (audience, queries, why) => {
    expect(visibleTo(audience, linked, switches(on, queries))).toBe(why)
  })
})

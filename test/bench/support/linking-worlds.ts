import { joinVersions } from '../../../src/link/version.ts'
import { Agenda, Gauge } from './agenda.ts'
import {
  type Content,
  dayMs,
  instancesOf,
  joined,
  type Load,
  randomFrom,
  type Study,
  studiesOf,
} from './linked-load.ts'
import { Channel } from './linking-channel.ts'
import { Counts, type Lines, nothingTold, Receiver, type Told } from './linking-ends.ts'
import { siteId } from './notice-sizes.ts'

export interface World {
  readonly load: Load
  readonly lines: Lines
  readonly sites: number
  readonly days: number
  readonly seed: number
  readonly coalescing: 'none' | 'queue'
  readonly quietMs: number
  readonly atOnce: number
  readonly updates: 'all' | 'holders'
  /** When the site that is looked at is away, in milliseconds; `usual`: jobs that wait when it is not. */
  readonly away?: { readonly from: number; readonly until: number; readonly usual: number } | undefined
}

/** What comes to one site, or to one over one link. */
export interface Flow {
  readonly counts: Counts
  /** Jobs that wait at those who tell it. */
  readonly waiting: Gauge
  /** Studies of which something is there in the end. */
  readonly studies: number
}

/** So many sites that tell one are simulated; where there are more they count for all: links share nothing but lines. */
const linksSimulated = 12

/**
 * Each tells each. One site is looked at, and what all others tell it: since all are alike, it is also what one site
 * tells all others.
 */
export function simulateMesh(world: World): Flow & { readonly links: number } {
  const sites = Math.min(world.sites, linksSimulated + 1)
  const links = (world.sites - 1) / (sites - 1)
  const run = new Run({ ...world, sites })
  const here = run.receiver(0, { together: 1, apart: links - 1 })
  const [counts, waiting] = [new Counts(), new Gauge(world.away)]
  const from = Array.from({ length: sites }, () => run.channel(here, { counts, waiting }))
  run.changes((study, { site }) => {
    if (site !== 0) from[site]?.request(study)
  })
  return { ...flowOf(here, counts, waiting), links }
}

/**
 * What a hub tells one of the others, that has what all of them told it at once. It has as many such links as there are
 * others, and they share its line; what others tell it is as in a mesh.
 */
export function simulateHub(world: World): Flow {
  const run = new Run(world)
  const leaf = run.receiver(1, { together: world.sites - 1, apart: 0 })
  const [counts, waiting] = [new Counts(), new Gauge()]
  const toLeaf = run.channel(leaf, { counts, waiting })
  run.changes((study, { site }) => {
    if (site !== 1) toLeaf.request(study)
  })
  return flowOf(leaf, counts, waiting)
}

const flowOf = ({ known }: Receiver, counts: Counts, waiting: Gauge): Flow => ({
  ...{ counts, waiting },
  studies: [...known.values()].filter(({ content }) => instancesOf(content) > 0).length,
})

type ChannelParts = Pick<ConstructorParameters<typeof Channel>[0], 'counts' | 'waiting'>

class Run {
  readonly #world: World
  readonly #agenda = new Agenda()
  readonly #studies: readonly Study[]
  readonly #truth = new Map<number, Told>()
  readonly #random: () => number
  readonly #receivers = new Map<number, Receiver>()

  constructor(world: World) {
    this.#world = world
    this.#studies = studiesOf(world.load, world)
    this.#random = randomFrom(world.seed)
  }

  /** What all sites together have of a study. */
  #truthOf(study: Study): Told {
    return this.#truth.get(study.id) ?? nothingTold
  }

  receiver(site: number, alike: ConstructorParameters<typeof Receiver>[0]): Receiver {
    const receiver = new Receiver(alike)
    this.#receivers.set(site, receiver)
    for (const study of this.#studies) {
      if (study.holder === site) receiver.known.set(study.id, { content: imagesOf(study), version: {} })
    }
    return receiver
  }

  channel(receiver: Receiver, parts: ChannelParts): Channel {
    const { load, lines, coalescing, quietMs, atOnce, updates, away } = this.#world
    return new Channel({
      ...{ agenda: this.#agenda, load, lines, random: this.#random, receiver, coalescing, quietMs, atOnce, ...parts },
      has: (study) => this.#truthOf(study),
      holds: updates === 'all' ? undefined : (study) => instancesOf(receiver.has(study).content) > 0,
      isAway: (now) => away !== undefined && now >= away.from && now < away.until,
    })
  }

  /** Lets all changes happen, and what follows from them. */
  changes(tell: (study: Study, change: Study['changes'][number]) => void): void {
    const all = this.#studies.flatMap((study) => study.changes.map((change) => ({ study, change })))
    for (const { study, change } of all.sort((a, b) => a.change.atMs - b.change.atMs)) {
      this.#agenda.run(change.atMs)
      this.#note(study, change)
      tell(study, change)
    }
    this.#agenda.run(longestDays * dayMs)
  }

  /** What a site stores itself it has. Who tells of a study has at once what others brought to it. */
  #note(study: Study, { site, brings }: Study['changes'][number]): void {
    this.#truth.set(study.id, raised(this.#truthOf(study), site, brings))
    const own = this.#receivers.get(site)
    own?.known.set(study.id, raised(own.has(study), site, brings))
  }
}

/** Of what takes longer nothing is waited for. */
const longestDays = 30

const imagesOf = ({ kind }: Study): Content => ({
  ...{ images: kind.instances, presentation: false, report: false, words: 0 },
})

function raised({ content, version }: Told, site: number, brings: Partial<Content>): Told {
  const id = siteId(site)
  return { content: joined(content, brings), version: joinVersions(version, { [id]: (version[id] ?? 0) + 1 }) }
}

import { configSchema } from '../../src/config/schema.ts'
import type { Scenario } from './scenario.ts'
import { changedBetween, dayMs, type Load, nothing, type StudyKind, studiesOf } from './support/linked-load.ts'
import type { Counts } from './support/linking-ends.ts'
import { sweepCost } from './support/linking-sweep.ts'
import { type Flow, simulateHub, simulateMesh, type World } from './support/linking-worlds.ts'
import type { Table } from './support/measure.ts'
import { noticeBytes, siteId } from './support/notice-sizes.ts'

/** What is assumed; what the product decides is taken from the product. */
const kinds: readonly StudyKind[] = [
  {
    ...{ name: 'CT', share: 0.25, sopClass: '1.2.840.10008.5.1.4.1.1.2', instances: 500, series: 4 },
    ...{ bytesEach: 530_000, requests: 100, everyMs: 500 },
  },
  {
    ...{ name: 'US', share: 0.35, sopClass: '1.2.840.10008.5.1.4.1.1.6.1', instances: 30, series: 1 },
    ...{ bytesEach: 1_000_000, requests: 30, everyMs: 20_000 },
  },
  {
    ...{ name: 'CR', share: 0.4, sopClass: '1.2.840.10008.5.1.4.1.1.1', instances: 2, series: 2 },
    ...{ bytesEach: 8_000_000, requests: 2, everyMs: 60_000 },
  },
]
const load: Load = {
  kinds,
  ...{ studiesPerDay: 60, inWorkingHours: 0.8, reportedElsewhere: 0.1, presented: 0.2, heldElsewhere: 0.05 },
  ...{ reportBytes: 20_000, presentationBytes: 10_000 },
}
const lines = { roundTripMs: 20, siteMbit: 1000, pullMbit: 200, inventoryMs: 50, retrieveMs: 20 }
const quietMs = 60_000
const seed = 20_260_131
/** Sites that one of is away, in a mesh. */
const awaySites = 5

export const sizes: readonly number[] = [2, 5, 10, 20, 50, 100, 200]

const { clusters, replication } = configSchema.parse({
  site: 'north',
  clusters: [
    { id: 'north', role: 'home', embedded: {} },
    { id: 'south', role: 'linked', embedded: {} },
  ],
})
const world: Omit<World, 'sites'> = {
  ...{ load, lines, days: 1, seed, coalescing: 'queue', quietMs: 0, updates: 'all' },
  atOnce: clusters[1]?.updatesAtOnce ?? Number.NaN,
}

export const scaling: Scenario = {
  name: 'scaling',
  about: `2 to ${sizes.at(-1)} linked sites for a day, simulated by the rules of the product: notices, pulls, queues, sweeps`,
  run: async (say) => tablesOf(sizes, say),
}

/** The same for the same sizes. */
export function tablesOf(wanted: readonly number[], say: (line: string) => void = () => undefined): Table[] {
  const simulated = wanted.map((sites) => {
    say(`${sites} sites`)
    return simulate(sites)
  })
  return [assumed(), manifests(), ...shown.map((table) => table(simulated)), away(), sweeps(simulated), rows(simulated)]
}

interface Simulated {
  readonly sites: number
  /** What one site of a mesh tells all others in a day; each change by a notice of its own; after it is quiet. */
  readonly mesh: Counts
  readonly each: Counts
  readonly quiet: Counts
  readonly holders: Flow
  /** Jobs that wait at one site, in the mean. */
  readonly waiting: number
  readonly toLeaf: Flow
}

function simulate(sites: number): Simulated {
  const all = (different: Partial<World>) => {
    const { counts, links, waiting } = simulateMesh({ ...world, sites, ...different })
    return { counts: counts.times(links), waiting: (waiting.area / dayMs) * links }
  }
  const mesh = all({})
  const { links, ...holders } = simulateMesh({ ...world, sites, updates: 'holders' })
  return {
    ...{ sites, mesh: mesh.counts, waiting: mesh.waiting },
    ...{ each: all({ coalescing: 'none' }).counts, quiet: all({ quietMs }).counts },
    // What is held elsewhere is held by one site, however many there are; all are asked.
    holders: { ...holders, counts: Object.assign(holders.counts.times(1), { asked: holders.counts.asked * links }) },
    toLeaf: simulateHub({ ...world, sites }),
  }
}

function assumed(): Table {
  const percent = (share: number) => `${Math.round(share * 100)} %`
  const kindRow = ({ name, share, instances, series, bytesEach, requests, everyMs }: StudyKind) => [
    `${name}: ${percent(share)} of studies`,
    `${instances} instances of ${number(bytesEach / 1e6)} MB in ${series} series, stored by ${requests} requests, one every ${everyMs / 1000} s`,
  ]
  return {
    title: 'Assumptions',
    columns: ['what', 'value'],
    rows: [
      [
        'studies of a site in a day',
        `${load.studiesPerDay}, ${percent(load.inWorkingHours)} of them from 8 to 18 o'clock`,
      ],
      ...kinds.map(kindRow),
      [
        'added later',
        `SR of ${load.reportBytes / 1000} kB ½ to 4 h later, with two changes of the report status; PR to ${percent(load.presented)}`,
      ],
      ['reported at another site', percent(load.reportedElsewhere)],
      ['images held by one other site before', percent(load.heldElsewhere)],
      [
        'line of a site, each way; one pull at most',
        `${lines.siteMbit} and ${lines.pullMbit} Mbit/s; round trip ${lines.roundTripMs} ms`,
      ],
      ['an archive lists a study; begins to answer a retrieval', `${lines.inventoryMs} ms; ${lines.retrieveMs} ms`],
      ['seed', seed],
    ],
  }
}

/** Images alone, then with what is added. */
function manifests(): Table {
  const row = (kind: StudyKind) => {
    const told = { ...nothing, images: kind.instances }
    const version = { [siteId(0)]: kind.requests, [siteId(1)]: 3 }
    const later = { ...told, presentation: true, report: true, words: 2 }
    const half = { ...nothing, images: kind.instances / 2 }
    return [kind.name, kind.instances, ...[half, told, later].map((it) => noticeBytes(kind, it, version))]
  }
  const columns = ['study', 'instances', 'notice of half of it, bytes', 'of all of it', 'with SR and PR']
  return { title: 'Notices', columns, rows: kinds.map(row) }
}

const shown: readonly ((simulated: readonly Simulated[]) => Table)[] = [
  (simulated) => ({
    title: 'Full mesh, `updates: all`: what one site sends, and receives as much',
    columns: [
      ...[
        'sites',
        'notices/h',
        'busiest hour',
        'MB of notices/h',
        'receipts asked for/h',
        'retrievals/h',
        'instances/s',
      ],
      ...['GB pulled a day', 'Mbit/s', 'jobs waiting, mean'],
    ],
    rows: simulated.map(({ sites, mesh, waiting }) => [
      sites,
      ...[perHour(mesh.notices), busiest(mesh), perHour(mesh.noticeBytes / 1e6), perHour(mesh.polls)].map(number),
      ...[perHour(mesh.retrievals), perHour(mesh.instances) / 3600, mesh.bytes / 1e9, mbit(mesh.bytes)].map(number),
      number(waiting),
    ]),
  }),
  (simulated) => ({
    title: 'Full mesh: notices of one site in a day, with and without coalescing',
    columns: [
      ...['sites', 'each change a notice', 'MB', 'jobs of a study are one (the product)', 'MB'],
      ...[`told ${quietMs / 1000} s after the last change`, 'MB', 'retrievals (the product)', 'retrievals (after)'],
    ],
    rows: simulated.map(({ sites, each, mesh, quiet }) => [
      sites,
      ...[each, mesh, quiet].flatMap(({ notices, noticeBytes: bytes }) => [notices, bytes / 1e6]).map(number),
      ...[mesh, quiet].map(({ retrievals }) => number(retrievals)),
    ]),
  }),
  (simulated) => ({
    title: 'A hub that relays, `updates: all`',
    columns: [
      ...['sites', 'hub: notices sent/h', 'received/h', 'GB sent a day', 'line wanted, %', 'jobs waiting at most'],
      ...['all is told at, h', 'another site: notices sent/h', 'received/h', 'GB pulled a day'],
    ],
    rows: simulated.map(({ sites, mesh, toLeaf: { counts, waiting } }) => {
      const [others, sent] = [sites - 1, counts.bytes * (sites - 1)]
      return [
        sites,
        ...[perHour(counts.notices * others), perHour(mesh.notices), sent / 1e9].map(number),
        ...[(mbit(sent) / lines.siteMbit) * 100, waiting.most * others, waiting.busyUntil / 3_600_000].map(number),
        ...[perHour(mesh.notices / others), perHour(counts.notices), counts.bytes / 1e9].map(number),
      ]
    }),
  }),
  (simulated) => ({
    title: 'Full mesh, `updates: holders`, beside `all`',
    columns: [
      ...['sites', 'questions/h', 'notices/h', 'MB pulled a day', 'studies here in the evening'],
      ...['of `all`: notices/h', 'GB pulled a day', 'studies here'],
    ],
    rows: simulated.map(({ sites, holders: { counts, studies }, mesh }) => [
      sites,
      ...[perHour(counts.asked), perHour(counts.notices), counts.bytes / 1e6, studies].map(number),
      ...[perHour(mesh.notices), mesh.bytes / 1e9, sites * load.studiesPerDay].map(number),
    ]),
  }),
]

/** One site of a mesh is away from 10 o'clock on. */
function away(): Table {
  const row = (hours: number) => {
    const from = 10 * 3_600_000
    const until = from + hours * 3_600_000
    const common = { ...world, sites: awaySites, days: 2 }
    return (['queue', 'none'] as const).map((coalescing) => {
      const { waiting: usual } = simulateMesh({ ...common, coalescing })
      const { counts, waiting } = simulateMesh({ ...common, coalescing, away: { from, until, usual: usual.most } })
      const caughtUpMs = (waiting.cameDownAt ?? Number.NaN) - until
      const name = coalescing === 'queue' ? 'jobs of a study are one' : 'each change a job'
      return [
        hours,
        name,
        waiting.most,
        number(waiting.most / (awaySites - 1)),
        counts.failedRuns,
        number(caughtUpMs / 60_000),
      ]
    })
  }
  return {
    title: `One of ${awaySites} sites of a mesh is away from 10 o'clock on`,
    columns: [
      'hours',
      'queue',
      'jobs waiting at the others at most',
      'at each',
      'tries in vain, of all',
      'minutes until the queues are as usual',
    ],
    rows: [1, 24].flatMap(row),
  }
}

function sweeps(simulated: readonly Simulated[]): Table {
  const { sweepEveryMs, sweepStudies } = replication
  const row = ({ sites, holders }: Simulated) => {
    const noon = dayMs / 2
    const share = changedBetween(studiesOf(load, { sites, days: 1, seed }), noon, noon + sweepEveryMs) / sites
    const cost = (peers: number, studiesOf: number, changedAt: number) =>
      sweepCost({ peers, perDay: studiesOf, changed: Math.round(changedAt * share), sample: sweepStudies }, lines)
    const all = cost(sites - 1, sites * load.studiesPerDay, sites)
    const few = cost(sites - 1, holders.studies, 1)
    const leaf = cost(1, sites * load.studiesPerDay, sites)
    const listedPerSecond = (all.listed / sweepEveryMs) * 1000
    return [
      sites,
      all.studies,
      ...[
        all.requests,
        all.bytes / 1e6,
        all.ms / 3_600_000,
        listedPerSecond,
        few.requests,
        few.ms / 3_600_000,
        leaf.requests,
        leaf.ms / 3_600_000,
      ].map(number),
    ]
  }
  return {
    title: `Sweeps, every ${sweepEveryMs / 3_600_000} h`,
    columns: [
      'sites',
      'mesh, `all`: studies',
      'requests',
      'MB',
      'hours',
      'listed by each archive/s',
      'mesh, `holders`: requests',
      'hours',
      'not the hub: requests',
      'hours',
    ],
    rows: simulated.map(row),
  }
}

function rows(simulated: readonly Simulated[]): Table {
  const row = ({ sites, mesh }: Simulated) => {
    const told = load.studiesPerDay * (1 + load.reportedElsewhere) * (sites - 1)
    const notices = mesh.notices - mesh.stale
    const studies = sites * load.studiesPerDay
    return [sites, studies, ...[notices, notices * 30, mesh.instances, told, told + studies].map(number)]
  }
  return {
    title: 'Rows of the database of one site of a mesh, in a day',
    columns: [
      ...['sites', '`study_version`, `link_study`', '`study_notice`', 'of 30 days, when older ones go'],
      ...['`visitor_instance`', '`peer_told`', '`study_location`'],
    ],
    rows: simulated.map(row),
  }
}

const perHour = (ofDay: number): number => (ofDay / dayMs) * 3_600_000

const mbit = (bytesOfDay: number): number => (bytesOfDay * 8) / 1e6 / (dayMs / 1000)

const busiest = ({ hours }: Counts): number => hours.reduce((most, count) => Math.max(most, count ?? 0), 0)

/** With three digits at least. */
const number = (value: number): string =>
  value === 0 || value >= 100 ? String(Math.round(value)) : value.toPrecision(value >= 10 ? 3 : 2)

import type { ClusterStatus } from '../clusters/registry.ts'
import { type Availability, availabilities } from '../dicom/availability.ts'
import type { Uid } from '../dicom/uid.ts'
import type { HeldSeries, Holder } from './locate.ts'

/**
 * What decides which holder is asked first, in this order:
 *
 * 1. `health`: those that answer before those whose breaker is open or that are down, since these cost the time of a
 *    deadline and give nothing, however good their copy is;
 * 2. `availability`: what is in cache before what has to be fetched from an archive, by Instance Availability of all
 *    that is wanted; a cluster that does not say is taken for `ONLINE`;
 * 3. `series` and
 * 4. `instances`: the complete copy before the partial one, by series and then by instances of what is wanted;
 * 5. `priority`: as configured, the higher first;
 * 6. `load`: those with a free connection before those for which requests wait in line;
 * 7. `speed`: the faster one, by what an object of 1 MiB was measured to take; only about a factor of two counts;
 * 8. `id`, so that the order is the same for everybody.
 *
 * See decision 009.
 */
export const criteria = ['health', 'availability', 'series', 'instances', 'priority', 'load', 'speed', 'id'] as const

export type Criterion = (typeof criteria)[number]

export interface Standing {
  readonly holder: Holder
  readonly status: ClusterStatus | undefined
}

/** A holder in its place. */
export interface Ranked extends Standing {
  readonly merits: Merits
  /** What puts it behind the one before it. */
  readonly decidedBy?: Criterion
}

/** What speaks for and against a holder of what is wanted. */
export interface Merits {
  readonly isIll: boolean
  /** The worst of what is wanted. */
  readonly availability: Availability
  readonly series: number
  /** A series whose size is not told is taken to be as large as the largest copy of it. */
  readonly instances: number
  readonly priority: number
  readonly isBusy: boolean
  /** How long an object of 1 MiB is expected to take; what was not measured is taken for fast, so that it will be. */
  readonly expectedMs: number
  readonly id: string
}

/** Holders in the order in which they are asked for a study or one of its series, the best location first. */
export const rankHolders = (standings: readonly Standing[], series?: Uid): Holder[] =>
  rank(standings, series).map(({ holder }) => holder)

/** As {@link rankHolders}, with what decided. */
export function rank(standings: readonly Standing[], series?: Uid): Ranked[] {
  const largest = largestCopies(standings, series)
  const keyed = standings.map((standing) => {
    const merits = meritsOf(standing, wantedOf(standing.holder, series), largest)
    return { ...standing, merits, key: keyOf(merits) }
  })
  keyed.sort((a, b) => compare(a.key, b.key))
  return keyed.map(({ key, ...ranked }, index) => {
    const before = keyed[index - 1]
    const decidedBy = before && criteria[firstDifference(before.key, key)]
    return decidedBy ? { ...ranked, decidedBy } : ranked
  })
}

export function standingsOf(holders: readonly Holder[], statuses: readonly ClusterStatus[]): Standing[] {
  const byId = new Map(statuses.map((status) => [status.id, status]))
  return holders.map((holder) => ({ holder, status: byId.get(holder.cluster.id) }))
}

type Wanted = readonly (readonly [Uid, HeldSeries])[]

function wantedOf({ series: held }: Holder, series: Uid | undefined): Wanted {
  if (series === undefined) return [...held]
  const one = held.get(series)
  return one ? [[series, one]] : []
}

function largestCopies(standings: readonly Standing[], series: Uid | undefined): ReadonlyMap<Uid, number> {
  const largest = new Map<Uid, number>()
  for (const { holder } of standings) {
    for (const [uid, { instances = 0 }] of wantedOf(holder, series)) {
      largest.set(uid, Math.max(instances, largest.get(uid) ?? 0))
    }
  }
  return largest
}

function meritsOf({ holder, status }: Standing, wanted: Wanted, largest: ReadonlyMap<Uid, number>): Merits {
  return {
    isIll: status?.breaker === 'open' || status?.state === 'down',
    availability: worst(wanted.map(([, { availability }]) => availability)),
    series: wanted.length,
    instances: wanted.reduce((total, [uid, { instances }]) => total + (instances ?? largest.get(uid) ?? 0), 0),
    priority: holder.cluster.priority,
    isBusy: status !== undefined && status.pool.waiting > 0,
    expectedMs: expectedMs(status),
    id: holder.cluster.id,
  }
}

const worst = (found: readonly (Availability | undefined)[]): Availability =>
  availabilities.findLast((availability) => found.includes(availability)) ?? 'ONLINE'

/** About an image. */
const objectBytes = 1024 * 1024

/** Before it gave an object, a cluster is judged by how it answers searches. */
function expectedMs(status: ClusterStatus | undefined): number {
  const firstByteMs = status?.firstByteMs ?? status?.latencyMs ?? 0
  const bodyMs = status?.bytesPerSecond === undefined ? 0 : (objectBytes * 1000) / status.bytesPerSecond
  return firstByteMs + bodyMs
}

/** One value a criterion, in their order; the lower comes first. */
type Key = readonly (number | string)[]

const keyOf = (merits: Merits): Key => [
  Number(merits.isIll),
  availabilities.indexOf(merits.availability),
  -merits.series,
  -merits.instances,
  -merits.priority,
  Number(merits.isBusy),
  Math.round(Math.log2(Math.max(1, merits.expectedMs))),
  merits.id,
]

/** -1 when there is none. */
const firstDifference = (a: Key, b: Key): number => a.findIndex((value, index) => value !== b[index])

function compare(a: Key, b: Key): number {
  const index = firstDifference(a, b)
  const [x, y] = [a[index], b[index]]
  if (x === undefined || y === undefined) return 0
  return x < y ? -1 : 1
}

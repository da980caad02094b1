import type { ClusterStatus } from '../clusters/registry.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Holder } from './locate.ts'

/** What speaks for and against a holder. */
export interface Standing {
  readonly holder: Holder
  readonly status: ClusterStatus | undefined
}

/**
 * Holders in the order in which they are asked, the best location first:
 *
 * 1. those that answer before those whose breaker is open or that are down;
 * 2. the complete copy before the partial one, by series and then by instances of what is wanted;
 * 3. the configured priority, higher first;
 * 4. the faster one, by the average time to its first byte;
 * 5. the id, so that the order is the same for everybody.
 */
export function rankHolders(standings: readonly Standing[], series?: Uid): Holder[] {
  const keyed = standings.map((standing) => ({ holder: standing.holder, key: keyOf(standing, series) }))
  return keyed.sort((a, b) => compare(a.key, b.key)).map(({ holder }) => holder)
}

type Key = readonly [ill: number, series: number, instances: number, priority: number, latency: number, id: string]

function keyOf({ holder, status }: Standing, series: Uid | undefined): Key {
  const held = [...holder.series].filter(([uid]) => series === undefined || uid === series)
  const instances = held.reduce((total, [, count]) => total + (count ?? 0), 0)
  const ill = status?.breaker === 'open' || status?.state === 'down' ? 1 : 0
  return [ill, -held.length, -instances, -holder.cluster.priority, status?.latencyMs ?? 0, holder.cluster.id]
}

function compare(a: Key, b: Key): number {
  const index = a.findIndex((value, position) => value !== b[position])
  const [x, y] = [a[index], b[index]]
  if (x === undefined || y === undefined) return 0
  return x < y ? -1 : 1
}

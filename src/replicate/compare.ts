import type { ClusterRole } from '../clusters/cluster.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import { type Holdings, whatLacks } from './holdings.ts'
import type { Updates } from './targets.ts'

/** What one cluster holds of a study, and what it is to be given. */
export interface Copy {
  readonly id: string
  readonly role: ClusterRole
  readonly updates: Updates
  readonly holdings: Holdings
}

/** A cluster that is to hold all of a study and does not. */
export interface Lacking {
  readonly cluster: string
  /** Instances it lacks. */
  readonly missing: number
}

export interface Comparison {
  /** Instances of the union. */
  readonly instances: number
  readonly lacking: readonly Lacking[]
}

/**
 * What is missing where. A study is started at a cluster with `updates: all` only when home holds something of it:
 * what was never stored here is not spread over all sites.
 */
export function compareCopies(copies: readonly Copy[], travels: Travels): Comparison {
  const all = copies.map(({ holdings }) => holdings)
  const atHome = copies.some(({ role, holdings }) => role === 'home' && holdings.size > 0)
  const lacking = copies.flatMap(({ id, updates, holdings }) => {
    const isTarget = updates !== 'none' && (holdings.size > 0 || (updates === 'all' && atHome))
    const missing = isTarget ? whatLacks(holdings, all, travels).length : 0
    return missing > 0 ? [{ cluster: id, missing }] : []
  })
  return { instances: new Set(all.flatMap((holdings): Uid[] => [...holdings.keys()])).size, lacking }
}

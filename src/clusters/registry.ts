import { LinkError } from '../core/errors.ts'
import type { FailureReason } from '../core/outcome.ts'
import type { Cluster, ClusterRole } from './cluster.ts'

/** What is known of a cluster's health; a cluster that is down stays listed as down. */
export interface ClusterStatus {
  readonly id: string
  readonly role: ClusterRole
  /** `unknown` until the first answer or failure. */
  readonly state: 'up' | 'down' | 'unknown'
  readonly breaker: 'closed' | 'open' | 'half-open'
  /** Milliseconds since the epoch of the last change of `state`. */
  readonly since: number
  /** Why it is down. */
  readonly reason?: FailureReason
  /** Decaying average of the time to the first byte of all calls but retrievals and stores, in milliseconds. */
  readonly latencyMs?: number
  /**
   * The same of retrievals, in milliseconds, without the time in line for a connection; told anew when it has moved by
   * a factor of √2. Absent when none was measured within ten minutes.
   */
  readonly firstByteMs?: number
  /** How fast bodies come while they are waited for, per connection, in bytes per second; likewise. */
  readonly bytesPerSecond?: number
  /**
   * 95th percentile of the time to the first byte of retrievals of one instance or its frames, in milliseconds, with the
   * time in line: of the last 128, absent for fewer than 20.
   */
  readonly firstByteP95Ms?: number
  /** Requests on their way and waiting for a connection. */
  readonly pool: { readonly running: number; readonly waiting: number }
}

export interface Clusters {
  readonly all: readonly Cluster[]
  readonly home: Cluster
  get(id: string): Cluster | undefined
  status(): readonly ClusterStatus[]
  /** Ends probes and connections. */
  close(): Promise<void>
}

/** A cluster whose health is kept. */
export interface WatchedCluster extends Cluster {
  status(): ClusterStatus
  /** Begins to probe it in the background, until it is closed. */
  watch(): void
}

/** Gathers all clusters and begins to watch their health. Throws `LinkError` `config` unless one is home. */
export function createClusters(all: readonly WatchedCluster[]): Clusters {
  const byId = new Map(all.map((cluster) => [cluster.id, cluster]))
  const home = all.find(({ role }) => role === 'home')
  if (!home) throw new LinkError('config', 'clusters: exactly one cluster has role home, found none')
  for (const cluster of all) cluster.watch()
  return {
    all,
    home,
    get: (id) => byId.get(id),
    status: () => all.map((cluster) => cluster.status()),
    close: async () => {
      await Promise.all(all.map((cluster) => cluster.close()))
    },
  }
}

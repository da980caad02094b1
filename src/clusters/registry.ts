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
  /** Decaying average of the time to the first byte, in milliseconds. */
  readonly latencyMs?: number
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

import type { ClusterConfig, Limits } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { Cluster, ProbeReport } from './cluster.ts'
import { type ClientDeps, DicomwebClient } from './dicomweb-client.ts'
import { metadata } from './dicomweb-metadata.ts'
import { DicomwebRetriever } from './dicomweb-retrieve.ts'
import { search } from './dicomweb-search.ts'
import { DicomwebStorer } from './dicomweb-store.ts'
import { StoreTogether } from './dicomweb-store-together.ts'
import { takeInventory } from './inventory.ts'

export interface DicomwebClusterDeps extends ClientDeps {
  readonly limits: Limits
}

/** A cluster that can say how busy its connections are. */
export interface PooledCluster extends Cluster {
  readonly pool: { readonly running: number; readonly waiting: number }
  /** How much of its time a call spent in line for a connection, in milliseconds; it is known by its signal. */
  waitedMs(signal: AbortSignal): number
}

/**
 * An archive that speaks DICOMweb over HTTP (PS3.18), whatever its habits. Opens no connection before it is used.
 * Throws `LinkError` `config` when the files of its certificates cannot be used.
 */
export function createDicomwebCluster(config: ClusterConfig, deps: DicomwebClusterDeps): PooledCluster {
  const { id, role, priority, timeoutMs, dicomweb } = config
  const { limits, clock, telemetry } = deps
  if (dicomweb === undefined) throw new LinkError('config', `clusters.${id}.dicomweb: the address is missing`)
  const client = new DicomwebClient({ ...config, dicomweb }, deps)
  const retriever = new DicomwebRetriever(client, limits)
  const sent = (bytes: number) => telemetry.clusterBytes(id, 'sent', bytes)
  const storer = new DicomwebStorer({
    client,
    retriever,
    limits,
    clock,
    inventoryOf: (target, signal) => takeInventory(cluster, target, signal),
    sent,
    together: new StoreTogether({
      client,
      clock,
      limitMs: Math.max(timeoutMs, 60_000),
      maxJsonBytes: limits.maxJsonBytes,
      // The others are left to those who read.
      atOnce: Math.ceil(config.maxConnections / 2),
      sent,
    }),
  })
  const cluster: PooledCluster = {
    id,
    role,
    priority,
    timeoutMs,
    get pool() {
      return client.pool
    },
    waitedMs: (signal) => client.waitedMs(signal),
    search: (request, signal) => search(client, limits, request, signal),
    metadata: (target, signal, patience) => metadata(client, limits, target, signal, patience),
    retrieve: (request, signal) => retriever.retrieve(request, signal),
    store: (uploads, signal) => storer.store(uploads, signal),
    probe: (signal) => probe(cluster, clock, signal),
    close: () => client.close(),
  }
  return cluster
}

/** What the standard asks of an origin server; `check` finds out, with more requests than a probe may cost. */
const supports = ['search', 'metadata', 'retrieve', 'rendered', 'store'] as const

/** One row of all studies: the smallest question whose answer shows that the archive is there and lets us in. */
async function probe(cluster: Cluster, clock: Clock, signal: AbortSignal): Promise<ProbeReport> {
  const begun = clock.now()
  await cluster.search({ level: 'study', constraints: [], includeFields: [], limit: 1 }, signal)
  return { latencyMs: clock.now() - begun, supports, remarks: [] }
}

import type { Cluster } from '../clusters/cluster.ts'
import { byBelief, openEmbedded, openRemote } from '../compose.ts'
import type { ClusterConfig, Config } from '../config/schema.ts'
import { noLog, noTelemetry } from '../core/telemetry.ts'
import { type Database, openDatabase } from '../db/connect.ts'

/** A cluster for a command that asks it something and ends. */
export interface CommandCluster extends Pick<ClusterConfig, 'id' | 'role' | 'updates'> {
  /** To be asked only with what narrows to a patient or a study. */
  readonly constrained: boolean
  /** The proxy of another site. */
  readonly isPeer: boolean
  /** Throws `LinkError` `config` when it cannot be had, as an embedded one in use by a running proxy. */
  open(): Promise<Cluster>
}

export interface CommandClusters extends AsyncDisposable {
  /** In the order in which they are believed. */
  readonly all: readonly CommandCluster[]
}

/** The configured clusters, each opened when it is asked for, all closed in the end. */
export function clustersForCommand(config: Config): CommandClusters {
  const resources = new AsyncDisposableStack()
  let database: Promise<Database> | undefined
  const openOnce = async () => {
    const { url } = config.database
    return resources.adopt(await openDatabase({ url, dataDir: config.dataDir }), (it) => it.close())
  }
  const open = async (cluster: ClusterConfig) => {
    if (!cluster.embedded) return openRemote(config, cluster, noTelemetry)
    database ??= openOnce()
    return openEmbedded(config, cluster, { db: await database, log: noLog })
  }
  return {
    all: config.clusters.toSorted(byBelief).map((cluster) => ({
      id: cluster.id,
      role: cluster.role,
      updates: cluster.updates,
      constrained: cluster.constrained,
      isPeer: cluster.link !== undefined,
      open: async () => resources.adopt(await open(cluster), (it) => it.close()),
    })),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

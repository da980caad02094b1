import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../clusters/cluster.ts'
import { removeEmptyFolders, removeStudy } from '../clusters/embedded/remove.ts'
import type { Clusters } from '../clusters/registry.ts'
import { type ClusterConfig, type Config, spoolId } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import type { Log } from '../core/telemetry.ts'
import type { Database } from '../db/connect.ts'
import { studiesAfter } from '../db/embedded-remove.ts'
import { isEmpty } from '../db/embedded-search.ts'
import { refusedOf } from '../db/outbox.ts'
import type { Uid } from '../dicom/uid.ts'
import { archiveTarget } from '../replicate/archive-target.ts'
import { createReplication, type Replication } from '../replicate/service.ts'
import { type DeliveredDependencies, delivered } from '../store/delivered.ts'
import { createHomeWatch } from '../store/home-watch.ts'
import type { Spool } from '../store/service.ts'
import { pace, queueOf, type ReplicationParts, refusalsOf } from './replicate.ts'

/**
 * The configuration with the spool among its clusters: when it is to take what is stored, and as long as it has
 * something to deliver. It is seen by whom home is seen by.
 */
export async function withSpool(config: Config, db: Database): Promise<Config> {
  if (!config.store.spool && !(await hasSomething(config, db))) return config
  return { ...config, clusters: [...config.clusters, spoolBeside(config.clusters)] }
}

/** Not the spool of another proxy on the same database, nor a configured cluster of that name. */
async function hasSomething(config: Config, db: Database): Promise<boolean> {
  if (config.clusters.some(({ id }) => id === spoolId) || !existsSync(spoolFolder(config))) return false
  return !(await isEmpty(db, spoolId))
}

function spoolBeside(clusters: readonly ClusterConfig[]): ClusterConfig {
  const home = clusters.find(({ role }) => role === 'home')
  return {
    id: spoolId,
    role: 'linked',
    embedded: {},
    queries: home?.queries ?? { internal: true, external: true },
    updates: 'none',
    priority: 0,
    timeoutMs: 5000,
    idleTimeoutMs: 15_000,
    maxConnections: 16,
    updatesAtOnce: 2,
    prefetch: true,
    constrained: false,
  }
}

/** Where uploads go while home is not reachable; `undefined` unless configured. */
export function spoolOf({ store }: Config, clusters: Clusters, log: Log): Spool | undefined {
  const cluster = store.spool ? clusters.get(spoolId) : undefined
  if (!cluster) return undefined
  const state = () => stateOf(clusters, clusters.home)
  return { cluster, home: createHomeWatch({ home: clusters.home, state, clock }), log }
}

const stateOf = (clusters: Clusters, { id }: Cluster) =>
  clusters.status().find((status) => status.id === id)?.state ?? 'unknown'

export interface DeliveryParts extends ReplicationParts, Pick<DeliveredDependencies, 'removed'> {
  /** Awaited when home has what the spool had of these studies, before that is done with. */
  readonly delivered: (studies: readonly Uid[]) => Promise<void>
}

/** An acknowledged study is not given up: it is tried for as long as the spool has it. */
const neverMs = 100 * 365 * 24 * 3_600_000

/** Removing a study from the spool takes a listing of it and a short transaction, in milliseconds. */
const removalTimeoutMs = 120_000

/**
 * Brings what the spool has to home, and nothing else: classes that stay elsewhere do travel here, since home is where
 * they were sent. While home is known to be down its jobs wait, so that they are due at once when it is back.
 */
export function deliveryOf(config: Config, spool: Cluster, parts: DeliveryParts): Replication {
  const { db, clusters, index, log, metrics } = parts
  const { home } = clusters
  const archive = { cluster: spoolId, folder: spoolFolder(config), db, log }
  const refused = (study: Uid) => refusedOf(db, study, home.id)
  const removal = {
    home,
    log,
    refusedOf: refused,
    removed: parts.removed,
    remove: removeStudy.bind(undefined, archive),
  }
  const queue = queueOf(db, { giveUpAfterMs: neverMs })
  const target = archiveTarget(home, 'all', {
    sourcesFor: async () => [spool],
    refusals: refusalsOf(db),
    found: index.found,
    travels: () => true,
    provesHeld: true,
    maxBufferedPartBytes: config.limits.maxBufferedPartBytes,
    log,
  })
  return createReplication({
    targets: [{ ...target, atOnce: 2 }],
    queue: {
      ...queue,
      claim: async (targets, limit) => (stateOf(clusters, home) === 'down' ? [] : queue.claim(targets, limit)),
      complete: async (job) => {
        using limit = deadline(clock, removalTimeoutMs)
        await delivered(removal, job.study, limit.signal)
        await parts.delivered([job.study])
        return queue.complete(job)
      },
    },
    clock,
    log,
    telemetry: metrics,
    pace,
  })
}

/**
 * What a crash left: every study of the spool is to be delivered, also one that was delivered and only its files were
 * left. To be called before anything is stored.
 */
export async function deliverAll(config: Config, db: Database, delivery: Replication): Promise<void> {
  await removeEmptyFolders(spoolFolder(config))
  for (let after: Uid | undefined; ; ) {
    const page = await studiesAfter(db, spoolId, after, pageSize)
    await delivery.request(page)
    if (page.length < pageSize) return
    after = page.at(-1)
  }
}

const pageSize = 1000

const spoolFolder = ({ dataDir }: Config) => join(dataDir, 'clusters', spoolId)

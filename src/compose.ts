import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { availableParallelism, hostname } from 'node:os'
import { join } from 'node:path'
import { checkCluster } from './clusters/check.ts'
import type { CheckReport } from './clusters/check-report.ts'
import type { Cluster } from './clusters/cluster.ts'
import { createDicomwebCluster } from './clusters/dicomweb.ts'
import { openEmbeddedCluster } from './clusters/embedded/cluster.ts'
import { MonitoredCluster } from './clusters/health.ts'
import { type Clusters, createClusters } from './clusters/registry.ts'
import { querySwitches } from './clusters/visible.ts'
import { attributesServiceOf } from './compose/attributes.ts'
import { type KnownLocations, locationIndex } from './compose/location-index.ts'
import { queryServiceOf } from './compose/query.ts'
import { retrieveServiceOf } from './compose/retrieve.ts'
import type { ClusterConfig, Config } from './config/schema.ts'
import { keysWithoutEffect } from './config/without-effect.ts'
import { systemClock as clock } from './core/clock.ts'
import type { Log, Telemetry } from './core/telemetry.ts'
import { type Database, openDatabase } from './db/connect.ts'
import * as jobs from './db/converge-jobs.ts'
import { refusedOf, rememberRefusals } from './db/outbox.ts'
import { keyNamed } from './db/shared-keys.ts'
import { holdersOf } from './db/study-location.ts'
import { startViewer, type ViewerProgress, viewerCacheFolder } from './demo/ohif.ts'
import { seedDemo } from './demo/seed.ts'
import type { Uid } from './dicom/uid.ts'
import { createApp } from './http/app.ts'
import { createAuthenticate } from './http/auth.ts'
import { createLog } from './http/log.ts'
import { createMetrics, type Metrics } from './http/metrics.ts'
import { listen } from './http/server.ts'
import { viewer } from './http/viewer.ts'
import { createFactsOfStudy } from './mappings/facts.ts'
import { createMappings, type MappingsService } from './mappings/service.ts'
import { shippedMappings } from './mappings/shipped.ts'
import { createRenderer, type Renderer } from './render/renderer.ts'
import { createOutbox } from './replicate/outbox.ts'
import { createReplication, type JobQueue, type Pace, type Refusals, type Replication } from './replicate/service.ts'
import { updatesOf } from './replicate/targets.ts'
import { travelsUnless } from './replicate/travels.ts'
import { createStoreService } from './store/service.ts'

/** The composition root: implementations meet here and nowhere else. */

export interface Running {
  /** `http://127.0.0.1:8080`. */
  readonly address: string
  /** Reads the mapping tables again; throws `LinkError` `config` when they cannot be used, and the old ones stay. */
  reload(): Promise<void>
  /** Finishes running requests, gives running jobs back, closes everything. */
  stop(): Promise<void>
}

export interface ServeOptions {
  /** Fill the embedded clusters with generated studies when they are empty. */
  readonly demo: boolean
  /** Told what a person at the console wants to know. */
  readonly say: (line: string) => void
}

/** Starts the proxy. Throws `LinkError` with code `config` when it cannot be started as configured. */
export async function serve(config: Config, { demo, say }: ServeOptions): Promise<Running> {
  const log = createLog(config)
  const metrics = createMetrics()
  const resources = new AsyncDisposableStack()
  try {
    const db = resources.adopt(await openDatabase({ url: config.database.url, dataDir: config.dataDir }), (it) =>
      it.close(),
    )
    if (db.kind === 'embedded') await jobs.releaseAbandoned(db)
    const clusters = resources.adopt(await openClusters(config, { db, log, metrics }), (it) => it.close())
    // Bulk data of uploads that a crash cut off.
    await rm(spoolDir(config), { recursive: true, force: true })
    if (demo) await seedDemo(clusters.all, say)
    const index = locationIndex(db, log)
    const replication = resources.adopt(replicationOf(config, { db, clusters, index, log, metrics }), (it) => it.stop())
    replication.start()
    const mappings = await createMappings({ path: config.mappings ?? shippedMappings(), log, clock })
    const pages = resources.adopt(pagesOf(config, say), (it) => it.stop())
    const renderer = resources.adopt(createRenderer({ threads: renderThreads() }), (it) => it.close())
    const parts = { db, clusters, index, replication, mappings, renderer, log, metrics, pages: pages.app }
    const server = await serveHttp(config, parts)
    resources.adopt(server, (it) => it.close())
    for (const text of keysWithoutEffect(config)) {
      log.warn({ text }, 'config-without-effect')
      say(text)
    }
    log.info({ clusters: clusters.all.map(({ id }) => id), address: server.address }, 'started')
    const reload = async () => void (await mappings.reload())
    return { address: server.address, reload, stop: () => resources.disposeAsync() }
  } catch (thrown) {
    await resources.disposeAsync()
    throw thrown
  }
}

/** Asks every configured cluster what it answers; nothing is opened, stored or changed. */
export function checkClusters({ clusters, limits, site }: Config): Promise<CheckReport[]> {
  const signal = AbortSignal.timeout(checkTimeoutMs)
  return Promise.all(clusters.map((cluster, index) => checkCluster(cluster, { limits, clock, index, site, signal })))
}

const checkTimeoutMs = 120_000

interface Parts {
  readonly db: Database
  readonly log: Log
  readonly metrics: Metrics
}

/** One processor is left to everything else. */
const renderThreads = () => Math.max(1, availableParallelism() - 1)

const spoolDir = ({ dataDir }: Config) => join(dataDir, 'spool')

/** Home first, then by priority: the order in which clusters are believed about who a patient is. */
async function openClusters(config: Config, parts: Parts): Promise<Clusters> {
  const opened: MonitoredCluster[] = []
  try {
    for (const cluster of config.clusters.toSorted(byBelief)) {
      const inner = cluster.embedded
        ? await openEmbedded(config, cluster, parts)
        : openRemote(config, cluster, parts.metrics)
      opened.push(new MonitoredCluster(inner, { clock, telemetry: parts.metrics, log: parts.log }))
    }
    return createClusters(opened)
  } catch (thrown) {
    await Promise.all(opened.map((cluster) => cluster.close()))
    throw thrown
  }
}

export const byBelief = (a: ClusterConfig, b: ClusterConfig): number =>
  Number(b.role === 'home') - Number(a.role === 'home') || b.priority - a.priority || (a.id < b.id ? -1 : 1)

export const openEmbedded = (
  config: Config,
  { id, role, priority, timeoutMs }: ClusterConfig,
  { db, log }: Pick<Parts, 'db' | 'log'>,
) =>
  openEmbeddedCluster({ id, role, priority, timeoutMs, dataDir: config.dataDir, db, limits: config.limits, log, clock })

export const openRemote = (config: Config, cluster: ClusterConfig, telemetry: Telemetry) =>
  createDicomwebCluster(cluster, { limits: config.limits, site: config.site, clock, telemetry })

const pace: Pace = {
  concurrency: 4,
  perTarget: 2,
  pollMs: 2000,
  renewMs: 20_000,
  renewTimeoutMs: 15_000,
  jobTimeoutMs: 3_600_000,
  retryMs: 2000,
  maxRetryMs: 300_000,
}
const leaseMs = 60_000

interface LocatedParts extends Parts {
  readonly clusters: Clusters
  readonly index: KnownLocations
}

function replicationOf(config: Config, { db, clusters, index, log, metrics }: LocatedParts): Replication {
  const owner = `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`
  const { giveUpAfterMs } = config.replication
  const queue: JobQueue<jobs.ClaimedJob> = {
    request: (study, targets) => jobs.requestConverge(db, study, targets),
    claim: (targets, limit) => jobs.claimConverge(db, { owner, clusters: targets, limit, leaseMs }),
    renew: (job) => jobs.renewLease(db, job, leaseMs),
    complete: (job) => jobs.completeConverge(db, job),
    fail: (job, error, retryInMs) => jobs.failConverge(db, job, error, { retryInMs, giveUpAfterMs }),
    release: (job) => jobs.releaseConverge(db, job),
  }
  const refusals: Refusals = {
    of: (study, cluster) => refusedOf(db, study, cluster),
    remember: (study, cluster, refused) => rememberRefusals(db, study, cluster, refused),
  }
  const targets = config.clusters.flatMap((configured) => {
    const cluster = clusters.get(configured.id)
    const updates = updatesOf(configured)
    return updates !== 'none' && cluster ? [{ cluster, updates }] : []
  })
  const sourcesFor = (study: Uid, target: string) => replicationSources(db, clusters.all, study, target)
  const { maxBufferedPartBytes } = config.limits
  const { found } = index
  const travels = travelsUnless(config.replication.stays)
  const common = { clock, log, telemetry: metrics, pace, maxBufferedPartBytes, travels }
  return createReplication({ targets, sourcesFor, queue, refusals, found, ...common })
}

/** Home and the linked clusters that were seen to hold something of the study; never a third party's content. */
async function replicationSources(db: Database, all: readonly Cluster[], study: Uid, target: string) {
  const holders = new Set((await holdersOf(db, study)).map(({ cluster }) => cluster))
  return all.filter(({ id, role }) => id !== target && (role === 'home' || (role === 'linked' && holders.has(id))))
}

interface HttpParts extends LocatedParts {
  readonly replication: Replication
  readonly mappings: MappingsService
  readonly renderer: Renderer
  readonly pages: ReturnType<typeof viewer>
}

async function serveHttp(config: Config, parts: HttpParts) {
  const { db, clusters, index, replication, mappings, renderer, log, metrics, pages } = parts
  const lifecycle = { draining: false }
  const bulkdataKey = await keyNamed(db, 'bulkdata')
  const retrieve = retrieveServiceOf(config, { clusters, index, bulkdataKey, renderer, telemetry: metrics })
  const query = queryServiceOf(config, {
    db,
    clusters,
    index: { remember: index.rememberAll, countAt: index.countAt },
    mappings: () => mappings.current(),
  })
  const store = createStoreService({
    home: clusters.home,
    maxBufferedPartBytes: config.limits.maxBufferedPartBytes,
    maxJsonBytes: config.limits.maxJsonBytes,
    spoolDir: spoolDir(config),
    replicate: async (studies) => {
      await replication.request(studies)
      index.rememberAll(studies.map((study) => ({ study, cluster: clusters.home.id })))
      for (const study of studies) retrieve.forget(study)
    },
  })
  const attributes = attributesServiceOf({ db, query, onChanged: (study) => replication.request([study]) })
  const authenticate = createAuthenticate(config.auth, clock)
  const app = createApp({
    config,
    query,
    retrieve,
    store,
    attributes,
    mappings,
    factsOfStudy: createFactsOfStudy({
      clusters: clusters.all,
      queries: querySwitches(config.clusters),
      clock,
      maxRowsPerCluster: config.limits.maxRowsPerCluster,
    }),
    clusters,
    outbox: outboxOf(config, db),
    metrics,
    lifecycle,
    authenticate,
    clock,
    log,
    pages,
  })
  return listen(app, { config, lifecycle, log, metrics, authenticate })
}

const outboxOf = (config: Config, database: Database) => {
  const targets = config.clusters.filter((cluster) => updatesOf(cluster) !== 'none').map(({ id }) => id)
  return createOutbox({ database, targets, clock })
}

/** The viewer at `/`, fetched in the background when it is not there yet. */
function pagesOf(config: Config, say: (line: string) => void) {
  if (!config.viewer) return { app: viewer(() => ({ status: 'off' })), stop: async () => undefined }
  const cancel = new AbortController()
  const onProgress = sayTenths(say)
  const fetched = startViewer(viewerCacheFolder(config.dataDir), { signal: cancel.signal, onProgress })
  void fetched.done.then((result) => {
    if (result.status === 'unavailable' && !cancel.signal.aborted) say(`no viewer at /: ${result.reason}`)
  })
  const stop = async () => {
    cancel.abort()
    await fetched.done
  }
  return { app: viewer(fetched.state), stop }
}

function sayTenths(say: (line: string) => void) {
  let said = 0
  return ({ receivedBytes, totalBytes }: ViewerProgress): void => {
    const tenth = Math.floor((receivedBytes / totalBytes) * 10)
    if (tenth > said) say(`fetching the OHIF viewer: ${tenth * 10} %`)
    said = Math.max(said, tenth)
  }
}

import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { checkCluster } from './clusters/check.ts'
import type { CheckReport } from './clusters/check-report.ts'
import { createDicomwebCluster } from './clusters/dicomweb.ts'
import { openEmbeddedCluster } from './clusters/embedded/cluster.ts'
import { MonitoredCluster } from './clusters/health.ts'
import { type Clusters, createClusters } from './clusters/registry.ts'
import { querySwitches } from './clusters/visible.ts'
import { attributesServiceOf } from './compose/attributes.ts'
import { type KnownLocations, locationIndex } from './compose/location-index.ts'
import { type Linking, linkingOf, noteStored, noticeTargetsOf, openPeers, pullQueuesIn } from './compose/peers.ts'
import { queryServiceOf } from './compose/query.ts'
import { replicationOf } from './compose/replicate.ts'
import { retrieveServiceOf } from './compose/retrieve.ts'
import { deliverAll, deliveryOf, spoolOf, withSpool } from './compose/spool.ts'
import { sweeperOf } from './compose/sweep.ts'
import { type ClusterConfig, type Config, spoolId } from './config/schema.ts'
import { keysWithoutEffect } from './config/without-effect.ts'
import { systemClock as clock } from './core/clock.ts'
import type { Log, Telemetry } from './core/telemetry.ts'
import { type Database, openDatabase } from './db/connect.ts'
import * as jobs from './db/converge-jobs.ts'
import { keyNamed } from './db/shared-keys.ts'
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
import { createRenderer } from './render/renderer.ts'
import { Fresh } from './replicate/fresh.ts'
import { createOutbox } from './replicate/outbox.ts'
import { Recent } from './replicate/recent.ts'
import type { Replication } from './replicate/service.ts'
import { updatesOf } from './replicate/targets.ts'
import type { RetrieveService } from './retrieve/service.ts'
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
export async function serve(configured: Config, { demo, say }: ServeOptions): Promise<Running> {
  const log = createLog(configured)
  const recent = new Recent(clock)
  const metrics = recent.counting(createMetrics())
  const resources = new AsyncDisposableStack()
  try {
    const db = resources.adopt(
      await openDatabase({ url: configured.database.url, dataDir: configured.dataDir }),
      (it) => it.close(),
    )
    if (db.kind === 'embedded') await jobs.releaseAbandoned(db)
    const config = await withSpool(configured, db)
    const clusters = resources.adopt(await openClusters(config, { db, log, metrics }), (it) => it.close())
    // Bulk data of uploads that a crash cut off.
    await rm(spoolDir(config), { recursive: true, force: true })
    if (demo) await seedDemo(clusters.all, say)
    const index = locationIndex(db, log)
    const renderer = resources.adopt(createRenderer({ threads: renderThreads() }), (it) => it.close())
    const located = { db, clusters, index, log, metrics }
    const bulkdataKey = await keyNamed(db, 'bulkdata')
    const retrieve = retrieveServiceOf(config, { clusters, index, bulkdataKey, renderer, telemetry: metrics })
    const { peers } = resources.adopt(openPeers(config, located), (it) => it.close())
    const noticeTargets = noticeTargetsOf(config, peers, located)
    const fresh = new Fresh()
    const replication = resources.adopt(replicationOf(config, noticeTargets, { ...located, fresh }), (it) => it.stop())
    const came = cameInto(clusters.home.id, { index, retrieve })
    const linking = peers.length > 0 ? linkingOf(config, { ...located, peers, replication, came }) : undefined
    if (linking) resources.adopt(linking.pulls, (it) => it.stop())
    const stored = async (studies: readonly Uid[]) => {
      if (linking) await noteStored(config, located, studies)
      await replication.request(studies)
    }
    const delivered = async (studies: readonly Uid[]) => void (linking && (await stored(studies)))
    const delivery = config === configured ? undefined : await openDelivery(config, { ...located, retrieve, delivered })
    if (delivery) resources.adopt(delivery, (it) => it.stop())
    replication.start()
    linking?.pulls.start()
    delivery?.start()
    const sweeper = sweeperOf(config, { ...located, peers, replication })
    if (sweeper) resources.adopt(sweeper, (it) => it.stop())
    sweeper?.start()
    const mappings = await createMappings({ path: config.mappings ?? shippedMappings(), log, clock })
    const pages = resources.adopt(pagesOf(config, say), (it) => it.stop())
    const did = { stored, replication, delivery, linking, recent }
    const parts = { ...located, ...did, fresh, retrieve, mappings, pages: pages.app }
    const server = await serveHttp(config, parts)
    resources.adopt(server, (it) => it.close())
    for (const text of keysWithoutEffect(configured)) {
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

interface LocatedParts extends Parts {
  readonly clusters: Clusters
  readonly index: KnownLocations
}

interface RetrievingParts extends LocatedParts {
  readonly retrieve: RetrieveService
}

/** What is known of a study's whereabouts and content changes with what comes into a cluster. */
const cameInto =
  (cluster: string, { index, retrieve }: Pick<RetrievingParts, 'index' | 'retrieve'>) =>
  (study: Uid): void => {
    index.rememberAll([{ study, cluster }])
    retrieve.forget(study)
  }

interface DeliveringParts extends RetrievingParts {
  /** Awaited when these studies have come to be at home. */
  readonly delivered: (studies: readonly Uid[]) => Promise<void>
}

/** To home, of what the spool has; `undefined` where there is no spool. */
async function openDelivery(config: Config, { retrieve, ...parts }: DeliveringParts): Promise<Replication | undefined> {
  const spool = parts.clusters.get(spoolId)
  if (!spool) return undefined
  const removed = (study: Uid) => {
    parts.index.forget(study, spoolId)
    retrieve.forget(study)
  }
  const delivery = deliveryOf(config, spool, { ...parts, removed })
  await deliverAll(config, parts.db, delivery)
  return delivery
}

interface HttpParts extends RetrievingParts {
  readonly recent: Recent
  readonly fresh: Fresh
  /** Resolves when it is certain that the other clusters come to have what was stored of these studies. */
  readonly stored: (studies: readonly Uid[]) => Promise<void>
  readonly replication: Replication
  readonly linking: Linking | undefined
  readonly delivery: Replication | undefined
  readonly mappings: MappingsService
  readonly pages: ReturnType<typeof viewer>
}

async function serveHttp(config: Config, parts: HttpParts) {
  const { db, clusters, index, fresh, retrieve, stored, replication, delivery, linking, mappings } = parts
  const { log, metrics, pages } = parts
  const lifecycle = { draining: false }
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
    spool: spoolOf(config, clusters, log),
    replicate: async (studies, { id: cluster }, acknowledged) => {
      if (cluster === clusters.home.id) fresh.note(acknowledged)
      await stored(studies)
      if (cluster === spoolId) await delivery?.request(studies)
      studies.forEach(cameInto(cluster, { index, retrieve }))
    },
  })
  const targets = config.clusters.filter((cluster) => updatesOf(cluster) !== 'none').map(({ id }) => id)
  const onChanged = () => replication.wake()
  const attributes = attributesServiceOf({ site: config.site, db, query, targets, onChanged })
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
    outbox: outboxOf(config, parts),
    peers: linking?.service,
    metrics,
    lifecycle,
    authenticate,
    clock,
    log,
    pages,
  })
  return listen(app, { config, lifecycle, log, metrics, authenticate })
}

const outboxOf = (config: Config, { db: database, delivery, recent }: HttpParts) => {
  const isTarget = (cluster: ClusterConfig) => updatesOf(cluster) !== 'none' || (delivery && cluster.role === 'home')
  const targets = config.clusters.filter(isTarget).map(({ id }) => id)
  const sentLastMinute = (cluster: string) => recent.of(cluster)
  return createOutbox({ database, targets: [...targets, ...pullQueuesIn(config)], clock, sentLastMinute })
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

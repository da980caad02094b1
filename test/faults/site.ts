import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerOptions } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDicomwebCluster } from '../../src/clusters/dicomweb.ts'
import { MonitoredCluster } from '../../src/clusters/health.ts'
import { createClusters } from '../../src/clusters/registry.ts'
import { querySwitches } from '../../src/clusters/visible.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { type Clock, systemClock as clock } from '../../src/core/clock.ts'
import { noTelemetry } from '../../src/core/telemetry.ts'
import { createApp } from '../../src/http/app.ts'
import { createAuthenticate } from '../../src/http/auth.ts'
import { createLog } from '../../src/http/log.ts'
import { createMetrics } from '../../src/http/metrics.ts'
import { listen } from '../../src/http/server.ts'
import { parseMappings } from '../../src/link/mappings.ts'
import { createQueryService } from '../../src/query/service.ts'
import { pausesMs } from '../../src/retrieve/attempts.ts'
import { withCache } from '../../src/retrieve/cache.ts'
import { createRetrieveService } from '../../src/retrieve/service.ts'
import { createStoreService } from '../../src/store/service.ts'
import { type FakeArchive, json, startFakeArchive } from '../support/fake-archive.ts'
import type { MadeInstance } from '../support/made-instance.ts'
import { noRenderer } from '../support/no-renderer.ts'

/** The product from its address down to its clusters, without database: what it remembers is in memory. */
export interface Site extends AsyncDisposable {
  readonly address: string
  readonly dicomweb: string
  /** Studies whose replication was asked for. */
  readonly replicated: string[]
  /** What `/readyz` says of a cluster. */
  stateOf(cluster: string): Promise<{ state: string; breaker: string; reason?: string }>
}

export interface SiteOptions {
  readonly site?: string
  /** Ids of the clusters that are proxies like this one. */
  readonly peers?: readonly string[]
  readonly limits?: Partial<Config['limits']>
  /** Of every cluster. */
  readonly cluster?: object
  readonly drainTimeoutMs?: number
  /** Of answers that are kept; none without it. */
  readonly cacheBytes?: number
}

/** Clusters by id; the first one is home. */
export async function startSite(archives: Record<string, FakeArchive>, options: SiteOptions = {}): Promise<Site> {
  const config = configSchema.parse({
    site: options.site ?? 'test',
    listen: { port: 0 },
    log: { level: 'silent' },
    viewer: false,
    ...(options.limits && { limits: options.limits }),
    ...(options.drainTimeoutMs && { drainTimeoutMs: options.drainTimeoutMs }),
    clusters: Object.entries(archives).map(([id, { dicomweb }], index) => ({
      id,
      role: index === 0 ? 'home' : 'linked',
      dicomweb,
      priority: 10 - index,
      timeoutMs: 2000,
      ...(options.peers?.includes(id) && { link: `${dicomweb}/link` }),
      ...options.cluster,
    })),
  })
  const log = createLog(config)
  const watched = config.clusters.map((cluster) => {
    const inner = createDicomwebCluster(cluster, {
      limits: config.limits,
      site: config.site,
      clock,
      telemetry: noTelemetry,
    })
    return new MonitoredCluster(inner, { clock, telemetry: noTelemetry, log })
  })
  const clusters = createClusters(watched)
  const services = servicesOf(config, clusters, options.cacheBytes)
  const lifecycle = { draining: false }
  const metrics = createMetrics()
  const authenticate = createAuthenticate(undefined, clock)
  const app = createApp({
    config,
    ...services,
    attributes: { get: unused, history: unused, patch: unused },
    mappings: { current: unused, loadedAt: unused, reload: unused },
    factsOfStudy: unused,
    clusters,
    outbox: {
      states: async () => [],
      deadLetters: unused,
      refusals: unused,
      study: unused,
      pause: unused,
      resume: unused,
      retry: unused,
    },
    metrics,
    lifecycle,
    authenticate,
    clock,
    log,
  })
  const listening = await listen(app, { config, lifecycle, log, metrics, authenticate })
  const { address } = listening
  return {
    address,
    dicomweb: `${address}/dicom-web`,
    replicated: services.replicated,
    stateOf: async (cluster) => {
      const { clusters: states } = (await (await fetch(`${address}/readyz`)).json()) as {
        clusters: { id: string; state: string; breaker: string; reason?: string }[]
      }
      return states.find(({ id }) => id === cluster) ?? { state: 'not listed', breaker: '' }
    },
    [Symbol.asyncDispose]: async () => {
      await listening.close()
      await clusters.close()
    },
  }
}

/** Waits a tenth as long for a cluster that may be back in a moment; everything else takes its time. */
const hurried: Clock = {
  now: clock.now,
  sleep: (ms, signal) => clock.sleep(pausesMs.includes(ms) ? ms / 10 : ms, signal),
}

function servicesOf(config: Config, clusters: ReturnType<typeof createClusters>, cacheBytes = 0) {
  const { maxBufferedPartBytes, maxJsonBytes, maxResults, maxRowsPerCluster, maxSnapshotRows } = config.limits
  const index = { holdersOf: async () => [], remember: () => undefined, forget: () => undefined }
  const replicated: string[] = []
  const retrieve = createRetrieveService({
    clusters: clusters.all,
    queries: querySwitches(config.clusters),
    bulkdataKey: Buffer.from('key'),
    status: () => clusters.status(),
    index,
    clock: hurried,
    maxBufferedPartBytes,
    renderer: noRenderer,
    maxRenderedBytes: 1024 * 1024,
  })
  return {
    replicated,
    retrieve: withCache(retrieve, {
      maxBytes: cacheBytes,
      clusters: clusters.all,
      queries: querySwitches(config.clusters),
      clock,
      telemetry: noTelemetry,
    }),
    query: createQueryService({
      clusters: clusters.all,
      rules: { clusters: new Map(), queries: querySwitches(config.clusters), maxRowsPerCluster },
      link: {
        records: async () => new Map(),
        visitors: async () => new Map(),
        mappings: () => parseMappings('{ specialty: [], bodyPart: [] }', 'none'),
      },
      maxResults,
      maxSnapshotRows,
      partial: config.partial,
      clock,
      index: { remember: () => undefined, countAt: async () => undefined },
    }),
    store: createStoreService({
      home: clusters.home,
      maxBufferedPartBytes,
      maxJsonBytes,
      spoolDir: join(tmpdir(), `dicomweb-link-faults-${process.pid}`),
      replicate: async (studies) => void replicated.push(...studies),
    }),
  }
}

/** Of services that these tests have no use for. */
const unused = (): never => {
  throw new Error('not in this site')
}

const ui = (value: string) => ({ vr: 'UI', Value: [value] })

const rowOf = ({ study, series, instance }: MadeInstance) => ({
  '0020000D': ui(study),
  '0020000E': ui(series),
  '00080018': ui(instance),
  '00080016': ui('1.2.840.10008.5.1.4.1.1.7'),
  '00080020': { vr: 'DA', Value: ['20240131'] },
  '00080060': { vr: 'CS', Value: ['OT'] },
  '00080061': { vr: 'CS', Value: ['OT'] },
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Made^Instance' }] },
})

/** An archive that holds these instances and answers everything rightly; routes added later go before its own. */
export const startArchive = (...held: readonly MadeInstance[]): Promise<FakeArchive> => startArchiveOf(held)

/** The same; with `tls` it speaks https. */
export async function startArchiveOf(held: readonly MadeInstance[], tls?: ServerOptions): Promise<FakeArchive> {
  const archive = await startFakeArchive(tls)
  const below = (url: string) => {
    const [, study, series, instance] =
      /\/studies\/([\d.]+)(?:\/series\/([\d.]+))?(?:\/instances\/([\d.]+))?/.exec(url) ?? []
    return held.filter(
      (it) =>
        (study === undefined || it.study === study) &&
        (series === undefined || it.series === series) &&
        (instance === undefined || it.instance === instance),
    )
  }
  const rows = (key: keyof MadeInstance) => (request: IncomingMessage, response: ServerResponse) => {
    const found = below(request.url ?? '')
    const distinct = [...new Map(found.map((it) => [it[key], rowOf(it)])).values()]
    return json(distinct)(request, response)
  }
  const files = (request: IncomingMessage, response: ServerResponse) => {
    const found = below(request.url ?? '')
    if (found.length === 0) response.writeHead(404).end()
    else sendFiles(found)(request, response)
  }
  return archive
    .on(/\/studies\/[\d.]+/, files)
    .on(/\/instances\?/, rows('instance'))
    .on(/\/series\?/, rows('series'))
    .on(/\/studies\?/, rows('study'))
    .on(/\/metadata$/, rows('instance'))
}

export const multipartDicom = 'multipart/related; type="application/dicom"; boundary=b'

export const partOf = (bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from('--b\r\nContent-Type: application/dicom\r\n\r\n'), bytes, Buffer.from('\r\n')])

export const messageOf = (files: readonly MadeInstance[]): Buffer =>
  Buffer.concat([...files.map(({ bytes }) => partOf(bytes)), Buffer.from('--b--\r\n')])

/** Files as one whole multipart message. */
export const sendFiles =
  (files: readonly MadeInstance[]) =>
  (_request: IncomingMessage, response: ServerResponse): void => {
    const body = messageOf(files)
    response.writeHead(200, { 'Content-Type': multipartDicom, 'Content-Length': body.length }).end(body)
  }

/** The parts of a multipart body, as bytes; throws when its closing boundary is missing. */
export function partsIn(contentType: string, body: Buffer): Buffer[] {
  const boundary = /boundary="?([^";]+)/.exec(contentType)?.[1]
  const text = body.toString('latin1')
  const pieces = text.split(`--${boundary}`)
  if (!pieces.at(-1)?.startsWith('--')) throw new Error('the closing boundary is missing')
  return pieces.slice(1, -1).map((piece) => Buffer.from(piece.slice(piece.indexOf('\r\n\r\n') + 4, -2), 'latin1'))
}

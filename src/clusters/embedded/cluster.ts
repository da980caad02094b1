import { join } from 'node:path'
import { type Clock, systemClock } from '../../core/clock.ts'
import type { Log } from '../../core/telemetry.ts'
import type { Queries } from '../../db/connect.ts'
import { isEmpty } from '../../db/embedded-search.ts'
import { lockDirectory } from '../../db/lock.ts'
import type { Part, Parts } from '../../dicom/multipart.ts'
import { type Cluster, type ClusterRole, type Patience, type ProbeReport, patienceFactor } from '../cluster.ts'
import type { CommitTarget } from './commit.ts'
import { explain } from './explain.ts'
import { probeFolder } from './files.ts'
import { metadataOf } from './instances.ts'
import { markClean, recover } from './recover.ts'
import { type Archive, retrieve } from './retrieve.ts'
import { search } from './search.ts'
import { storeInto, UploadFailed } from './store.ts'
import { type Call, inTime, inTimeEach, withGrace } from './waiting.ts'

export interface EmbeddedOptions {
  readonly id: string
  readonly role: ClusterRole
  readonly priority: number
  readonly timeoutMs: number
  /** Files go to `<dataDir>/clusters/<id>`. */
  readonly dataDir: string
  readonly db: Queries
  readonly limits: { readonly maxPartBytes: number }
  readonly log: Log
  readonly clock?: Clock
}

/**
 * An archive of our own: files in the data directory, index in the database. An instance is acknowledged when its
 * file is on the disk and its rows are committed. Gives objects only as they were stored and renders nothing.
 *
 * Opening it repairs what a crash left. Throws `config` when another process has its folder.
 */
export async function openEmbeddedCluster(options: EmbeddedOptions): Promise<Cluster> {
  const { id, db, log } = options
  const folder = join(options.dataDir, 'clusters', id)
  const lock = await lockDirectory(folder)
  const archive = { cluster: id, folder, db }
  try {
    await recover(archive, log)
  } catch (error) {
    lock.release()
    throw error
  }
  let tidy = true
  const untidy = () => {
    tidy = false
  }
  const close = async () => {
    if (tidy) await markClean(folder)
    lock.release()
  }
  return embeddedCluster(options, { ...archive, log, untidy }, close)
}

function embeddedCluster(
  options: EmbeddedOptions,
  archive: Archive & CommitTarget,
  release: () => Promise<void>,
): Cluster {
  const { id, role, priority, timeoutMs, clock = systemClock } = options
  const call = (signal: AbortSignal, { patient = false }: Patience = {}): Call => ({
    cluster: id,
    clock,
    timeoutMs: patient ? timeoutMs * patienceFactor : timeoutMs,
    signal,
  })
  const receive = storeInto({ ...archive, clock, maxPartBytes: options.limits.maxPartBytes })
  const stores = new Set<Promise<unknown>>()
  return {
    id,
    role,
    priority,
    timeoutMs,
    search: (request, signal) => inTime(call(signal), (until) => search(archive, request, until)),
    metadata: (target, signal, patience) => inTimeEach(call(signal, patience), metadataOf(archive, target, signal)),
    retrieve: async (request, signal) => {
      const parts = await inTime(call(signal, request), (until) => retrieve(archive, request, { until, signal }))
      return inTimeParts(call(signal, { patient: true }), parts)
    },
    store: async (uploads, signal) => {
      const running = receive(uploads, signal)
      const ended = running.catch(() => undefined).finally(() => stores.delete(ended))
      stores.add(ended)
      try {
        return await withGrace(call(signal), running)
      } catch (error) {
        throw error instanceof UploadFailed && !signal.aborted ? error.cause : explain(id, error, signal)
      }
    },
    probe: (signal) => inTime(call(signal), () => probe(archive)),
    close: async () => {
      await inTime(call(never), () => Promise.all(stores)).catch(archive.untidy)
      await release()
    },
  }
}

const never = new AbortController().signal

async function* inTimeParts(call: Call, parts: Parts): AsyncGenerator<Part, void, undefined> {
  for await (const part of inTimeEach(call, parts)) yield { ...part, body: inTimeEach(call, part.body) }
}

/** Below this the archive will soon refuse to store. */
const scarceBytes = 1024 ** 3

async function probe({ cluster, db, folder }: Archive): Promise<ProbeReport> {
  const begun = performance.now()
  await isEmpty(db, cluster)
  const latencyMs = performance.now() - begun
  const free = await probeFolder(folder)
  const remarks = free < scarceBytes ? [`less than 1 GiB is free in the data directory of cluster ${cluster}`] : []
  return { latencyMs, supports: ['search', 'retrieve', 'metadata', 'store'], remarks }
}

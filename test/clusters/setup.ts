import type { InstanceUpload } from '../../src/clusters/cluster.ts'
import { createDicomwebCluster, type PooledCluster } from '../../src/clusters/dicomweb.ts'
import { type ClusterConfig, configSchema, type Limits } from '../../src/config/schema.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import { noTelemetry } from '../../src/core/telemetry.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { turn } from '../support/fake-clock.ts'
import type { MadeInstance } from '../support/made-instance.ts'

export interface SetupOptions {
  readonly cluster?: object
  readonly limits?: Partial<Limits>
  readonly clock?: Clock
}

/** The configuration of one cluster as a file would give it, with every default filled in. */
export function clusterConfig(dicomweb: string, overrides: object = {}): { cluster: ClusterConfig; limits: Limits } {
  const asked = { id: 'north', role: 'home', dicomweb, ...overrides }
  const others = asked.role === 'home' ? [] : [{ id: 'home', role: 'home', embedded: {} }]
  const { clusters, limits } = configSchema.parse({ site: 'test', clusters: [asked, ...others] })
  const [cluster] = clusters
  if (!cluster) throw new Error('a configuration without clusters')
  return { cluster, limits }
}

export function clusterAt(dicomweb: string, options: SetupOptions = {}): PooledCluster {
  const { cluster, limits } = clusterConfig(dicomweb, options.cluster)
  return createDicomwebCluster(cluster, {
    site: 'test',
    limits: { ...limits, ...options.limits },
    clock: options.clock ?? systemClock,
    telemetry: noTelemetry,
  })
}

export const uid = (text: string): Uid => parseUid(text, 'test')

/** Resolves when every connection of a cluster has been given back. */
export async function idle(cluster: PooledCluster): Promise<void> {
  while (cluster.pool.running > 0) await turn()
}

/** A signal that never fires. */
export const forever = (): AbortSignal => new AbortController().signal

export async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export interface ReadPart {
  readonly contentType: string
  readonly content: Buffer
}

export async function readAll(parts: Parts): Promise<ReadPart[]> {
  const read: ReadPart[] = []
  for await (const part of parts) read.push(await readPart(part))
  return read
}

const readPart = async ({ contentType, body }: Part): Promise<ReadPart> => ({
  contentType,
  content: await bytesOf(body),
})

/** Instances as `Cluster.store` takes them. */
export async function* uploadsOf(...instances: readonly MadeInstance[]): AsyncGenerator<InstanceUpload> {
  for (const { bytes } of instances) yield await sniffInstance(once(bytes), { maxHeaderBytes: 1024 ** 2 })
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** What a piece of work fails with; it must be a failure of a cluster. */
export async function failureOf(work: Promise<unknown>): Promise<ClusterError> {
  const thrown: unknown = await work.then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  )
  if (thrown instanceof ClusterError) return thrown
  throw thrown
}

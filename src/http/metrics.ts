import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { ClusterStatus } from '../clusters/registry.ts'
import type { Telemetry } from '../core/telemetry.ts'
import type { OutboxState } from '../replicate/outbox.ts'

/** One HTTP request that ended. */
export interface RequestMeasure {
  /** Pattern, never an address: the number of series stays small. */
  readonly route: string
  readonly method: string
  readonly status: number
  readonly durationMs: number
  readonly bytesReceived: number
  readonly bytesSent: number
}

/** State that is read when the metrics are, not told as it changes. */
export interface Snapshot {
  readonly clusters: readonly ClusterStatus[]
  /** `undefined` when the database did not tell. */
  readonly queues: readonly OutboxState[] | undefined
}

/** Prometheus metrics, all named `dicomweb_link_…`, in a registry of their own. */
export interface Metrics extends Telemetry {
  requestEnded(request: RequestMeasure): void
  /** In the text format of Prometheus. */
  render(snapshot: Snapshot): Promise<string>
  readonly contentType: string
}

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = createRequestMetrics(registry)
  const calls = createCallMetrics(registry)
  const cache = createCacheMetrics(registry)
  const state = createStateMetrics(registry)
  return {
    ...calls,
    ...cache,
    requestEnded: requests,
    contentType: registry.contentType,
    render(snapshot) {
      state(snapshot)
      return registry.metrics()
    },
  }
}

function createRequestMetrics(registry: Registry): Metrics['requestEnded'] {
  const registers = [registry]
  const duration = new Histogram({
    name: 'dicomweb_link_http_request_duration_seconds',
    help: 'From the first byte of a request to the last of its answer.',
    labelNames: ['route', 'method', 'status'],
    buckets: seconds,
    registers,
  })
  const bytes = new Counter({
    name: 'dicomweb_link_http_bytes_total',
    help: 'Bytes received from and sent to clients.',
    labelNames: ['route', 'direction'],
    registers,
  })
  return ({ route, method, status, durationMs, bytesReceived, bytesSent }) => {
    duration.observe({ route, method: methods.has(method) ? method : 'OTHER', status }, durationMs / 1000)
    bytes.inc({ route, direction: 'received' }, bytesReceived)
    bytes.inc({ route, direction: 'sent' }, bytesSent)
  }
}

function createCallMetrics(registry: Registry): Omit<Telemetry, 'cacheAsked' | 'cacheHeld'> {
  const registers = [registry]
  const duration = new Histogram({
    name: 'dicomweb_link_cluster_call_duration_seconds',
    help: 'Calls to clusters, by what came of them: ok, cancelled or the reason of the failure.',
    labelNames: ['cluster', 'operation', 'result'],
    buckets: seconds,
    registers,
  })
  const bytes = new Counter({
    name: 'dicomweb_link_cluster_bytes_total',
    help: 'Bytes received from and sent to clusters.',
    labelNames: ['cluster', 'direction'],
    registers,
  })
  const runs = new Counter({
    name: 'dicomweb_link_converge_runs_total',
    help: 'Runs that made a cluster hold all of a study.',
    labelNames: ['cluster', 'result'],
    registers,
  })
  const instances = new Counter({
    name: 'dicomweb_link_converge_instances_total',
    help: 'Instances sent to clusters that lacked them.',
    labelNames: ['cluster'],
    registers,
  })
  return {
    clusterCall: ({ cluster, operation, result, durationMs }) =>
      duration.observe({ cluster, operation, result }, durationMs / 1000),
    clusterBytes: (cluster, direction, count) => bytes.inc({ cluster, direction }, count),
    convergeRun(cluster, result, sent) {
      runs.inc({ cluster, result })
      instances.inc({ cluster }, sent)
    },
  }
}

function createCacheMetrics(registry: Registry): Pick<Telemetry, 'cacheAsked' | 'cacheHeld'> {
  const registers = [registry]
  const asked = new Counter({
    name: 'dicomweb_link_cache_requests_total',
    help: 'Retrievals that answers are kept of, by how they were met.',
    labelNames: ['resource', 'result'],
    registers,
  })
  const held = new Gauge({ name: 'dicomweb_link_cache_bytes', help: 'Bytes of the answers that are kept.', registers })
  return {
    cacheAsked: (resource, result) => asked.inc({ resource, result }),
    cacheHeld: (bytes) => held.set(bytes),
  }
}

const breakerStates = ['closed', 'open', 'half-open'] as const

function createStateMetrics(registry: Registry): (snapshot: Snapshot) => void {
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Gauge({ name: `dicomweb_link_${name}`, help, labelNames: [...labelNames], registers: [registry] })
  const up = gauge('cluster_up', '1 up, 0 down; absent while unknown.', ['cluster', 'role'])
  const breaker = gauge('cluster_breaker', '1 for the state the breaker is in.', ['cluster', 'state'])
  const latency = gauge('cluster_latency_seconds', 'Decaying average of the time to the first byte of questions.', [
    'cluster',
  ])
  const firstByte = gauge(
    'cluster_first_byte_seconds',
    'Decaying average of the time to the first byte of retrievals.',
    ['cluster'],
  )
  const throughput = gauge('cluster_throughput_bytes_per_second', 'Decaying average of one connection.', ['cluster'])
  const pool = gauge('cluster_pool', 'Requests on their way and waiting for a connection.', ['cluster', 'use'])
  const depth = gauge('converge_queue_depth', 'Studies that wait to be replicated.', ['cluster'])
  const oldest = gauge('converge_queue_oldest_age_seconds', 'Age of the oldest of them.', ['cluster'])
  const dead = gauge('converge_dead_letters', 'Studies that are not tried again by themselves.', ['cluster'])
  const refused = gauge('converge_refused_instances', 'Instances that the cluster refuses for good.', ['cluster'])
  const paused = gauge('converge_paused', '1 while nothing is replicated to the cluster, else 0.', ['cluster'])
  const all = [up, breaker, latency, firstByte, throughput, pool, depth, oldest, dead, refused, paused]

  return ({ clusters, queues }) => {
    for (const it of all) it.reset()
    for (const { id, role, state, latencyMs, firstByteMs, bytesPerSecond, pool: use, ...status } of clusters) {
      if (state !== 'unknown') up.set({ cluster: id, role }, state === 'up' ? 1 : 0)
      for (const each of breakerStates) breaker.set({ cluster: id, state: each }, status.breaker === each ? 1 : 0)
      if (latencyMs !== undefined) latency.set({ cluster: id }, latencyMs / 1000)
      if (firstByteMs !== undefined) firstByte.set({ cluster: id }, firstByteMs / 1000)
      if (bytesPerSecond !== undefined) throughput.set({ cluster: id }, bytesPerSecond)
      pool.set({ cluster: id, use: 'running' }, use.running)
      pool.set({ cluster: id, use: 'waiting' }, use.waiting)
    }
    for (const { cluster, ...queue } of queues ?? []) {
      depth.set({ cluster }, queue.waiting + queue.running)
      oldest.set({ cluster }, queue.oldestAgeMs / 1000)
      dead.set({ cluster }, queue.deadLetters)
      refused.set({ cluster }, queue.refusedInstances)
      paused.set({ cluster }, queue.pausedSince ? 1 : 0)
    }
  }
}

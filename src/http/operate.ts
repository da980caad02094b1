import type { Context } from 'hono'
import type { ClusterStatus, Clusters } from '../clusters/registry.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { toError } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { Outbox } from '../replicate/outbox.ts'
import { answerJson } from './answer.ts'
import type { Authenticate } from './auth.ts'
import type { Env, Route } from './context.ts'
import type { Metrics } from './metrics.ts'
import type { Lifecycle } from './server.ts'

export interface OperateRoutesDependencies {
  readonly clusters: Pick<Clusters, 'status'>
  /** What waits to be replicated; asked at each scrape, for at most two seconds. */
  readonly outbox: Pick<Outbox, 'states'>
  readonly metrics: Metrics
  readonly lifecycle: Lifecycle
  readonly authenticate: Authenticate
  readonly clock: Clock
  readonly log: Log
}

const queueTimeoutMs = 2000

/** For whoever runs the service: is it alive, is it ready, what does it do. */
export const operateRoutes = (deps: OperateRoutesDependencies): Route[] => [
  { method: 'GET', path: '/healthz', scope: 'public', handle: (c) => answerJson(c, { status: 'ok' }) },
  { method: 'GET', path: '/readyz', scope: 'public', handle: (c) => ready(c, deps) },
  { method: 'GET', path: '/metrics', scope: 'admin', handle: (c) => metrics(c, deps) },
]

/**
 * Ready means: this process takes requests. A cluster that is down does not make it unready, since it answers for
 * the others and says what is missing; the states are told, to those who may ask for something.
 */
async function ready(c: Context<Env>, { lifecycle, clusters, authenticate }: OperateRoutesDependencies) {
  const known = await authenticate(c.req.raw.headers).catch(() => undefined)
  const states = known ? { clusters: clusters.status().map(describe) } : {}
  return lifecycle.draining
    ? answerJson(c, { status: 'draining', ...states }, 503)
    : answerJson(c, { status: 'ready', ...states })
}

const describe = ({ id, role, state, breaker, since, reason, latencyMs, ...speed }: ClusterStatus) => ({
  id,
  role,
  state,
  breaker,
  since: new Date(since).toISOString(),
  ...(reason === undefined ? {} : { reason }),
  ...(latencyMs === undefined ? {} : { latencyMs: Math.round(latencyMs) }),
  ...(speed.firstByteMs === undefined ? {} : { firstByteMs: Math.round(speed.firstByteMs) }),
  ...(speed.bytesPerSecond === undefined ? {} : { bytesPerSecond: Math.round(speed.bytesPerSecond) }),
})

async function metrics(c: Context<Env>, deps: OperateRoutesDependencies): Promise<Response> {
  const text = await deps.metrics.render({ clusters: deps.clusters.status(), queues: await queueStates(c, deps) })
  return c.body(text, 200, { 'Content-Type': deps.metrics.contentType, 'Cache-Control': 'no-store' })
}

/** The other metrics are wanted most when the database is in trouble. */
async function queueStates(c: Context<Env>, deps: OperateRoutesDependencies) {
  using limit = deadline(deps.clock, queueTimeoutMs, c.env.exchange.signal)
  const { promise: late, reject } = Promise.withResolvers<never>()
  limit.signal.addEventListener('abort', () => reject(limit.signal.reason), { once: true })
  try {
    return await Promise.race([deps.outbox.states(), late])
  } catch (error) {
    deps.log.warn({ err: toError(error), requestId: c.env.exchange.id }, 'queue-state-unknown')
    return undefined
  }
}

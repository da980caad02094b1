import type { Clock } from '../core/clock.ts'
import { deadline, ranOutOfTime } from '../core/deadline.ts'
import { ClusterError, countsAgainstHealth, type FailureReason } from '../core/outcome.ts'
import type { Log, Telemetry } from '../core/telemetry.ts'
import type { Dataset } from '../dicom/dataset.ts'
import type { Parts } from '../dicom/multipart.ts'
import { Breaker, type BreakerOptions, defaultBreakerOptions } from './breaker.ts'
import { Call, type Verdict } from './call.ts'
import type {
  Cluster,
  ClusterRole,
  InstanceUpload,
  Patience,
  ProbeReport,
  RetrieveRequest,
  SearchAnswer,
  SearchRequest,
  StoreResult,
  Target,
} from './cluster.ts'
import type { PooledCluster } from './dicomweb.ts'
import { untilAborted } from './fan-out.ts'
import { decayed, RetrievalSpeed } from './measures.ts'
import type { ClusterStatus, WatchedCluster } from './registry.ts'
import { watchedItems, watchedParts } from './watched.ts'

type Operation = Parameters<Telemetry['clusterCall']>[0]['operation']

export interface HealthDeps {
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly log: Log
  readonly breaker?: BreakerOptions
}

type Inner = Cluster & Partial<Pick<PooledCluster, 'pool' | 'waitedMs'>>

/** What was going on when a call failed. */
interface Circumstances {
  readonly operation: Operation
  readonly signal: AbortSignal
  /** The first byte had arrived. */
  readonly answered: boolean
  /** How long it took, without the time in line for a connection. */
  readonly elapsedMs: number
}

/** A cluster that nobody asked anything for this long is probed, so that its state is not a memory. */
const idleProbeMs = 30_000

/**
 * Any cluster with its health kept: every call is measured and judged, a cluster that keeps failing is left alone for
 * a while (`circuit-open`), and probes in the background find out when it is back.
 *
 * What a caller does never counts: leaving early, a body of its own that breaks off. That a caller's deadline passed
 * counts when the cluster had a fair part of its time.
 */
export class MonitoredCluster implements WatchedCluster {
  readonly id: string
  readonly role: ClusterRole
  readonly priority: number
  readonly timeoutMs: number
  readonly #inner: Inner
  readonly #deps: HealthDeps
  readonly #breaker: Breaker
  readonly #speed: RetrievalSpeed
  readonly #closed = new AbortController()
  #wake = new AbortController()
  #watching: Promise<void> | undefined
  #probing: Promise<void> | undefined
  #state: ClusterStatus['state'] = 'unknown'
  #since: number
  #reason: FailureReason | undefined
  #latencyMs: number | undefined
  #heardAt = Number.NEGATIVE_INFINITY
  #running = 0

  constructor(inner: Inner, deps: HealthDeps) {
    this.id = inner.id
    this.role = inner.role
    this.priority = inner.priority
    this.timeoutMs = inner.timeoutMs
    this.#inner = inner
    this.#deps = deps
    this.#breaker = new Breaker(deps.clock, deps.breaker)
    this.#speed = new RetrievalSpeed(deps.clock)
    this.#since = deps.clock.now()
  }

  status(): ClusterStatus {
    return {
      id: this.id,
      role: this.role,
      state: this.#state,
      breaker: this.#breaker.state,
      since: this.#since,
      ...(this.#reason !== undefined && { reason: this.#reason }),
      ...(this.#latencyMs !== undefined && { latencyMs: this.#latencyMs }),
      ...this.#speed.figures,
      pool: this.#inner.pool ?? { running: this.#running, waiting: 0 },
    }
  }

  search(request: SearchRequest, signal: AbortSignal): Promise<SearchAnswer> {
    return this.#whole('search', signal, (own) => this.#inner.search(request, own))
  }

  metadata(target: Target, signal: AbortSignal, patience?: Patience): AsyncIterable<Dataset> {
    return watchedItems(
      async () => (patience?.patient ? this.#beginLong('metadata', signal) : this.#begin('metadata', signal)),
      (call) => this.#inner.metadata(target, call.signal, patience),
    )
  }

  async retrieve(request: RetrieveRequest, signal: AbortSignal): Promise<Parts> {
    const call = request.patient ? await this.#beginLong('retrieve', signal) : this.#begin('retrieve', signal)
    const begun = this.#deps.clock.now()
    const elapsedMs = () => this.#deps.clock.now() - begun
    try {
      const parts = await this.#inner.retrieve(request, call.signal)
      this.#speed.answered(request, elapsedMs(), this.#inner.waitedMs?.(call.signal) ?? 0)
      call.answered()
      return watchedParts(parts, call, this.#speed)
    } catch (thrown) {
      this.#speed.unanswered(request, elapsedMs())
      call.failed(thrown)
      throw thrown
    }
  }

  store(uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal): Promise<StoreResult[]> {
    return this.#whole('store', signal, (own) => this.#inner.store(uploads, own))
  }

  probe(signal: AbortSignal): Promise<ProbeReport> {
    return this.#whole('probe', signal, (own) => this.#inner.probe(own))
  }

  /** Probes at once, whenever the cluster is down and its breaker lets it, and when nobody asked it for long. */
  watch(): void {
    this.#watching ??= this.#watch(this.#closed.signal)
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await Promise.all([this.#watching, this.#inner.close()])
  }

  async #whole<T>(operation: Operation, signal: AbortSignal, ask: (own: AbortSignal) => Promise<T>): Promise<T> {
    const call = operation === 'store' ? await this.#beginLong(operation, signal) : this.#begin(operation, signal)
    try {
      const answer = await ask(call.signal)
      // The time an upload takes says more of the upload than of the cluster.
      if (operation !== 'store') call.answered()
      call.ended()
      return answer
    } catch (thrown) {
      call.failed(thrown)
      throw thrown
    }
  }

  /**
   * What may be long in beginning to answer is no trial, since all others are kept away until a trial is decided: it
   * lets a probe go ahead.
   */
  async #beginLong(operation: Operation, signal: AbortSignal): Promise<Call> {
    if (this.#breaker.state === 'half-open') await untilAborted(this.#probeQuietly(), signal)
    return this.#begin(operation, signal, { mayTry: false })
  }

  #begin(operation: Operation, signal: AbortSignal, { mayTry = true } = {}): Call {
    const { clock, telemetry } = this.#deps
    const begun = clock.now()
    const permit = this.#breaker.enter(mayTry)
    const finish = (result: 'ok' | 'cancelled' | FailureReason) => {
      telemetry.clusterCall({ cluster: this.id, operation, result, durationMs: clock.now() - begun })
    }
    if (!permit) {
      finish('circuit-open')
      const why = this.#reason ? ` (${this.#reason})` : ''
      const message = `is not asked because it failed repeatedly${why}; it is probed in the background`
      throw new ClusterError(this.id, 'circuit-open', message)
    }
    this.#running++
    // One of its own, by which the cluster can tell this call from others under the same.
    const own = AbortSignal.any([signal])
    const sinceBegun = () => clock.now() - begun
    const elapsedMs = () => sinceBegun() - (this.#inner.waitedMs?.(own) ?? 0)
    return new Call(permit, own, {
      answered: () => {
        if (operation !== 'retrieve') this.#latencyMs = decayed(this.#latencyMs, sinceBegun())
      },
      verdictOf: (thrown, answered) => this.#verdict(thrown, { operation, signal, answered, elapsedMs: elapsedMs() }),
      heard: (reason) => this.#heard(reason),
      finish: (result) => {
        this.#running--
        finish(result)
      },
    })
  }

  #verdict(thrown: unknown, { operation, signal, answered, elapsedMs }: Circumstances): Verdict {
    if (signal.aborted) {
      // The time an upload takes is that of its source.
      if (operation === 'store') return { result: 'cancelled', health: 'unknown' }
      // Rounds of one request share a budget: what is left for a late one may be too little for any cluster.
      const fair = !answered && ranOutOfTime(signal) && elapsedMs >= this.timeoutMs / 2
      return fair ? { result: 'timed-out', health: 'bad' } : { result: 'cancelled', health: 'unknown' }
    }
    // What is stored may be read from another cluster.
    if (!(thrown instanceof ClusterError) || thrown.cluster !== this.id)
      return { result: 'cancelled', health: 'unknown' }
    const { reason } = thrown
    // Our own line is full; that cuts nobody off who got through.
    if (reason === 'overloaded' || mayBeTheObject(operation, thrown)) return { result: reason, health: 'unknown' }
    return { result: reason, health: countsAgainstHealth(reason) ? 'bad' : 'good' }
  }

  /** After the breaker has been told: `reason` of a failure, `undefined` for a sign of life. */
  #heard(reason: FailureReason | undefined): void {
    this.#heardAt = this.#deps.clock.now()
    if (reason === undefined) this.#become('up', undefined)
    // One failure does not take down what was up; the breaker knows how many do.
    else if (this.#state !== 'up' || this.#breaker.state !== 'closed') this.#become('down', reason)
  }

  #become(state: 'up' | 'down', reason: FailureReason | undefined): void {
    this.#reason = reason
    if (this.#state === state) return
    this.#state = state
    this.#since = this.#deps.clock.now()
    const { log } = this.#deps
    if (state === 'up') log.info({ cluster: this.id }, 'cluster-up')
    else log.warn({ cluster: this.id, reason }, 'cluster-down')
    this.#wake.abort()
  }

  async #watch(closed: AbortSignal): Promise<void> {
    while (!closed.aborted) {
      if (this.#probeIsDue()) await this.#probeQuietly()
      // A change of state during the probe is known already.
      this.#wake = new AbortController()
      const { signal } = this.#wake
      await this.#deps.clock.sleep(this.#nextLookMs(), AbortSignal.any([closed, signal])).catch(() => undefined)
    }
  }

  #probeIsDue(): boolean {
    if (this.#state === 'unknown') return true
    if (this.#state === 'down') return this.#breaker.retryInMs === 0 && !this.#failedJustNow()
    return this.#deps.clock.now() - this.#heardAt >= idleProbeMs
  }

  #failedJustNow(): boolean {
    return this.#breaker.state === 'closed' && this.#deps.clock.now() - this.#heardAt < this.#backoffMs
  }

  get #backoffMs(): number {
    return (this.#deps.breaker ?? defaultBreakerOptions).backoffMs
  }

  #nextLookMs(): number {
    if (this.#state !== 'down') return idleProbeMs
    return this.#breaker.state === 'open' ? this.#breaker.retryInMs : this.#backoffMs
  }

  /** One at a time, for all who want to know. */
  #probeQuietly(): Promise<void> {
    this.#probing ??= this.#probeInTime().finally(() => {
      this.#probing = undefined
    })
    return this.#probing
  }

  async #probeInTime(): Promise<void> {
    using wait = deadline(this.#deps.clock, this.timeoutMs, this.#closed.signal)
    await this.probe(wait.signal).catch(() => undefined)
  }
}

/**
 * Most often an archive that answers these is well and the object is not: a picture that cannot be decoded, metadata
 * of a damaged file, a page that says so. One that is out of order shows it in searches, which probes are too.
 */
const mayBeTheObject = (operation: Operation, { reason, status }: ClusterError): boolean =>
  (operation === 'retrieve' || operation === 'metadata') &&
  (status === 500 || (reason === 'malformed' && status !== undefined))

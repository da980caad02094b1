import type { Cluster } from '../clusters/cluster.ts'
import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Log, Telemetry } from '../core/telemetry.ts'
import type { Uid } from '../dicom/uid.ts'
import { converge } from './converge.ts'

/** One claimed job: this process alone works on it while the lease holds. */
export interface Job {
  readonly study: Uid
  readonly cluster: string
  readonly attempts: number
}

/** The durable queue, `db/converge-jobs.ts` behind it. */
export interface JobQueue<J extends Job> {
  request(study: Uid, clusters: readonly string[]): Promise<void>
  claim(clusters: readonly string[], limit: number): Promise<readonly J[]>
  /** False when the lease is lost and the work must stop. */
  renew(job: J): Promise<boolean>
  complete(job: J): Promise<unknown>
  fail(job: J, error: string, retryInMs: number): Promise<unknown>
  release(job: J): Promise<unknown>
}

export interface Replication {
  /** Resolves when the intent to bring these studies to every linked cluster survives a crash. */
  request(studies: readonly Uid[]): Promise<void>
  /** Works until {@link stop}. */
  start(): void
  /** Ends running jobs; they are given back and go on elsewhere or at the next start. */
  stop(): Promise<void>
}

export interface ReplicationTarget {
  readonly cluster: Cluster
  /** `updates: all` starts studies at the target, `holders` only completes them. */
  readonly updates: 'all' | 'holders'
}

export interface ReplicationDependencies<J extends Job> {
  /** Linked clusters that take updates; third-party clusters never do. */
  readonly targets: readonly ReplicationTarget[]
  /** Where a study may be read for a target, the best location first. */
  readonly sourcesFor: (study: Uid, target: string) => Promise<readonly Cluster[]>
  readonly queue: JobQueue<J>
  readonly clock: Clock
  readonly log: Log
  readonly telemetry: Telemetry
  readonly pace: Pace
}

export interface Pace {
  /** Jobs at the same time, for all targets together. */
  readonly concurrency: number
  /** How often the queue is looked at when nothing was announced: other proxies put jobs there too. */
  readonly pollMs: number
  /** How often a lease is renewed; well below its length. */
  readonly renewMs: number
  /** First and longest wait after a failure; it doubles in between, with jitter. */
  readonly retryMs: number
  readonly maxRetryMs: number
}

/** Claim → converge → complete, or put off. The jobs are the only state: a crash loses none of them. */
export function createReplication<J extends Job>(deps: ReplicationDependencies<J>): Replication {
  const { targets, queue, clock, log, pace } = deps
  const ids = targets.map(({ cluster }) => cluster.id)
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  let announced = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      const free = pace.concurrency - running.size
      const claimed = free > 0 ? await claim(free) : []
      for (const job of claimed) launch(job)
      if (claimed.length < free || free === 0) await pause()
    }
  }

  async function claim(limit: number): Promise<readonly J[]> {
    try {
      return await queue.claim(ids, limit)
    } catch (thrown) {
      log.error({ error: toError(thrown).message }, 'replication queue unavailable')
      return []
    }
  }

  /** Until a job is announced or done, or another look at the queue is due. */
  async function pause(): Promise<void> {
    const wake = new AbortController()
    const until = AbortSignal.any([stopping.signal, announced.signal, wake.signal])
    const elapsed = clock.sleep(pace.pollMs, until).catch(() => undefined)
    await Promise.race([elapsed, ...running])
    wake.abort()
    if (announced.signal.aborted) announced = new AbortController()
  }

  function launch(job: J): void {
    const run = perform(job).finally(() => running.delete(run))
    running.add(run)
  }

  async function perform(job: J): Promise<void> {
    const abandoned = new AbortController()
    const signal = AbortSignal.any([stopping.signal, abandoned.signal])
    const renewal = keepLease(job, abandoned, signal)
    try {
      await settle(job, signal)
    } catch (thrown) {
      log.error(
        { study: job.study, cluster: job.cluster, error: toError(thrown).message },
        'replication job not settled',
      )
    } finally {
      abandoned.abort()
      await renewal
    }
  }

  async function keepLease(job: J, abandoned: AbortController, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        await clock.sleep(pace.renewMs, signal)
        if (!(await queue.renew(job))) abandoned.abort(new Error('lease lost'))
      }
    } catch (thrown) {
      // Not being able to renew is as good as having lost the lease: somebody else may take the job.
      if (!signal.aborted) abandoned.abort(toError(thrown))
    }
  }

  /** Runs a job and tells the queue how it went. */
  async function settle(job: J, signal: AbortSignal): Promise<void> {
    try {
      await run(job, signal)
      await queue.complete(job)
    } catch (thrown) {
      if (signal.aborted) return void (await queue.release(job))
      const retryInMs = backoff(job.attempts, pace)
      const error = toError(thrown)
      log.warn({ study: job.study, cluster: job.cluster, retryInMs, error: error.message }, 'replication put off')
      deps.telemetry.convergeRun(job.cluster, 'failed', 0)
      await queue.fail(job, error.message, retryInMs)
    }
  }

  async function run({ study, cluster }: J, signal: AbortSignal): Promise<void> {
    const target = targets.find((it) => it.cluster.id === cluster)
    if (!target) return
    const sources = await deps.sourcesFor(study, cluster)
    const startsStudies = target.updates === 'all'
    const { sent, refused } = await converge(study, target.cluster, { sources, startsStudies }, signal)
    deps.telemetry.convergeRun(cluster, 'ok', sent)
    log.info({ study, cluster, sent, refused: refused.length }, 'study replicated')
    if (refused.length > 0) log.warn({ study, cluster, refused: refused.slice(0, 20) }, 'instances refused for good')
  }

  return {
    async request(studies) {
      for (const study of studies) await queue.request(study, ids)
      announced.abort()
    },
    start() {
      loop = targets.length > 0 ? work() : Promise.resolve()
    },
    async stop() {
      stopping.abort()
      await loop
      await Promise.all(running)
    },
  }
}

/** Exponential with full jitter, so that a cluster that comes back is not met by everything at once; milliseconds. */
function backoff(attempts: number, { retryMs, maxRetryMs }: Pace): number {
  const longest = Math.min(maxRetryMs, retryMs * 2 ** Math.min(attempts, 20))
  return Math.round(longest / 2 + (Math.random() * longest) / 2)
}

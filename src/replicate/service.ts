import { untilAborted } from '../clusters/fan-out.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { LinkError, toError } from '../core/errors.ts'
import type { Log, Telemetry } from '../core/telemetry.ts'
import type { Uid } from '../dicom/uid.ts'

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
  /** Gives back what is to be looked at once more: after so long, or at once when it was requested meanwhile. */
  postpone(job: J, runInMs: number): Promise<unknown>
  /** `dead`: it has been failing for too long and does not come again by itself; `lost`: nothing was changed. */
  fail(job: J, error: string, retryInMs: number): Promise<'waiting' | 'dead' | 'lost'>
  release(job: J): Promise<unknown>
}

/** What became of the instances of a study in one run. */
export interface RunResult {
  /** Brought there. */
  readonly sent: number
  /** Refused for good: the run succeeds without them. */
  readonly refused: number
  /** The study is to be run again after so long, unless it is requested before. */
  readonly againInMs?: number
}

/** Somewhere that studies are brought to, one job a study. */
export interface ReplicationTarget {
  /** Names its jobs in the queue. */
  readonly id: string
  /** Running it again changes nothing. Throws when it could not be brought to its end: it is tried again. */
  run(study: Uid, signal: AbortSignal): Promise<RunResult>
  /** Told that a study is not tried again by itself, and why. */
  gaveUp?(study: Uid, error: string): Promise<void>
}

export interface PacedTarget extends ReplicationTarget {
  /** Studies at the same time: a slow target leaves room for the others. */
  readonly atOnce: number
}

export interface Replication {
  /** Resolves when the intent to bring these studies to every target survives a crash. */
  request(studies: readonly Uid[]): Promise<void>
  /** Somebody else has put jobs into the queue: it is looked at now. */
  wake(): void
  /** Works until {@link stop}. */
  start(): void
  /** Ends running jobs; they are given back and go on elsewhere or at the next start. */
  stop(): Promise<void>
}

export interface ReplicationDependencies<J extends Job> {
  readonly targets: readonly PacedTarget[]
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
  /** How long a renewal may take; together with `renewMs` shorter than the lease. */
  readonly renewTimeoutMs: number
  /** Longest run of one job; what it sent until then counts for the next. */
  readonly jobTimeoutMs: number
  /** First and longest wait after a failure; it doubles in between, with jitter. */
  readonly retryMs: number
  readonly maxRetryMs: number
}

/** Claim → run → complete, or put off. The jobs are the only state: a crash loses none of them. */
export function createReplication<J extends Job>(deps: ReplicationDependencies<J>): Replication {
  const { targets, queue, clock, log, pace } = deps
  const ids = targets.map(({ id }) => id)
  const stopping = new AbortController()
  const running = new Map<J, Promise<void>>()
  let announced = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      const job = await claim()
      if (job) running.set(job, perform(job))
      else await pause()
    }
  }

  /** The next job of a target that has room; one at a time, so that no target takes the room of the others. */
  async function claim(): Promise<J | undefined> {
    const busy = (id: string) => [...running.keys()].filter(({ cluster }) => cluster === id).length
    const hasRoom = ({ id, atOnce }: PacedTarget) => busy(id) < atOnce
    const open = running.size < pace.concurrency ? targets.filter(hasRoom).map(({ id }) => id) : []
    try {
      return open.length > 0 ? (await queue.claim(open, 1))[0] : undefined
    } catch (thrown) {
      log.error({ error: toError(thrown).message }, 'replication queue unavailable')
      return undefined
    }
  }

  /** Until a job is announced or done, or another look at the queue is due. */
  async function pause(): Promise<void> {
    const wake = new AbortController()
    const until = AbortSignal.any([stopping.signal, announced.signal, wake.signal])
    const elapsed = clock.sleep(pace.pollMs, until).catch(() => undefined)
    await Promise.race([elapsed, ...running.values()])
    wake.abort(announcement)
    if (announced.signal.aborted) announced = new AbortController()
  }

  /** Runs a job while its lease holds. Never rejects. */
  async function perform(job: J): Promise<void> {
    const abandoned = new AbortController()
    const ended = AbortSignal.any([stopping.signal, abandoned.signal])
    const renewal = keepLease(job, abandoned, ended)
    try {
      await settle(job, ended)
    } catch (thrown) {
      const error = toError(thrown).message
      log.error({ study: job.study, cluster: job.cluster, error }, 'replication job not settled')
    } finally {
      abandoned.abort()
      await renewal
      running.delete(job)
    }
  }

  /** Not being able to renew is as good as having lost the lease: somebody else may take the job. */
  async function keepLease(job: J, abandoned: AbortController, ended: AbortSignal): Promise<void> {
    const slept = () =>
      clock.sleep(pace.renewMs, ended).then(
        () => true,
        () => false,
      )
    while (await slept()) {
      if (!(await isRenewed(job))) abandoned.abort(new Error('lease lost'))
    }
  }

  async function isRenewed(job: J): Promise<boolean> {
    using wait = deadline(clock, pace.renewTimeoutMs)
    return await untilAborted(queue.renew(job), wait.signal).catch(() => false)
  }

  /** Runs a job and tells the queue how it went. */
  async function settle(job: J, ended: AbortSignal): Promise<void> {
    using limit = deadline(clock, pace.jobTimeoutMs, ended)
    try {
      const againInMs = await run(job, limit.signal)
      await (againInMs === undefined ? queue.complete(job) : queue.postpone(job, againInMs))
    } catch (thrown) {
      if (ended.aborted) return void (await queue.release(job))
      await putOff(job, toError(thrown))
    }
  }

  async function putOff(job: J, thrown: Error): Promise<void> {
    const { study, cluster, attempts } = job
    const retryInMs = backoff(attempts, pace)
    const error = thrown.message
    log.warn({ study, cluster, retryInMs, error }, 'replication put off')
    deps.telemetry.convergeRun(cluster, 'failed', 0)
    const told = thrown instanceof LinkError ? error : unexpected
    if ((await queue.fail(job, told, retryInMs)) !== 'dead') return
    log.error({ study, cluster, error }, 'replication given up')
    await targets.find(({ id }) => id === cluster)?.gaveUp?.(study, told)
  }

  async function run({ study, cluster }: J, signal: AbortSignal): Promise<number | undefined> {
    const target = targets.find(({ id }) => id === cluster)
    if (!target) return undefined
    const { sent, refused, againInMs } = await target.run(study, signal)
    deps.telemetry.convergeRun(cluster, 'ok', sent)
    log.info({ study, cluster, sent, refused }, 'study replicated')
    return againInMs
  }

  return {
    async request(studies) {
      for (const study of studies) await queue.request(study, ids)
      announced.abort(announcement)
    },
    wake: () => announced.abort(announcement),
    start() {
      loop = targets.length > 0 ? work() : Promise.resolve()
    },
    async stop() {
      stopping.abort()
      await loop
      await Promise.all(running.values())
    },
  }
}

/** Nobody sees it; without one, every abort would make an error with its stack. */
const announcement = 'announced'

/** Texts of errors that are not the product's own may tell hosts, and are for the log alone. */
const unexpected = 'an unexpected error; the log says more at "replication put off"'

/** Exponential with jitter, so that a cluster that comes back is not met by everything at once; milliseconds. */
export function backoff(attempts: number, { retryMs, maxRetryMs }: Pace, random: () => number = Math.random): number {
  const longest = Math.min(maxRetryMs, retryMs * 2 ** Math.min(attempts, 20))
  return Math.round(longest / 2 + (random() * longest) / 2)
}

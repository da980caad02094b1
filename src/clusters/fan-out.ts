import type { Clock } from '../core/clock.ts'
import { type Deadline, deadline, ranOutOfTime } from '../core/deadline.ts'
import { ClusterError, type Outcome } from '../core/outcome.ts'
import type { Cluster } from './cluster.ts'

/**
 * One time budget for each cluster, shared by every round of one piece of work: a cluster that used its time up in
 * the first round is not waited for again in the second.
 */
export class Budget implements Disposable {
  readonly #deadlines = new Map<string, Deadline>()
  readonly #clock: Clock
  readonly #signal: AbortSignal

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
  }

  /** Fires when the caller leaves or the cluster's `timeoutMs`, counted from its first use here, is over. */
  signalFor(cluster: Cluster): AbortSignal {
    let own = this.#deadlines.get(cluster.id)
    if (!own) {
      own = deadline(this.#clock, cluster.timeoutMs, this.#signal)
      this.#deadlines.set(cluster.id, own)
    }
    return own.signal
  }

  now(): number {
    return this.#clock.now()
  }

  throwIfCallerLeft(): void {
    this.#signal.throwIfAborted()
  }

  [Symbol.dispose](): void {
    for (const own of this.#deadlines.values()) own[Symbol.dispose]()
  }
}

/**
 * Asks all clusters at once and waits for each until its budget is spent, whatever the cluster does with its signal.
 * Outcomes come in the order of `clusters`. Throws only when the caller left or on a defect of our own.
 */
export function fanOut<T>(
  clusters: readonly Cluster[],
  budget: Budget,
  ask: (cluster: Cluster, signal: AbortSignal) => Promise<T>,
): Promise<Outcome<T>[]> {
  return Promise.all(clusters.map((cluster) => askOne(cluster, budget, ask)))
}

/** Asks a single cluster once, within its own time. Throws `ClusterError`, and the signal's reason when it fires. */
export async function askAlone<T>(
  cluster: Cluster,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  ask: (cluster: Cluster, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using budget = new Budget(clock, signal)
  const outcome = await askOne(cluster, budget, ask)
  if (outcome.status === 'ok') return outcome.value
  throw outcome.error
}

async function askOne<T>(
  cluster: Cluster,
  budget: Budget,
  ask: (cluster: Cluster, signal: AbortSignal) => Promise<T>,
): Promise<Exclude<Outcome<T>, { status: 'skipped' }>> {
  const signal = budget.signalFor(cluster)
  const begun = budget.now()
  try {
    const value = await untilAborted(ask(cluster, signal), signal)
    return { status: 'ok', cluster: cluster.id, value, durationMs: budget.now() - begun }
  } catch (thrown) {
    budget.throwIfCallerLeft()
    const error = asClusterError(cluster, thrown, signal)
    return { status: 'failed', cluster: cluster.id, reason: error.reason, error, durationMs: budget.now() - begun }
  }
}

function asClusterError(cluster: Cluster, thrown: unknown, signal: AbortSignal): ClusterError {
  if (thrown instanceof ClusterError) return thrown
  if (!ranOutOfTime(signal)) throw thrown
  return new ClusterError(cluster.id, 'timed-out', `no answer within ${cluster.timeoutMs} ms`, { cause: thrown })
}

/** Settles as the work does, or rejects as soon as the signal fires; the work's late result is dropped. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

import { describe, expect, it, vi } from 'vitest'
import { noLog, noTelemetry } from '../../src/core/telemetry.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { archiveTarget } from '../../src/replicate/archive-target.ts'
import { createReplication, type Job, type JobQueue } from '../../src/replicate/service.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { madeInstance } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const pace = {
  concurrency: 2,
  pollMs: 1000,
  renewMs: 10_000,
  renewTimeoutMs: 5000,
  jobTimeoutMs: 600_000,
  retryMs: 2000,
  maxRetryMs: 60_000,
}

/** A queue that records what became of its jobs and tells when the next thing happens. */
class RecordingQueue implements JobQueue<Job> {
  readonly waiting: Job[] = []
  readonly events: string[] = []
  #told: (() => void) | undefined
  leaseHolds = true
  databaseHangs = false

  async request(study: Uid, clusters: readonly string[]) {
    for (const cluster of clusters) this.waiting.push({ study, cluster, attempts: 0 })
  }
  async claim(clusters: readonly string[], limit: number) {
    const index = this.waiting.findIndex(({ cluster }) => clusters.includes(cluster))
    return index < 0 ? [] : this.waiting.splice(index, limit)
  }
  renew(): Promise<boolean> {
    return this.databaseHangs ? new Promise(() => undefined) : Promise.resolve(this.leaseHolds)
  }
  complete = (job: Job) => this.#note(`complete ${job.cluster}`)
  postpone = (job: Job, runInMs: number) => this.#note(`postpone ${job.cluster} ${runInMs}`)
  /** What becomes of a job that fails. */
  failed: Awaited<ReturnType<JobQueue<Job>['fail']>> = 'waiting'
  readonly failures: { readonly error: string; readonly retryInMs: number }[] = []
  async fail(job: Job, error: string, retryInMs: number) {
    this.failures.push({ error, retryInMs })
    await this.#note(`fail ${job.cluster}`)
    return this.failed
  }
  release = (job: Job) => this.#note(`release ${job.cluster}`)

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#told = resolve
    })
  }
  async #note(event: string) {
    this.events.push(event)
    this.#told?.()
  }
}

function setup(updates: 'all' | 'holders' = 'all') {
  const made = madeInstance()
  const [home, target] = [new MemoryCluster('home', { role: 'home' }).add(made), new MemoryCluster('target')]
  const [queue, clock] = [new RecordingQueue(), new FakeClock()]
  const found: [Uid, Record<string, number>][] = []
  const refused = new Map<Uid, number>()
  const logged: string[] = []
  const note = (level: string) => (fields: object, event: string) =>
    void logged.push(`${level} ${event}: ${JSON.stringify(fields)}`)
  const log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
  const brought = archiveTarget(target, updates, {
    sourcesFor: async () => [home],
    refusals: {
      of: async () => new Set(refused.keys()),
      remember: async (_study, _cluster, some) => {
        for (const { instance, reason } of some) refused.set(instance, reason)
      },
    },
    found: (study, held) => void found.push([study, Object.fromEntries(held)]),
    log,
    maxBufferedPartBytes: 1024 * 1024,
    travels: () => true,
  })
  const givenUp: string[] = []
  const gaveUp = async (_study: Uid, error: string) => void givenUp.push(error)
  const replication = createReplication({
    targets: [{ ...brought, gaveUp, atOnce: 1 }],
    queue,
    clock,
    log,
    telemetry: noTelemetry,
    pace,
  })
  const told = { found, refused, logged, givenUp }
  return { study: made.study as Uid, instance: made.instance, home, target, queue, clock, replication, ...told }
}

describe('replication', () => {
  it('brings a requested study to every target and completes the job', async () => {
    const { study, instance, target, queue, replication } = setup()
    replication.start()
    const done = queue.next()
    await replication.request([study])
    await done
    expect(queue.events).toEqual(['complete target'])
    expect([...target.held.keys()]).toEqual([instance])
    await replication.stop()
  })

  it('keeps the job of a study that is to be looked at once more', async () => {
    const { study, queue, clock } = setup()
    const target = { id: 'target', atOnce: 1, run: async () => ({ sent: 1, refused: 0, againInMs: 5000 }) }
    const replication = createReplication({ targets: [target], queue, clock, log: noLog, telemetry: noTelemetry, pace })
    replication.start()
    const done = queue.next()
    await replication.request([study])
    await done
    expect(queue.events).toEqual(['postpone target 5000'])
    await replication.stop()
  })

  it('starts no study at a target that takes updates only of what it holds', async () => {
    const { study, home, target, queue, replication } = setup('holders')
    const kept = madeInstance()
    const beside = madeInstance({ study: kept.study })
    home.add(kept).add(beside)
    target.add(kept)
    replication.start()
    for (const wanted of [study, kept.study as Uid]) {
      const done = queue.next()
      await replication.request([wanted])
      await done
    }
    expect([...target.held.keys()]).toEqual([kept.instance, beside.instance])
    await replication.stop()
  })

  it('tells what each cluster was found to hold', async () => {
    const { study, queue, found, replication } = setup()
    replication.start()
    const done = queue.next()
    await replication.request([study])
    await done
    expect(found).toEqual([[study, { home: 1, target: 1 }]])
    await replication.stop()
  })

  it('puts a job off when its target is unreachable', async () => {
    const { study, target, queue, replication } = setup()
    target.faults.down = 'unreachable'
    replication.start()
    const done = queue.next()
    await replication.request([study])
    await done
    expect(queue.events).toEqual(['fail target'])
    await replication.stop()
  })

  it('says when a job is given up, and tells the target', async () => {
    for (const outcome of ['waiting', 'dead'] as const) {
      const { study, target, queue, logged, givenUp, replication } = setup()
      target.faults.down = 'unreachable'
      queue.failed = outcome
      replication.start()
      const done = queue.next()
      await replication.request([study])
      await done
      await replication.stop()
      expect(logged.some((line) => line.startsWith('error replication given up'))).toBe(outcome === 'dead')
      expect(givenUp).toEqual(outcome === 'dead' ? ['cluster target: unreachable'] : [])
    }
  })

  it('waits twice as long after each failure, up to a limit, and no two jobs the same time', async () => {
    const random = vi.spyOn(Math, 'random')
    const { study, target, queue, replication } = setup()
    target.faults.down = 'unreachable'
    replication.start()
    for (const [attempts, share] of [0, 1, 2, 3, 10, 1000].flatMap((it) => [[it, 0] as const, [it, 1] as const])) {
      random.mockReturnValue(share)
      queue.waiting.push({ study, cluster: 'target', attempts })
      const done = queue.next()
      await replication.request([])
      await done
    }
    await replication.stop()
    random.mockRestore()
    const waits = queue.failures.map(({ retryInMs }) => retryInMs)
    expect(waits).toEqual([1000, 2000, 2000, 4000, 4000, 8000, 8000, 16_000, 30_000, 60_000, 30_000, 60_000])
  })

  it('keeps texts that may tell hosts for the log', async () => {
    const { study, target, queue, logged, replication } = setup()
    target.search = async () => {
      throw new Error('connect ECONNREFUSED 10.1.2.3:104')
    }
    replication.start()
    const done = queue.next()
    await replication.request([study])
    await done
    await replication.stop()
    expect(queue.failures[0]?.error).toContain('an unexpected error')
    expect(logged.join()).toContain('10.1.2.3')
  })

  it('remembers what a target refuses for good and does not send it again', async () => {
    const { study, instance, target, queue, refused, replication } = setup()
    target.faults.refuses = 0x0122
    replication.start()
    const done = queue.next()
    await replication.request([study])
    await done
    expect(Object.fromEntries(refused)).toEqual({ [instance]: 0x0122 })
    delete target.faults.refuses
    const again = queue.next()
    await replication.request([study])
    await again
    expect(target.held.size).toBe(0)
    refused.clear()
    const retried = queue.next()
    await replication.request([study])
    await retried
    expect([...target.held.keys()]).toEqual([instance])
    expect(queue.events).toEqual(['complete target', 'complete target', 'complete target'])
    await replication.stop()
  })

  it('finds jobs that others put into the queue', async () => {
    const { study, queue, clock, replication } = setup()
    replication.start()
    await turn()
    const done = queue.next()
    await queue.request(study, ['target'])
    await clock.advance(pace.pollMs)
    await done
    expect(queue.events).toEqual(['complete target'])
    await replication.stop()
  })

  it('looks at the queue at once when it is told that others put jobs there', async () => {
    const { study, queue, replication } = setup()
    replication.start()
    await turn()
    const done = queue.next()
    await queue.request(study, ['target'])
    replication.wake()
    await done
    expect(queue.events).toEqual(['complete target'])
    await replication.stop()
  })

  it('stops working when the lease cannot be renewed because the database hangs', async () => {
    const { study, target, queue, clock, replication } = setup()
    const asked = hangUntilAborted(target)
    replication.start()
    await replication.request([study])
    await asked
    queue.databaseHangs = true
    const done = queue.next()
    await clock.advance(pace.renewMs)
    await clock.advance(pace.renewTimeoutMs)
    await done
    expect(queue.events).toEqual(['release target'])
    await replication.stop()
  })

  it('gives a target no more jobs at once than its share', async () => {
    const { study, target, queue, replication } = setup()
    const asked = hangUntilAborted(target)
    replication.start()
    await queue.request(study, ['target', 'target', 'target'])
    await replication.request([study])
    await asked
    await turn()
    expect(queue.waiting).toHaveLength(3)
    await replication.stop()
  })

  it('gives running jobs back when it stops, and when it loses the lease', async () => {
    for (const end of ['stop', 'lose'] as const) {
      const { study, target, queue, clock, replication } = setup()
      const asked = hangUntilAborted(target)
      replication.start()
      await replication.request([study])
      await asked
      queue.leaseHolds = false
      const done = queue.next()
      if (end === 'stop') await replication.stop()
      else await clock.advance(pace.renewMs)
      await done
      expect(queue.events).toEqual(['release target'])
      await replication.stop()
    }
  })
})

/** Makes the cluster's searches hang until they are cancelled; resolves when the first one is under way. */
function hangUntilAborted(cluster: MemoryCluster): Promise<void> {
  return new Promise((resolve) => {
    cluster.search = (_request, signal?: AbortSignal) =>
      new Promise((_, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason))
        resolve()
      })
  })
}

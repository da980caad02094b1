import type { Clock } from '../core/clock.ts'
import type { Cluster, InstanceUpload } from './cluster.ts'

/** Lets bytes pass no faster than so many in a second, for all together who use it. */
export class BytePace {
  readonly #clock: Clock
  readonly #bytesPerSecond: number
  /** When the bytes that have passed are paid for. */
  #paidAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
  }

  /** The body, each chunk of it after the time that those before it take. */
  async *of(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of body) {
      const now = this.#clock.now()
      const waitMs = this.#paidAt - now
      this.#paidAt = Math.max(now, this.#paidAt) + (chunk.byteLength / this.#bytesPerSecond) * 1000
      if (waitMs > 0) await this.#clock.sleep(waitMs, signal)
      yield chunk
    }
  }
}

/** A cluster into which is stored at a pace; `undefined`: as fast as it takes it. */
export function storingAt(pace: BytePace | undefined, cluster: Cluster): Cluster {
  if (!pace) return cluster
  async function* paced(uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal): AsyncGenerator<InstanceUpload> {
    for await (const { header, body } of uploads) yield { header, body: (pace as BytePace).of(body, signal) }
  }
  return {
    id: cluster.id,
    role: cluster.role,
    priority: cluster.priority,
    timeoutMs: cluster.timeoutMs,
    search: (request, signal) => cluster.search(request, signal),
    metadata: (target, signal, patience) => cluster.metadata(target, signal, patience),
    retrieve: (request, signal) => cluster.retrieve(request, signal),
    store: (uploads, signal) => cluster.store(paced(uploads, signal), signal),
    probe: (signal) => cluster.probe(signal),
    close: () => cluster.close(),
  }
}

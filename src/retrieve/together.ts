import type { Cluster } from '../clusters/cluster.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Fetch, Progress, Source } from './union.ts'

/**
 * A source that its reader has waited for so long, and for this share of the time, is what holds an answer up. The first
 * item does not count: archives take their time before they begin.
 */
const longMs = 200
const longShare = 0.8

/** Fewer instances are there before others could be of help. */
const fewestInstances = 8

/** Requests to one source at the same time: one is answered while the next is on its way. */
const perSource = 2

/** Tries of a source before it is given up. */
const maxFailures = 3

/** Tells whether a source or the client is the slower one. */
export class Wait {
  /** Set when {@link over} has left its items because of it. */
  isLong = false
  readonly #now: () => number

  /** `now`: milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Passes items on until the source has been waited for too long, if others can help. */
  async *over<T>(items: AsyncIterable<T>, canHelp: () => boolean): AsyncGenerator<T> {
    let begun: number | undefined
    let waited = 0
    let asked = 0
    let worthAsking = longMs
    for await (const item of items) {
      if (begun === undefined) begun = this.#now()
      else waited += this.#now() - asked
      yield item
      asked = this.#now()
      if (waited < worthAsking || waited < (asked - begun) * longShare) continue
      this.isLong = canHelp()
      if (this.isLong) return
      // It looks through all that is missing: not for every item.
      worthAsking = waited * 2
    }
  }
}

/** Whether other sources hold enough of what is missing to be worth asking at the same time. */
export function canHelp(cluster: Cluster, sources: readonly Source[], { missing }: Progress): boolean {
  if (missing.size < fewestInstances) return false
  return sources.some((source) => {
    if (source.cluster === cluster || !source.inventory) return false
    const held = source.inventory
    return [...missing.keys()].filter((instance) => held.has(instance)).length * 2 >= missing.size
  })
}

/**
 * What is missing from all sources at the same time, instance by instance, each from whoever is free first. Ends when
 * nobody has more to give; why a source was given up is noted in `failures`.
 */
export async function* relayTogether<T>(
  study: Uid,
  sources: readonly Source[],
  progress: Progress,
  { fetch, failures }: { readonly fetch: Fetch<T>; readonly failures: Map<Cluster, ClusterError> },
): AsyncGenerator<T> {
  const taken = new Set<Uid>()
  const pullers = sources.flatMap(({ cluster, inventory = new Map() }) => {
    const queue = inventory.entries()
    let left = maxFailures
    return Array.from({ length: perSource }, async function* (): AsyncGenerator<T> {
      // Shared by the pullers of a source: a `for` would end it for all.
      for (let next = queue.next(); !next.done; next = queue.next()) {
        const [instance, series] = next.value
        if (left === 0) return
        if (!progress.missing.has(instance) || taken.has(instance)) continue
        taken.add(instance)
        try {
          yield* progress.takeMissing(fetch(cluster, { study, series, instance }, {}))
        } catch (thrown) {
          if (!(thrown instanceof ClusterError)) throw thrown
          failures.set(cluster, thrown)
          left--
        } finally {
          taken.delete(instance)
        }
      }
    })
  })
  yield* merged(pullers)
}

/** Items of several sources as they come; of each the next is asked for when the last one has been used. */
async function* merged<T>(sources: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const advance = async (source: AsyncGenerator<T>) => ({ source, step: await source.next() })
  const next = new Map(sources.map((source) => [source, advance(source)]))
  try {
    while (next.size > 0) {
      const { source, step } = await Promise.race(next.values())
      next.delete(source)
      if (step.done) continue
      yield step.value
      next.set(source, advance(source))
    }
  } finally {
    for (const pending of next.values()) pending.catch(() => undefined)
    for (const source of sources) source.return(undefined).catch(() => undefined)
  }
}

import type { Cluster, Target } from '../clusters/cluster.ts'
import type { Inventory } from '../clusters/inventory.ts'
import { LinkError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import { type AttemptsOptions, pausesMs } from './attempts.ts'
import { describe } from './failure.ts'
import { countOf } from './inventories.ts'
import type { Holder } from './locate.ts'
import { contradiction, type Fetch, relayUnion, takeNew, type Union } from './union.ts'

export interface SoleOptions extends AttemptsOptions {
  /** What the holder lists. */
  readonly list: () => Promise<Inventory>
  /** Who holds what by now, with inventories. */
  readonly planAgain: () => Promise<Union>
}

/**
 * All that the only holder of something sends. It has said how many instances there are: only when fewer come is it
 * asked again who holds what, and what is missing taken from there.
 */
export async function* relaySole<T>(
  target: Target,
  holder: Holder,
  fetch: Fetch<T>,
  { list, planAgain, ...options }: SoleOptions,
): AsyncGenerator<T> {
  const { cluster } = holder
  const count = countOf(holder, target) ?? Number.POSITIVE_INFINITY
  const given = new Set<Uid>()
  const failures = new Map<Cluster, ClusterError>()
  try {
    yield* takeNew(given, fetch(cluster, target, { patient: true }))
    if (given.size >= count || (await isAll(given, list))) return
    failures.set(cluster, contradiction(cluster))
  } catch (thrown) {
    if (!(thrown instanceof ClusterError)) throw thrown
    failures.set(cluster, thrown)
  }
  const union = await planLater(planAgain, given.size > 0, options)
  yield* relayUnion(target, union, fetch, { begun: { given, failures }, ...options })
  // Who holds a part cannot say that there is no more.
  if (given.size < count && !union.sources.some((source) => source.cluster === cluster && source.inventory)) {
    throw new LinkError('bad-gateway', `not all instances of ${describe(target)} can be had`)
  }
}

/** Whether just what was given is listed: then what is counted otherwise is not there any more, or never was. */
async function isAll(given: ReadonlySet<Uid>, list: () => Promise<Inventory>): Promise<boolean> {
  const listed = new Set((await list()).keys())
  return listed.size === given.size && listed.isSubsetOf(given)
}

/** When nobody lists anything, and part of an answer is out already, it is asked again after a while. */
async function planLater(
  planAgain: () => Promise<Union>,
  mayWait: boolean,
  { clock, signal }: AttemptsOptions,
): Promise<Union> {
  for (const pauseMs of mayWait ? pausesMs : []) {
    const union = await planAgain()
    if (union.sources.some(({ inventory }) => inventory)) return union
    await clock.sleep(pauseMs, signal)
  }
  return planAgain()
}

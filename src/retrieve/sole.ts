import type { Cluster, Target } from '../clusters/cluster.ts'
import type { Inventory } from '../clusters/inventory.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import { type AttemptsOptions, pausesMs } from './attempts.ts'
import { countOf, type Inventories } from './inventories.ts'
import type { Holder } from './locate.ts'
import { contradiction, type Fetch, relayUnion, takeNew } from './union.ts'

/**
 * All that the only holder of something sends. It has said how many instances there are: only when fewer come is its
 * inventory taken, and what is missing asked for one by one.
 */
export async function* relaySole<T>(
  target: Target,
  holder: Holder,
  fetch: Fetch<T>,
  { inventories, ...options }: AttemptsOptions & { readonly inventories: Inventories },
): AsyncGenerator<T> {
  const { cluster } = holder
  const given = new Set<Uid>()
  const failures = new Map<Cluster, ClusterError>()
  try {
    yield* takeNew(given, fetch(cluster, target, { patient: true }))
    if (given.size >= (countOf(holder, target) ?? Number.POSITIVE_INFINITY)) return
    failures.set(cluster, contradiction(cluster))
  } catch (thrown) {
    if (!(thrown instanceof ClusterError)) throw thrown
    failures.set(cluster, thrown)
  }
  const inventory = await inventoryOf(holder, target, { inventories, isWaitedFor: given.size > 0, ...options })
  const union = { sources: inventory ? [{ cluster, inventory }] : [], silent: [] }
  yield* relayUnion(target, union, fetch, { begun: { given, failures }, ...options })
}

/** `undefined` when it is not to be had, also after a while when it is waited for. */
async function inventoryOf(
  holder: Holder,
  target: Target,
  options: AttemptsOptions & { readonly inventories: Inventories; readonly isWaitedFor: boolean },
): Promise<Inventory | undefined> {
  const { clock, signal } = options
  for (const pauseMs of [...(options.isWaitedFor ? pausesMs : []), 0]) {
    try {
      return await options.inventories.of(holder, target, signal)
    } catch (thrown) {
      if (!(thrown instanceof ClusterError)) throw thrown
      if (pauseMs > 0) await clock.sleep(pauseMs, signal)
    }
  }
  return undefined
}

import { LRUCache } from 'lru-cache'
import type { Target } from '../clusters/cluster.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import type { Holder } from './locate.ts'

/** Bounded in UIDs, about 150 bytes each; and in time, since one instance may take the place of another. */
const remembered = { sizeCalculation: ({ size }: Inventory) => size + 1, maxSize: 400_000, ttl: 30_000 }

/** What holders list below a target, kept for a moment while they say that its size is the same. */
export class Inventories {
  readonly #known = new LRUCache<string, Inventory>(remembered)

  /** Throws `ClusterError` as {@link takeInventory} does. */
  async of(holder: Holder, target: Target, signal: AbortSignal): Promise<Inventory> {
    const count = countOf(holder, target)
    const key = [holder.cluster.id, target.study, target.series, target.instance, count].join('|')
    const known = count === undefined ? undefined : this.#known.get(key)
    if (known) return known
    const inventory = await takeInventory(holder.cluster, target, signal)
    if (count !== undefined) this.#known.set(key, inventory)
    return inventory
  }
}

/** Instances a holder says it has below a study or series; `undefined` when it does not say. An instance is one. */
export function countOf({ series }: Holder, target: Target): number | undefined {
  if (target.instance !== undefined) return 1
  let total = 0
  for (const [uid, { instances }] of series) {
    if (target.series !== undefined && uid !== target.series) continue
    if (instances === undefined) return undefined
    total += instances
  }
  return total
}

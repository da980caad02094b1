import { LRUCache } from 'lru-cache'
import type { Target } from '../clusters/cluster.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import type { Holder } from './locate.ts'

type Listed = ReadonlyMap<string, Inventory>

/** Bounded in UIDs, about 150 bytes each; and in time, as long as it is believed who holds what. */
const remembered = {
  sizeCalculation: (listed: Listed) => listed.values().reduce((total, { size }) => total + size + 1, 0),
  maxSize: 400_000,
  ttl: 10_000,
}

/** What holders list below a target, kept for a moment; not longer than the holders themselves, which are found anew. */
export class Inventories {
  /** By holder, the inventory of the study, and of series and instances of it. */
  readonly #known = new LRUCache<Holder, Listed>(remembered)

  /** Throws `ClusterError` as {@link takeInventory} does. */
  async of(holder: Holder, target: Target, signal: AbortSignal): Promise<Inventory> {
    const below = [target.series, target.instance].join('/')
    const known = this.#known.get(holder)?.get(below)
    if (known) return known
    const inventory = await takeInventory(holder.cluster, target, signal)
    this.#known.set(holder, new Map([...(this.#known.get(holder) ?? []), [below, inventory]]))
    return inventory
  }
}

/** Instances a holder says it has of a target; `undefined` when it does not say. */
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

import type { Cluster } from '../clusters/cluster.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import type { Log } from '../core/telemetry.ts'
import type { Uid } from '../dicom/uid.ts'

export interface DeliveredDependencies {
  readonly home: Cluster
  /** Instances that home does not take, since it has others under their UIDs, among other reasons. */
  readonly refusedOf: (study: Uid) => Promise<ReadonlySet<Uid>>
  /** Removes the study from the spool if all the spool has of it is in the inventory; false when it stays. */
  readonly remove: (study: Uid, atHome: Inventory) => Promise<boolean>
  /** Told that the spool does not have the study any more. Must not throw. */
  readonly removed: (study: Uid) => void
  readonly log: Log
}

/**
 * After home was converged: the study leaves the spool when home itself lists all that the spool has of it. What home
 * refused for good stays, and so does what was stored meanwhile, whose own job follows. Throws `ClusterError` when home
 * does not list it.
 */
export async function delivered(
  { home, refusedOf, remove, removed, log }: DeliveredDependencies,
  study: Uid,
  signal: AbortSignal,
): Promise<void> {
  const listed = await takeInventory(home, { study }, signal)
  const refused = await refusedOf(study)
  const atHome = new Map([...listed].filter(([instance]) => !refused.has(instance)))
  if (!(await remove(study, atHome))) {
    log.warn({ study, cluster: home.id }, 'spool-kept')
    return
  }
  removed(study)
  log.info({ study, cluster: home.id }, 'spool-delivered')
}

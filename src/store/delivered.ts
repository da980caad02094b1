import type { Cluster } from '../clusters/cluster.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import type { Log } from '../core/telemetry.ts'
import type { Uid } from '../dicom/uid.ts'

export interface DeliveredDependencies {
  readonly home: Cluster
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
  { home, remove, removed, log }: DeliveredDependencies,
  study: Uid,
  signal: AbortSignal,
): Promise<void> {
  const atHome = await takeInventory(home, { study }, signal)
  if (!(await remove(study, atHome))) {
    log.warn({ study, cluster: home.id }, 'spool-kept')
    return
  }
  removed(study)
  log.info({ study, cluster: home.id }, 'spool-delivered')
}

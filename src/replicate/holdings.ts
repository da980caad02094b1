import type { Cluster } from '../clusters/cluster.ts'
import { type ListedInstance, listInstances } from '../clusters/inventory.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'

/** What a cluster holds of a study, by SOP Instance UID. */
export type Holdings = ReadonlyMap<Uid, ListedInstance>

export const byInstance = (listed: readonly ListedInstance[]): Holdings =>
  new Map(listed.map((it) => [it.instance, it]))

/** Throws `ClusterError` when the cluster does not list all it holds. */
export const holdingsOf = async (cluster: Cluster, study: Uid, signal: AbortSignal): Promise<Holdings> =>
  byInstance(await listInstances(cluster, { study }, signal))

/** What others hold of a study and one who is to hold all of it does not; each instance once. */
export function whatLacks(held: Holdings, others: readonly Holdings[], travels: Travels): ListedInstance[] {
  const lacking = new Map<Uid, ListedInstance>()
  for (const listed of others.flatMap((holdings) => [...holdings.values()])) {
    if (held.has(listed.instance)) continue
    // Whoever names the class of an instance is believed before those who do not.
    if (lacking.get(listed.instance)?.sopClass === undefined) lacking.set(listed.instance, listed)
  }
  return [...lacking.values()].filter(({ sopClass }) => travels(sopClass))
}

import { ClusterError } from '../core/outcome.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { Cluster, Target } from './cluster.ts'
import { isBelow, uidsIn } from './target.ts'

/** SOP Instance UID → Series Instance UID of what a cluster holds of a study or series. */
export type Inventory = ReadonlyMap<Uid, Uid>

/** Instances one inventory may list; a study with more is refused rather than half known. */
const maxInstances = 200_000

/**
 * Everything a cluster holds below a target, by UID. Throws `ClusterError`: an inventory that is cut short would make
 * what it leaves out look absent, and so would one with rows that say nothing.
 */
export async function takeInventory(cluster: Cluster, target: Target, signal: AbortSignal): Promise<Inventory> {
  const { rows, truncated } = await cluster.search(
    {
      level: 'instance',
      study: target.study,
      ...(target.series && { series: target.series }),
      constraints: target.instance ? [{ path: [tag.SOPInstanceUID], value: target.instance }] : [],
      includeFields: [tag.SeriesInstanceUID],
      limit: maxInstances,
    },
    signal,
  )
  if (truncated) throw new ClusterError(cluster.id, 'too-large', `does not list all instances of study ${target.study}`)
  const inventory = new Map<Uid, Uid>()
  for (const row of rows) {
    const said = uidsIn(row)
    if (!isBelow(target, said)) continue
    const { instance, series = target.series } = said
    if (!isUid(instance) || !isUid(series)) {
      throw new ClusterError(cluster.id, 'malformed', `lists instances of study ${target.study} without their UIDs`)
    }
    inventory.set(instance, series)
  }
  return inventory
}

import { ClusterError } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { Cluster, Target } from './cluster.ts'
import { isBelow, type SaidUids, uidsIn } from './target.ts'

/** SOP Instance UID → Series Instance UID of what a cluster holds of a study or series. */
export type Inventory = ReadonlyMap<Uid, Uid>

/** Instances one inventory may list; a study with more is refused rather than half known. */
const maxInstances = 200_000

/** One instance as a cluster lists it. */
export interface ListedInstance extends Required<Target> {
  /** Absent where the cluster does not say. */
  readonly sopClass: string | undefined
}

/**
 * Everything a cluster holds below a target, by UID. Throws `ClusterError`: an inventory that is cut short would make
 * what it leaves out look absent, and so would one with rows that say nothing.
 */
export async function takeInventory(cluster: Cluster, target: Target, signal: AbortSignal): Promise<Inventory> {
  const listed = await listInstances(cluster, target, signal)
  return new Map(listed.map(({ instance, series }) => [instance, series]))
}

/** The same with what else the rows say. */
export async function listInstances(cluster: Cluster, target: Target, signal: AbortSignal): Promise<ListedInstance[]> {
  const { rows, truncated } = await cluster.search(
    {
      level: 'instance',
      study: target.study,
      ...(target.series && { series: target.series }),
      constraints: target.instance ? [{ path: [tag.SOPInstanceUID], value: target.instance }] : [],
      includeFields: listedFields,
      limit: maxInstances,
    },
    signal,
  )
  if (truncated) throw new ClusterError(cluster.id, 'too-large', `does not list all instances of study ${target.study}`)
  return rows.flatMap((row) => {
    const said = uidsIn(row)
    if (!isBelow(target, said)) return []
    const { study = target.study, series = target.series, instance } = said
    return [asListed(cluster, row, { study, series, instance })]
  })
}

/** Everything a cluster holds of several studies, in one question. Throws `ClusterError` as {@link takeInventory}. */
export async function listInstancesOf(
  cluster: Cluster,
  studies: readonly Uid[],
  signal: AbortSignal,
): Promise<ListedInstance[]> {
  const constraints = [{ path: [tag.StudyInstanceUID], value: studies.join(',') }]
  const includeFields = [tag.StudyInstanceUID, ...listedFields]
  const { rows, truncated } = await cluster.search(
    { level: 'instance', constraints, includeFields, limit: maxInstances },
    signal,
  )
  if (truncated) throw new ClusterError(cluster.id, 'too-large', 'does not list all instances of several studies')
  return rows.map((row) => asListed(cluster, row, uidsIn(row)))
}

const listedFields = [tag.SeriesInstanceUID, tag.SOPClassUID]

function asListed(cluster: Cluster, row: Dataset, { study, series, instance }: SaidUids): ListedInstance {
  if (!isUid(study) || !isUid(series) || !isUid(instance)) {
    throw new ClusterError(cluster.id, 'malformed', 'lists instances without their UIDs')
  }
  return { study, series, instance, sopClass: firstString(row, tag.SOPClassUID) }
}

import type { Cluster, Target } from '../clusters/cluster.ts'
import { ClusterError } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid } from '../dicom/uid.ts'
import { type ProxyAddress, pointToProxy } from './bulkdata.ts'
import { isBelow } from './relay.ts'
import type { Item } from './union.ts'

/** Metadata of what lies below a target, with the addresses of the proxy in it. */
export async function* fetchMetadata(
  datasets: AsyncIterable<Dataset>,
  cluster: Cluster,
  target: Target,
  proxy: ProxyAddress,
): AsyncGenerator<Item<Dataset>> {
  for await (const dataset of datasets) {
    const instance = firstString(dataset, tag.SOPInstanceUID)
    if (!isUid(instance)) throw new ClusterError(cluster.id, 'malformed', 'sent metadata without a SOP Instance UID')
    const [study, series] = [tag.StudyInstanceUID, tag.SeriesInstanceUID].map((it) => firstString(dataset, it))
    if (!isBelow(target, study, series, instance)) continue
    yield { instance, value: pointToProxy(dataset, cluster.id, proxy) }
  }
}

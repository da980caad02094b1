import type { Cluster, Target } from '../clusters/cluster.ts'
import { isBelow, uidsIn } from '../clusters/target.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Dataset } from '../dicom/dataset.ts'
import { isUid } from '../dicom/uid.ts'
import { type ProxyAddress, pointToProxy } from './bulkdata.ts'
import type { Item } from './union.ts'

/** Metadata of what lies below a target, with the addresses of the proxy in it. */
export async function* fetchMetadata(
  datasets: AsyncIterable<Dataset>,
  cluster: Cluster,
  target: Target,
  proxy: ProxyAddress,
): AsyncGenerator<Item<Dataset>> {
  for await (const dataset of datasets) {
    const said = uidsIn(dataset)
    const { instance } = said
    if (!isUid(instance)) throw new ClusterError(cluster.id, 'malformed', 'sent metadata without a SOP Instance UID')
    if (!isBelow(target, said)) continue
    yield { instance, value: pointToProxy(dataset, cluster.id, proxy) }
  }
}

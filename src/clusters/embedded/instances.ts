import { ClusterError } from '../../core/outcome.ts'
import { type InstanceRow, type InstanceSelection, instancesPage } from '../../db/embedded-search.ts'
import type { Attribute, Dataset } from '../../dicom/dataset.ts'
import type { Target } from '../cluster.ts'
import type { Index } from './search.ts'

export const selectionOf = ({ study, series, instance }: Target): InstanceSelection => ({
  study,
  series,
  instances: instance && [instance],
})

/** Rows at a time: few where each carries its whole metadata. */
const pageSize = { plain: 200, metadata: 16 }

/** The instances below a target by series, number and UID, read page by page as they are asked for. */
export async function* instancesOf(
  { db, cluster }: Index,
  target: Target,
  options: { metadata: boolean; signal: AbortSignal },
): AsyncGenerator<InstanceRow, void, undefined> {
  const size = options.metadata ? pageSize.metadata : pageSize.plain
  for (let after: InstanceRow | undefined; ; ) {
    options.signal.throwIfAborted()
    const page = await instancesPage(db, cluster, selectionOf(target), { after, size, metadata: options.metadata })
    yield* page
    if (page.length < size) return
    after = page.at(-1)
  }
}

/** The metadata of the instances below a target; throws `not-found` when there are none. */
export async function* metadataOf(
  index: Index,
  target: Target,
  signal: AbortSignal,
): AsyncGenerator<Dataset, void, undefined> {
  let found = false
  for await (const row of instancesOf(index, target, { metadata: true, signal })) {
    found = true
    yield withPaths(row.metadata ?? {}, instancePath(row))
  }
  if (!found) throw notHere(index.cluster, target)
}

export const notHere = (cluster: string, { study }: Target): ClusterError =>
  new ClusterError(cluster, 'not-found', `does not hold this of study ${study}`)

const instancePath = (row: InstanceRow): string =>
  `studies/${row.studyInstanceUID}/series/${row.seriesInstanceUID}/instances/${row.sopInstanceUID}`

/** Bulk data is kept relative to its instance and given relative to the root. */
function withPaths(dataset: Dataset, base: string): Dataset {
  return Object.fromEntries(Object.entries(dataset).map(([key, attribute]) => [key, withPath(attribute, base)]))
}

function withPath(attribute: Attribute, base: string): Attribute {
  if (attribute.BulkDataURI !== undefined) return { ...attribute, BulkDataURI: `${base}/${attribute.BulkDataURI}` }
  if (attribute.vr !== 'SQ' || attribute.Value === undefined) return attribute
  return { ...attribute, Value: attribute.Value.map((item) => withPaths(item as Dataset, base)) }
}

import { createHash } from 'node:crypto'
import type { Cluster, Target } from '../clusters/cluster.ts'
import { badRequest } from '../core/errors.ts'
import { type Attribute, type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'

/**
 * A BulkDataURI of the proxy ends in a token that leads back to the cluster that made the original: a name of the
 * cluster that says nothing of it, and the path the cluster gave, relative to the instance where it lies below it.
 */
const nameOf = (cluster: string): string => createHash('sha256').update(cluster).digest('base64url').slice(0, 8)

/** Rewrites every BulkDataURI of one instance's metadata, in sequences too, to point to the proxy. */
export function pointToProxy(dataset: Dataset, cluster: string, base: string): Dataset {
  const instance = instancePath(dataset)
  const toUrl = (path: string) => {
    const kept = path.startsWith(`${instance}/`) ? path.slice(instance.length + 1) : `/${path}`
    return `${base}/${instance}/bulkdata/${Buffer.from(`${nameOf(cluster)}${kept}`).toString('base64url')}`
  }
  return rewrite(dataset, toUrl)
}

function instancePath(dataset: Dataset): string {
  const [study, series, instance] = [tag.StudyInstanceUID, tag.SeriesInstanceUID, tag.SOPInstanceUID].map((key) =>
    firstString(dataset, key),
  )
  return `studies/${study}/series/${series}/instances/${instance}`
}

function rewrite(dataset: Dataset, toUrl: (path: string) => string): Dataset {
  const entries = Object.entries(dataset).map(([key, attribute]) => [key, rewriteAttribute(attribute, toUrl)] as const)
  return Object.fromEntries(entries)
}

function rewriteAttribute(attribute: Attribute, toUrl: (path: string) => string): Attribute {
  if (attribute.BulkDataURI !== undefined) return { ...attribute, BulkDataURI: toUrl(attribute.BulkDataURI) }
  if (attribute.vr !== 'SQ' || !attribute.Value) return attribute
  return { ...attribute, Value: attribute.Value.map((item) => rewrite((item ?? {}) as Dataset, toUrl)) }
}

/** Whether a path can be put behind a cluster's root without leading out of its studies. */
function staysBelowStudies(path: string): boolean {
  const [segments = '', query = ''] = path.split('?', 2)
  const [root, ...below] = segments.split('/')
  const plain = below.every((segment) => /^[\w.~:@!$&'()*+,;=-]+$/.test(segment) && !/^\.+$/.test(segment))
  return root === 'studies' && below.length > 0 && plain && /^[\w.~:@!$&'()*+,;=/-]*$/.test(query)
}

/** Where a token leads. Throws `bad-request` when the proxy cannot have written it. */
export function followToken(
  token: string,
  target: Required<Target>,
  clusters: readonly Cluster[],
): { cluster: Cluster; path: string } {
  const text = Buffer.from(token, 'base64url').toString('latin1')
  const cluster = clusters.find(({ id }) => nameOf(id) === text.slice(0, 8))
  const kept = text.slice(8)
  const below = `studies/${target.study}/series/${target.series}/instances/${target.instance}/`
  const path = kept.startsWith('/') ? kept.slice(1) : `${below}${kept}`
  if (!cluster || token.length > 2048 || !staysBelowStudies(path)) {
    throw badRequest('bulkdata: the address is none that metadata of this service contains')
  }
  return { cluster, path }
}

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Cluster, Target } from '../clusters/cluster.ts'
import { badRequest } from '../core/errors.ts'
import { type Dataset, firstString, mapAttributes } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'

/*
 * A BulkDataURI of the proxy ends in a token that leads back to the cluster that made the original:
 *
 *   name (8 characters) · seal (22 characters) · path
 *
 * in base64url. The name is a digest of the cluster's id; the path is the cluster's own, without the part that leads
 * to the instance where it begins with that; the seal binds both to the instance, so that nobody makes up a token and
 * reads with it what metadata never pointed to.
 */

const nameLength = 8
const sealLength = 22

const nameOf = (cluster: string): string =>
  createHash('sha256').update(cluster).digest('base64url').slice(0, nameLength)

function sealOf(key: Buffer, cluster: string, instance: string, path: string): string {
  const mac = createHmac('sha256', key).update([cluster, instance, path].join('\n'))
  return mac.digest('base64url').slice(0, sealLength)
}

export interface ProxyAddress {
  /** Absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  readonly base: string
  /** Seals tokens; the same for all proxies that answer at this address. */
  readonly key: Buffer
}

/**
 * Rewrites every BulkDataURI of one instance's metadata, in sequences too, to point to the proxy, and leaves out what
 * else tells of the cluster.
 */
export function pointToProxy(dataset: Dataset, cluster: string, { base, key }: ProxyAddress): Dataset {
  const [study, series, sop] = [tag.StudyInstanceUID, tag.SeriesInstanceUID, tag.SOPInstanceUID].map((it) =>
    firstString(dataset, it),
  )
  const instance = `studies/${study}/series/${series}/instances/${sop}`
  const toUrl = (path: string) => {
    const kept = path.startsWith(`${instance}/`) ? path.slice(instance.length + 1) : `/${path}`
    const token = `${nameOf(cluster)}${sealOf(key, cluster, instance, path)}${kept}`
    return `${base}/${instance}/bulkdata/${Buffer.from(token).toString('base64url')}`
  }
  return mapAttributes(dataset, (it, attribute) => {
    if (tellsOfTheCluster.has(it)) return undefined
    return attribute.BulkDataURI === undefined ? attribute : { ...attribute, BulkDataURI: toUrl(attribute.BulkDataURI) }
  })
}

/** What an archive writes of its own addresses. */
const tellsOfTheCluster: ReadonlySet<string> = new Set([tag.RetrieveURL, tag.RetrieveAETitle])

/** Longer than any path an archive writes. */
const maxTokenLength = 4096

/** Where a token leads. Throws `bad-request` when the proxy has not written it for this instance. */
export function followToken(
  token: string,
  target: Required<Target>,
  { clusters, key }: { clusters: readonly Cluster[]; key: Buffer },
): { cluster: Cluster; path: string } {
  const text = Buffer.from(token.slice(0, maxTokenLength), 'base64url').toString()
  const cluster = clusters.find(({ id }) => nameOf(id) === text.slice(0, nameLength))
  const kept = text.slice(nameLength + sealLength)
  const instance = `studies/${target.study}/series/${target.series}/instances/${target.instance}`
  const path = kept.startsWith('/') ? kept.slice(1) : `${instance}/${kept}`
  const seal = Buffer.from(text.slice(nameLength, nameLength + sealLength))
  const expected = Buffer.from(sealOf(key, cluster?.id ?? '', instance, path))
  if (!cluster || seal.length !== expected.length || !timingSafeEqual(seal, expected)) {
    throw badRequest('bulkdata: the address is none that metadata of this instance contains')
  }
  return { cluster, path }
}

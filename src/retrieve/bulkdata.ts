import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Cluster, Target } from '../clusters/cluster.ts'
import { uidsIn } from '../clusters/target.ts'
import { chained } from '../core/chained.ts'
import { badRequest } from '../core/errors.ts'
import { type Dataset, mapAttributes } from '../dicom/dataset.ts'
import type { Part } from '../dicom/multipart.ts'
import { tag } from '../dicom/tags.ts'
import { withPixelData } from './pixeldata.ts'

/*
 * A BulkDataURI of the proxy ends in a token that leads back to the cluster that made the original:
 *
 *   name (8 characters) · seal (22 characters) · element · blank · path
 *
 * in base64url. The name is a digest of the cluster's id; the element is named by tags and numbers of items, so that
 * another cluster can be asked for it; the path is the cluster's own, without the part that leads to the instance where
 * it begins with that; the seal binds all of it to the instance, so that nobody makes up a token and reads with it what
 * metadata never pointed to. Tokens of before there were elements have neither that nor the blank, which no path has.
 */

const nameLength = 8
const sealLength = 22

const nameOf = (cluster: string): string =>
  createHash('sha256').update(cluster).digest('base64url').slice(0, nameLength)

/** What a token stands for. */
export interface BulkdataPlace {
  /** Empty in a token that names none. */
  readonly element: string
  readonly path: string
}

function sealOf(key: Buffer, cluster: string, instance: string, { element, path }: BulkdataPlace): string {
  const sealed = [cluster, instance, path, ...(element === '' ? [] : [element])]
  return createHmac('sha256', key).update(sealed.join('\n')).digest('base64url').slice(0, sealLength)
}

export interface ProxyAddress {
  /** Absolute address of the DICOMweb root as the client sees it, without a trailing slash. */
  readonly base: string
  /** Seals tokens; the same for all proxies that answer at this address. */
  readonly key: Buffer
}

/**
 * Rewrites every BulkDataURI of one instance's metadata, in sequences too, to point to the proxy, leaves out what else
 * tells of the cluster, and says where the pixel data of an image is when the cluster does not.
 */
export function pointToProxy(dataset: Dataset, cluster: string, { base, key }: ProxyAddress): Dataset {
  const { study, series, instance: sop } = uidsIn(dataset)
  const instance = `studies/${study}/series/${series}/instances/${sop}`
  const toUrl = (place: BulkdataPlace) => {
    const { element, path } = place
    const kept = path.startsWith(`${instance}/`) ? path.slice(instance.length + 1) : `/${path}`
    const token = `${nameOf(cluster)}${sealOf(key, cluster, instance, place)}${element} ${kept}`
    return `${base}/${instance}/bulkdata/${Buffer.from(token).toString('base64url')}`
  }
  const rewritten = mapAttributes(dataset, (it, attribute, above) => {
    if (tellsOfTheCluster.has(it)) return undefined
    const path = attribute.BulkDataURI
    return path === undefined ? attribute : { ...attribute, BulkDataURI: toUrl({ element: `${above}${it}`, path }) }
  })
  return withPixelData(rewritten, `${base}/${instance}/pixeldata`)
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
): BulkdataPlace & { readonly cluster: Cluster } {
  const text = Buffer.from(token.slice(0, maxTokenLength), 'base64url').toString()
  const cluster = clusters.find(({ id }) => nameOf(id) === text.slice(0, nameLength))
  const instance = `studies/${target.study}/series/${target.series}/instances/${target.instance}`
  const place = placeIn(text.slice(nameLength + sealLength), instance)
  const seal = Buffer.from(text.slice(nameLength, nameLength + sealLength))
  const expected = Buffer.from(sealOf(key, cluster?.id ?? '', instance, place))
  if (!cluster || seal.length !== expected.length || !timingSafeEqual(seal, expected)) {
    throw badRequest('bulkdata: the address is none that metadata of this instance contains')
  }
  return { cluster, ...place }
}

function placeIn(text: string, instance: string): BulkdataPlace {
  const [, element = '', kept = ''] = /^(?:([\dA-F.]+) )?(.*)$/s.exec(text) ?? []
  return { element, path: kept.startsWith('/') ? kept.slice(1) : `${instance}/${kept}` }
}

/**
 * Parts of which the first says whether it is alone, where it is held in memory: who takes one must not get a piece for
 * the whole.
 */
export async function* counted(parts: AsyncIterable<Part>): AsyncGenerator<Part> {
  const rest = parts[Symbol.asyncIterator]()
  const first = await rest.next()
  if (first.done) return
  const second = first.value.held && first.value.total === undefined ? await rest.next() : undefined
  // Of more than two it is enough to know that there are several.
  const begun = second ? { ...first.value, total: second.done ? 1 : 2 } : first.value
  yield* chained(second && !second.done ? [begun, second.value] : [begun], rest)
}

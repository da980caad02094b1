import type { Limits } from '../config/schema.ts'
import type { Attribute, Dataset } from '../dicom/dataset.ts'
import { encodeValue } from '../dicom/write-value.ts'
import type { Patience, Target } from './cluster.ts'
import type { DicomwebClient } from './dicomweb-client.ts'
import { readDatasets } from './dicomweb-json.ts'

/** WADO-RS metadata with every `BulkDataURI` made relative to the cluster's root, as the contract wants it. */
export async function* metadata(
  client: DicomwebClient,
  limits: Limits,
  target: Target,
  signal: AbortSignal,
  patience: Patience = {},
): AsyncGenerator<Dataset, void, undefined> {
  const path = `${pathOf(target)}/metadata`
  const exchange = await client.request({ method: 'GET', path, accept: 'application/dicom+json', signal, ...patience })
  const rewrite = (attribute: Attribute): Attribute | undefined => {
    if (attribute.BulkDataURI === undefined) return attribute
    const relative = relativeToRoot(attribute.BulkDataURI, client.rootPath, exchange.requestPath)
    return relative === undefined ? undefined : { vr: attribute.vr, BulkDataURI: relative }
  }
  yield* readDatasets(client, exchange, { limits, signal, rewrite })
}

/** The value of an element that stands in the metadata itself; `undefined` when there is none or it is a sequence. */
export function inlineBytes(element: string, { vr, InlineBinary, Value }: Attribute): Uint8Array | undefined {
  if (typeof InlineBinary === 'string') return Buffer.from(InlineBinary, 'base64')
  if (vr === 'SQ' || Value === undefined) return undefined
  try {
    return encodeValue(element.slice(-8), vr, Value)
  } catch {
    // What its VR cannot hold is no value; the reason would speak of it as of something the client sent.
    return undefined
  }
}

/** Path of a study, series or instance below the DICOMweb root. */
export function pathOf({ study, series, instance }: Target): string {
  return `/studies/${study}${series ? `/series/${series}` : ''}${instance ? `/instances/${instance}` : ''}`
}

/**
 * Where a cluster says its bulk data is, below its root: `studies/…`; `undefined` for anywhere else. The host is not
 * looked at: archives write the name they are asked by or one only they know, and requests go to the configured one.
 */
export function relativeToRoot(uri: unknown, rootPath: string, requestPath: string): string | undefined {
  const base = `http://cluster${requestPath}`
  if (typeof uri !== 'string' || !URL.canParse(uri, base)) return undefined
  // Parsing resolves `..`, also in its encoded spellings, so that what is left says where it really points.
  const { protocol, pathname, search } = new URL(uri, base)
  if (!/^https?:$/.test(protocol) || !pathname.startsWith(`${rootPath}/`)) return undefined
  const path = `${pathname.slice(rootPath.length + 1)}${search}`
  return isBulkdataPath(path) ? path : undefined
}

/** Below `studies/`, without a step up or a slash in disguise, in characters of a request line. */
export const isBulkdataPath = (path: string): boolean =>
  /^studies\/[\x21-\x7e]+$/.test(path) && !/(^|\/)(\.|%2e){1,2}(\/|\?|$)|%2f|%5c|\\|#/i.test(path)

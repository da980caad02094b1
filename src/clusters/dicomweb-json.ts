import type { Limits } from '../config/schema.ts'
import type { Attribute, Dataset } from '../dicom/dataset.ts'
import { readJsonBatches } from '../dicom/json-array.ts'
import type { DicomwebClient, Exchange } from './dicomweb-client.ts'

/** Of the JSON of one instance: enough for an enhanced multi-frame with functional groups for thousands of frames. */
const maxItemBytes = 64 * 1024 ** 2
/** Deeper sequences than any IOD knows; an answer that nests further means no good. */
const maxDepth = 64

/** What is done to every attribute while it is checked; `undefined` leaves it out. */
export type Rewrite = (attribute: Attribute) => Attribute | undefined

/** What names the failures of an answer. */
type Source = Pick<DicomwebClient, 'error' | 'explain'>

const keep: Rewrite = (attribute) => attribute

/**
 * The datasets of an answer of QIDO-RS or of WADO-RS metadata, one by one; none for 204. Throws `ClusterError`
 * `malformed` for what is no array of datasets; attributes that are none are left out.
 */
export async function* readDatasets(
  client: Source,
  exchange: Pick<Exchange, 'status' | 'contentType' | 'discard'> & { readonly body: AsyncIterable<Uint8Array> },
  options: { readonly limits: Limits; readonly signal: AbortSignal; readonly rewrite?: Rewrite },
): AsyncGenerator<Dataset, void, undefined> {
  if (exchange.status === 204) return exchange.discard()
  requireJson(client, exchange)
  const { limits, rewrite = keep } = options
  const { maxJsonBytes } = limits
  const bounds = { maxBytes: maxJsonBytes, maxItemBytes: Math.min(maxItemBytes, maxJsonBytes) }
  try {
    for await (const items of readJsonBatches(exchange.body, bounds)) {
      for (const item of items) yield asDataset(item, rewrite, 0)
    }
  } catch (thrown) {
    throw client.explain(thrown, exchange, options.signal)
  }
}

/** Reads a whole answer that is one object, PS3.18 10.5.3; `undefined` when it is empty. */
export async function readObject(
  client: DicomwebClient,
  exchange: Exchange,
  maxBytes: number,
): Promise<Dataset | undefined> {
  requireJson(client, exchange)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of exchange.body) {
    size += chunk.length
    if (size > maxBytes) throw client.error('too-large', 'its answer exceeds a limit')
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString('utf8').trim()
  if (text === '') return undefined
  try {
    const value: unknown = JSON.parse(text)
    // Some archives wrap the one object as they do rows.
    return asDataset(Array.isArray(value) ? (value[0] ?? {}) : value, keep, 0)
  } catch {
    // Without its cause: the parser quotes the text, which may name a patient.
    throw client.error('malformed', 'its answer is no DICOM JSON', { status: exchange.status })
  }
}

/** Whether an answer may be JSON by what it says; archives leave the type out of errors. */
export const saysJson = ({ contentType }: Pick<Exchange, 'contentType'>): boolean =>
  contentType === '' || /json/i.test(contentType)

function requireJson(client: Source, exchange: Pick<Exchange, 'status' | 'contentType' | 'discard'>): void {
  if (saysJson(exchange)) return
  exchange.discard()
  throw client.error('malformed', wrongType(exchange.contentType, 'DICOM JSON'), { status: exchange.status })
}

/** A sentence about an answer of another type than was asked for. */
export function wrongType(contentType: string, wanted: string): string {
  if (/html/i.test(contentType)) return `answers an HTML page instead of ${wanted}; is the path of its address right?`
  const type = /^[\w.+-]+\/[\w.+-]+/.exec(contentType)?.[0] ?? 'something'
  return `answers ${type} instead of ${wanted}`
}

class NoDataset extends Error {
  override readonly name = 'NoDataset'
  readonly kind = 'malformed'
}

/** Checks in place: datasets are large and nobody else has a hold on them. */
function asDataset(item: unknown, rewrite: Rewrite, depth: number): Dataset {
  if (!isRecord(item)) throw new NoDataset('a dataset is no object')
  if (depth > maxDepth) throw new NoDataset('its sequences are nested too deeply')
  // Nearly all keys are tags as they should be: only the others cost a rebuild of the object.
  let others: string[] | undefined
  for (const key in item) {
    if (!isTag(key)) {
      others ??= []
      others.push(key)
      continue
    }
    const value = item[key]
    const attribute = isAttribute(value) ? rewrite(checked(value, rewrite, depth)) : undefined
    if (attribute === undefined) delete item[key]
    else if (attribute !== value) item[key] = attribute
  }
  for (const key of others ?? []) renameOrDrop(item, key, rewrite, depth)
  return item as Dataset
}

/** Tags in lower-case letters are taken for what they mean. */
function renameOrDrop(item: Record<string, unknown>, key: string, rewrite: Rewrite, depth: number): void {
  const value = item[key]
  delete item[key]
  const tag = key.toUpperCase()
  const attribute = isTag(tag) && isAttribute(value) ? rewrite(checked(value, rewrite, depth)) : undefined
  if (attribute !== undefined) item[tag] = attribute
}

function checked(attribute: Attribute, rewrite: Rewrite, depth: number): Attribute {
  if (attribute.vr === 'SQ') {
    for (const item of attribute.Value ?? []) if (item !== null) asDataset(item, rewrite, depth + 1)
  }
  return attribute
}

/** Asked for every attribute of every row, and faster so than by a regular expression. */
function isTag(text: string): boolean {
  if (text.length !== 8) return false
  for (let at = 0; at < 8; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x30 || code > 0x46 || (code > 0x39 && code < 0x41)) return false
  }
  return true
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isAttribute = (value: unknown): value is Attribute =>
  isRecord(value) && typeof value.vr === 'string' && (value.Value === undefined || Array.isArray(value.Value))

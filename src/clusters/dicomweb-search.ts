import type { Limits } from '../config/schema.ts'
import { ClusterError } from '../core/outcome.ts'
import { type Dataset, firstString, type Tag } from '../dicom/dataset.ts'
import { vrOf } from '../dicom/dictionary.ts'
import { separable } from '../dicom/match.ts'
import { linkKeys } from '../dicom/private-dictionary.ts'
import { relaxedValue } from '../dicom/relax.ts'
import { tag } from '../dicom/tags.ts'
import { isPlainDate } from '../dicom/temporal.ts'
import { isUid } from '../dicom/uid.ts'
import type { SearchAnswer, SearchConstraint, SearchRequest } from './cluster.ts'
import type { DicomwebClient, Exchange } from './dicomweb-client.ts'
import { readDatasets } from './dicomweb-json.ts'

/** Servers refuse request lines from 8 KB on; a UID takes 65 characters at most. */
const maxUidsPerRequest = 100
const maxListLength = 6000
/** A longer value is left out: what it would have excluded is excluded by whoever asked. */
const maxValueLength = 1000
const batchesAtOnce = 4
const maxPages = 100

/**
 * QIDO-RS. A list of UIDs that does not fit into an address is asked for in several requests, and when the cluster
 * says that it has more rows than it gave, the next are asked for, until the limit.
 */
export async function search(
  client: DicomwebClient,
  limits: Limits,
  request: SearchRequest,
  signal: AbortSignal,
): Promise<SearchAnswer> {
  const batches = batchesOf(separable(request.constraints))
  const answers: SearchAnswer[] = []
  let next = 0
  let found = 0
  const work = async () => {
    for (let index = next++; index < batches.length && found <= request.limit; index = next++) {
      const constraints = batches[index] ?? []
      const answer = await searchOnce(client, limits, { ...request, constraints }, signal)
      answers[index] = answer
      found += answer.rows.length
    }
  }
  await Promise.all(Array.from({ length: Math.min(batchesAtOnce, batches.length) }, work))
  const rows = answers.flatMap((answer) => answer.rows)
  return {
    rows: rows.slice(0, request.limit),
    truncated: rows.length > request.limit || answers.some((answer) => answer.truncated),
  }
}

/** One list of UIDs, the longest, is split; more constraints than fit are left out, as the contract allows. */
function batchesOf(constraints: readonly SearchConstraint[]): (readonly SearchConstraint[])[] {
  const [longest] = constraints.filter(isUidList).toSorted((a, b) => b.value.length - a.value.length)
  const others = constraints.filter((it) => it !== longest && it.value.length <= maxValueLength)
  if (!longest) return [others]
  return chunked(longest.value).map((value) => [{ path: longest.path, value }, ...others])
}

/** By its VR: patient IDs may look like UIDs. */
const isUidList = ({ path, value }: SearchConstraint): boolean =>
  vrOf(path.at(-1) ?? '') === 'UI' && value !== '' && value.split(/[,\\]/).every(isUid)

function chunked(list: string): string[] {
  const chunks: string[][] = [[]]
  let length = 0
  for (const uid of new Set(list.split(/[,\\]/))) {
    const last = chunks.at(-1)
    if (!last || last.length === maxUidsPerRequest || length + uid.length > maxListLength) {
      chunks.push([uid])
      length = uid.length
      continue
    }
    last.push(uid)
    length += uid.length + 1
  }
  return chunks.map((uids) => uids.join(','))
}

async function searchOnce(
  client: DicomwebClient,
  limits: Limits,
  request: SearchRequest,
  signal: AbortSignal,
): Promise<SearchAnswer> {
  const rows: Dataset[] = []
  const seen = new Set<string>()
  let received = 0
  for (let page = 0; page < maxPages; page++) {
    const before = received
    const exchange = await ask(client, request, received, signal)
    if (!exchange) return { rows, truncated: false }
    for await (const row of readDatasets(client, exchange, { limits, signal })) {
      if (rows.length > request.limit) break
      if (!isNew(seen, request, row)) continue
      received++
      if (isWanted(request, row)) rows.push(row)
    }
    if (rows.length > request.limit) return { rows: rows.slice(0, request.limit), truncated: true }
    if (!saysMore(exchange)) return { rows, truncated: false }
    // A cluster that does not know `offset` gives the same page again and again.
    if (received === before) break
  }
  return { rows, truncated: true }
}

/** There is no key for studies without a proper date: all are read, and those that have one are dropped as they come. */
const isWanted = ({ undated = false }: SearchRequest, row: Dataset): boolean =>
  !undated || !isPlainDate(firstString(row, tag.StudyDate))

/** Rows without the UID of their level are kept: what they are worth is for the caller to say. */
function isNew(seen: Set<string>, { level }: SearchRequest, row: Dataset): boolean {
  const uid = firstString(row, levelUid[level])
  if (uid === undefined) return true
  const known = seen.has(uid)
  seen.add(uid)
  return !known
}

const levelUid = {
  study: tag.StudyInstanceUID,
  series: tag.SeriesInstanceUID,
  instance: tag.SOPInstanceUID,
} as const satisfies Record<SearchRequest['level'], Tag>

async function ask(
  client: DicomwebClient,
  request: SearchRequest,
  offset: number,
  signal: AbortSignal,
): Promise<Exchange | undefined> {
  const path = `${resource(request)}?${queryString(request, offset)}`
  try {
    const headers = isOfOne(request) ? { 'accept-encoding': 'identity' } : {}
    return await client.request({ method: 'GET', path, accept: 'application/dicom+json', headers, signal })
  } catch (error) {
    if (!(error instanceof ClusterError) || error.reason !== 'not-found') throw error
    return notFound(client, request, error)
  }
}

/** Asked by the UID of one object: the answer is small, and to compress it is dearer than to send it. */
const isOfOne = ({ level, constraints }: SearchRequest): boolean =>
  constraints.some(({ path, value }) => path.length === 1 && path[0] === levelUid[level] && isUid(value))

/** 404 to a search is not a missing row but a missing service, unless it is asked below something that may be missing. */
function notFound(client: DicomwebClient, request: SearchRequest, cause: ClusterError): undefined {
  if (request.study) return undefined
  if (request.level !== 'study')
    throw client.error('unsupported', `offers no search for all its ${request.level}s`, { cause })
  throw client.error('malformed', 'offers no search for studies at its address; is the path of its address right?', {
    cause,
  })
}

/** PS3.18 8.3.4.4: `Warning: 299 …: There are <n> additional results that can be requested`. */
const saysMore = (exchange: Exchange): boolean => /additional results/i.test(exchange.header('warning') ?? '')

function resource({ level, study, series }: SearchRequest): string {
  const above = study ? `/studies/${study}${series ? `/series/${series}` : ''}` : ''
  return `${above}/${plural[level]}`
}

const plural = { study: 'studies', series: 'series', instance: 'instances' } as const

function queryString(request: SearchRequest, offset: number): string {
  const constraints = request.constraints.map((it) => `${it.path.join('.')}=${urlSafe(sentValue(it))}`)
  // A list in one parameter would be lost on archives that do not decode %2C, and a raw comma on others.
  const fields = request.includeFields.map((field) => `includefield=${field}`)
  const limit = request.undated ? [] : [`limit=${request.limit + 1 - offset}`]
  const page = [...limit, ...(offset > 0 ? [`offset=${offset}`] : [])]
  return [...constraints, ...fields, ...linkFields(request), ...page].join('&')
}

/** Peers decode what they are sent, and know link attributes by their names. */
const linkFields = ({ link }: SearchRequest): string[] =>
  link
    ? ['includefield=link', ...link.map(({ path, value }) => `${linkNameOf(path)}=${encodeURIComponent(value)}`)]
    : []

const linkNameOf = (path: readonly Tag[]): string =>
  linkKeys.entries().find(([, known]) => known.join('.') === path.join('.'))?.[0] ?? path.join('.')

const sentValue = (constraint: SearchConstraint): string =>
  isUidList(constraint) ? constraint.value.replaceAll('\\', ',') : relaxedValue(constraint)

/** Encodes only what would end the value or the request line: some archives do not decode a query at all. */
const urlSafe = (value: string): string =>
  value.replace(/[^!$'()*+,\-./0-9:;=?@A-Z\\^_a-z~]/gu, (character) => encodeURIComponent(character))

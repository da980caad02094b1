import type { Dataset, Tag } from '../dicom/dataset.ts'
import type { Parts } from '../dicom/multipart.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { Constraint } from '../dicom/query.ts'
import type { Uid } from '../dicom/uid.ts'

export type ClusterRole = 'home' | 'linked' | 'thirdParty'

/** The resource an object hangs under: a study, one of its series, one of its instances. */
export interface Target {
  readonly study: Uid
  readonly series?: Uid
  readonly instance?: Uid
}

/** QIDO-RS, PS3.18 10.6: rows of one level, below a study or series when given. */
export interface SearchRequest {
  readonly level: 'study' | 'series' | 'instance'
  readonly study?: Uid
  readonly series?: Uid
  /**
   * Matching keys pushed to the cluster, all of them to be met: dotted tag path (`0020000D`, `00400275.00400007`)
   * and the value as a client would write it, decoded. A cluster may answer with more than matches, never with less.
   */
  readonly constraints: readonly SearchConstraint[]
  readonly includeFields: readonly Tag[]
  /** At most this many rows, counted before nothing else: clusters do not sort and are not asked to page. */
  readonly limit: number
  /** Only rows without a Study Date `YYYYMMDD`: archives know no key for it. Counted by `limit` are those only. */
  readonly undated?: boolean
  /** Of a peer proxy: the link attributes of its own rows are wanted too, and these keys about them are to be met. */
  readonly link?: readonly SearchConstraint[]
}

export type SearchConstraint = Constraint

export interface SearchAnswer {
  readonly rows: readonly Dataset[]
  /** True when the cluster has, or may have, more rows than it gave. */
  readonly truncated: boolean
}

/** How long a cluster is waited for that is asked for stored objects. */
export interface Patience {
  /**
   * Set when nobody else can give it, or nobody waits for it: archives read large objects whole before they send the
   * first byte, which then may take {@link patienceFactor} times as long as `timeoutMs`.
   */
  readonly patient?: boolean
}

export const patienceFactor = 6

/** What is wanted of a stored object, PS3.18 8.7.3: as the value of `transfer-syntax`, `*` meaning as stored. */
export interface ObjectRequest {
  readonly kind: 'instances'
  readonly target: Target
  readonly transferSyntax: string
}

export interface FramesRequest {
  readonly kind: 'frames'
  readonly target: Required<Target>
  /** One-based, in the order wanted, duplicates allowed. */
  readonly frames: readonly number[]
  /** Acceptable media type of a part: `application/octet-stream`, `image/jpeg`, … */
  readonly mediaType: string
  readonly transferSyntax: string
}

export interface BulkdataRequest {
  readonly kind: 'bulkdata'
  /**
   * Where the cluster itself said the bulk data is, relative to its DICOMweb root and below `studies/`, as
   * {@link Cluster.metadata} gave it.
   */
  readonly path: string
  /** Whose path it is and of what: another cluster looks for the element in its own metadata. */
  readonly origin?: ElementOrigin
}

/** An element of an instance, and the cluster that said where it keeps it. */
export interface ElementOrigin {
  readonly cluster: string
  readonly target: Required<Target>
  /**
   * Its tag, or in sequences `<tag>.<item>.<tag>` with items counted from 1: `7FE00010`, `54000100.1.54001010`. Empty
   * when only the path is known.
   */
  readonly element: string
}

export interface RenderedRequest {
  readonly kind: 'rendered' | 'thumbnail'
  readonly target: Target
  readonly frames?: readonly number[]
  /** Acceptable media types in the order of preference. */
  readonly mediaTypes: readonly string[]
  /** `window`, `viewport`, `quality`, `annotation` as the client wrote them (PS3.18 8.3.5). */
  readonly parameters: Readonly<Record<string, string>>
}

export type RetrieveRequest = (ObjectRequest | FramesRequest | BulkdataRequest | RenderedRequest) & Patience

/** One instance on its way to a cluster. */
export interface InstanceUpload {
  readonly header: InstanceHeader
  /** The whole Part 10 file from its first byte; read once, in order, before the next upload is asked for. */
  readonly body: AsyncIterable<Uint8Array>
  /** All of `body`, when it is in memory; whoever takes it does not read that. */
  readonly held?: readonly Uint8Array[]
}

/** What became of one instance, PS3.18 10.5.3: `failureReason` and `warningReason` are the standard's codes. */
export interface StoreResult {
  readonly header: InstanceHeader
  readonly outcome:
    | { readonly status: 'stored'; readonly warningReason?: number }
    | { readonly status: 'failed'; readonly failureReason: number }
}

/** What a cluster said of itself when probed. */
export interface ProbeReport {
  /** Round trip of the smallest useful query, in milliseconds. */
  readonly latencyMs: number
  readonly supports: readonly Capability[]
  /** What an administrator should look at, one sentence each, safe to show. */
  readonly remarks: readonly string[]
}

export type Capability = 'search' | 'retrieve' | 'metadata' | 'rendered' | 'store'

/**
 * One PACS, whatever it speaks. The contract every kind keeps (`test/contract/cluster.ts` holds them to it):
 *
 * - **Errors.** Everything that goes wrong at or on the way to the cluster is thrown as `ClusterError` with a
 *   reason; nothing found by a search is an empty list, never an error. A caller that aborts gets its signal's
 *   reason back and the cluster's health is not touched.
 * - **Cost.** Calls open no more connections than the cluster's pool allows; they wait in line, up to the deadline.
 * - **Cancel.** `signal` covers the call and everything read from its answer afterwards. Streams not read to
 *   their end are cancelled by leaving the loop.
 * - **Memory.** Bounded by limits of the configuration, never by the size of a study or of an instance.
 * - **Retry.** `search`, `metadata`, `retrieve` and `probe` may be repeated freely. `store` may be repeated:
 *   storing the same content twice is a success.
 */
export interface Cluster {
  readonly id: string
  readonly role: ClusterRole
  /** Higher is preferred as a source. */
  readonly priority: number
  /** The longest a search, or the wait for the first byte of a retrieval, may take; see {@link Patience}. */
  readonly timeoutMs: number

  search(request: SearchRequest, signal: AbortSignal): Promise<SearchAnswer>

  /**
   * WADO-RS metadata, PS3.18 10.4.1.1.2: one dataset an instance, in DICOM JSON. A `BulkDataURI` in it is already
   * the path {@link BulkdataRequest} takes, relative to the cluster's root; anything the cluster wrote that does
   * not lie below its own root is left out.
   */
  metadata(target: Target, signal: AbortSignal, patience?: Patience): AsyncIterable<Dataset>

  /** Resolves when the cluster has begun to answer with success; until then the caller may turn elsewhere. */
  retrieve(request: RetrieveRequest, signal: AbortSignal): Promise<Parts>

  /**
   * STOW-RS, PS3.18 10.5. Takes uploads one after the other without holding any of them in memory, and answers
   * for each one it was given: what the cluster did not acknowledge is `failed` (0110H). An instance whose UID
   * is there with other content is `failed` (0111H) and the stored one stays; with the same content it is
   * `stored`. Throws only when the cluster as a whole failed; then some uploads may have been stored.
   */
  store(uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal): Promise<StoreResult[]>

  probe(signal: AbortSignal): Promise<ProbeReport>

  close(): Promise<void>
}

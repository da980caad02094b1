import type {
  Cluster,
  ClusterRole,
  InstanceUpload,
  RetrieveRequest,
  SearchAnswer,
  SearchRequest,
  StoreResult,
  Target,
} from '../../src/clusters/cluster.ts'
import { ClusterError, type FailureReason } from '../../src/core/outcome.ts'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { MadeInstance } from './made-instance.ts'

/** A row of the archive: instance level, carrying the attributes of its series and study. */
export interface Held {
  readonly row: Dataset
  readonly bytes: Uint8Array
}

export interface Faults {
  /** Every call fails with this reason. */
  down?: FailureReason
  /** Searches below studies fail, everything else works. */
  uncounted?: boolean
  /** Calls never settle, whatever the signal does. */
  hung?: boolean
  /** An answer of several parts ends after this many, in the middle of the next. */
  diesAfter?: number
  /** Instances whose presence in an answer makes it fail as a whole. */
  poison?: ReadonlySet<string>
  /** Failure reason for every instance stored. */
  refuses?: number
}

/**
 * An archive in memory that misbehaves on demand: for faults a real one will not produce when asked. It matches by UID
 * only, so that a test sees what the product checks by itself.
 */
export class MemoryCluster implements Cluster {
  readonly id: string
  readonly role: ClusterRole
  readonly priority: number
  readonly timeoutMs: number
  readonly held = new Map<string, Held>()
  readonly searches: SearchRequest[] = []
  readonly retrieves: RetrieveRequest[] = []
  faults: Faults = {}

  constructor(id: string, options: { role?: ClusterRole; priority?: number; timeoutMs?: number } = {}) {
    this.id = id
    this.role = options.role ?? 'linked'
    this.priority = options.priority ?? 0
    this.timeoutMs = options.timeoutMs ?? 5000
  }

  /** Puts an instance there; `row` overrides or adds what is found by a search, by tag. */
  add(made: MadeInstance, row: Record<string, unknown[]> = {}): this {
    const attributes = { [tag.Modality]: ['OT'], [tag.StudyDate]: ['20240131'], ...row }
    const uids = {
      [tag.StudyInstanceUID]: [made.study],
      [tag.SeriesInstanceUID]: [made.series],
      [tag.SOPInstanceUID]: [made.instance],
    }
    const entries = Object.entries({ ...uids, ...attributes }).map(([key, Value]) => [key, { vr: 'LO', Value }])
    this.held.set(made.instance, { row: Object.fromEntries(entries), bytes: made.bytes })
    return this
  }

  async search(request: SearchRequest, _signal?: AbortSignal): Promise<SearchAnswer> {
    this.searches.push(request)
    await this.#mayFail()
    if (this.faults.uncounted && isCount(request)) throw this.#error('timed-out')
    const levels = { study: tag.StudyInstanceUID, series: tag.SeriesInstanceUID, instance: tag.SOPInstanceUID }
    const rows = [...this.held.values()].map(({ row }) => row).filter((row) => isBelow(row, request))
    const wanted = request.undated ? rows.filter((row) => firstString(row, tag.StudyDate) === undefined) : rows
    const groups = Map.groupBy(wanted, (row) => firstString(row, levels[request.level]))
    return { rows: [...groups.values()].map((group) => summary(request.level, group)), truncated: false }
  }

  async *metadata(target: Target): AsyncGenerator<Dataset> {
    await this.#mayFail()
    const rows = this.#below(target).map(({ row }) => row)
    for (const [index, row] of rows.entries()) {
      if (index === this.faults.diesAfter) throw this.#error('truncated')
      yield row
    }
    if (rows.length === 0) throw this.#error('not-found')
  }

  async retrieve(request: RetrieveRequest): Promise<Parts> {
    this.retrieves.push(request)
    await this.#mayFail()
    const held = 'target' in request ? this.#below(request.target) : []
    if (held.length === 0) throw this.#error('not-found')
    if (held.some(({ row }) => this.faults.poison?.has(firstString(row, tag.SOPInstanceUID) ?? ''))) {
      throw this.#error('failed')
    }
    return this.#parts(held)
  }

  async store(uploads: AsyncIterable<InstanceUpload>): Promise<StoreResult[]> {
    await this.#mayFail()
    const results: StoreResult[] = []
    for await (const { header, body } of uploads) {
      const bytes = Buffer.concat(await Array.fromAsync(body))
      const failureReason = this.faults.refuses ?? this.#keep(header, bytes)
      results.push({ header, outcome: failureReason ? { status: 'failed', failureReason } : { status: 'stored' } })
    }
    return results
  }

  async probe() {
    await this.#mayFail()
    return { latencyMs: 0, supports: [], remarks: [] }
  }

  async close(): Promise<void> {}

  /** A failure reason when it is there with other content. */
  #keep(header: InstanceUpload['header'], bytes: Uint8Array): number | undefined {
    const { studyInstanceUID: study, seriesInstanceUID: series, sopInstanceUID: instance } = header
    const there = this.held.get(instance)
    if (there) return Buffer.from(there.bytes).equals(bytes) ? undefined : 0x0111
    this.add({ study, series, instance, bytes })
    return undefined
  }

  async #mayFail(): Promise<void> {
    if (this.faults.hung) await new Promise(() => undefined)
    if (this.faults.down) throw this.#error(this.faults.down)
  }

  #error(reason: FailureReason): ClusterError {
    return new ClusterError(this.id, reason, reason)
  }

  #below(target: Target): Held[] {
    return [...this.held.values()].filter(({ row }) => isBelow(row, target))
  }

  async *#parts(held: readonly Held[]): AsyncGenerator<Part> {
    for (const [index, { bytes }] of held.entries()) {
      const broken = index === this.faults.diesAfter
      yield { contentType: 'application/dicom', body: broken ? this.#half(bytes) : once(bytes) }
      if (broken) return
    }
  }

  async *#half(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, bytes.length - 4)
    throw this.#error('truncated')
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** The SOP Instance UIDs of an answer's parts and their bytes, in the order they came. */
export async function collect(parts: Parts): Promise<Map<Uid, Buffer>> {
  const found = new Map<Uid, Buffer>()
  for await (const part of parts) {
    const { header, body } = await sniffInstance(part.body, { maxHeaderBytes: 65_536 })
    found.set(header.sopInstanceUID, Buffer.concat(await Array.fromAsync(body)))
  }
  return found
}

function isBelow(row: Dataset, target: Partial<Target> & Partial<Pick<SearchRequest, 'constraints'>>): boolean {
  const uids = [target.study, target.series, 'instance' in target ? target.instance : undefined]
  const keys = [tag.StudyInstanceUID, tag.SeriesInstanceUID, tag.SOPInstanceUID]
  const inTarget = uids.every((uid, index) => uid === undefined || firstString(row, keys[index] ?? '') === uid)
  const byUid = (target.constraints ?? []).filter(({ path }) => keys.some((key) => key === path[0]))
  const inLists = byUid.every(({ path, value }) => value.split(',').includes(firstString(row, path[0] ?? '') ?? ''))
  return inTarget && inLists
}

/** Searches by which the product counts, as opposed to those by which it finds out who holds a study. */
const isCount = ({ level, study }: SearchRequest) => level === 'instance' || (level === 'series' && study === undefined)

/** One row of a level out of the instances below it, with counts and modalities as archives give them. */
function summary(level: SearchRequest['level'], rows: readonly Dataset[]): Dataset {
  const [first = {}] = rows
  const distinct = (key: string) => [...new Set(rows.map((row) => firstString(row, key)))]
  const count = (value: number) => ({ vr: 'IS', Value: [value] })
  if (level === 'instance') return first
  const { [tag.SOPInstanceUID]: _, ...row } = first
  if (level === 'series') return { ...row, [tag.NumberOfSeriesRelatedInstances]: count(rows.length) }
  const { [tag.SeriesInstanceUID]: __, [tag.Modality]: ___, ...study } = row
  return {
    ...study,
    [tag.ModalitiesInStudy]: { vr: 'CS', Value: distinct(tag.Modality) },
    [tag.NumberOfStudyRelatedSeries]: count(distinct(tag.SeriesInstanceUID).length),
    [tag.NumberOfStudyRelatedInstances]: count(rows.length),
  }
}

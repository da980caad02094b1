import type { Cluster } from '../clusters/cluster.ts'
import { walkStudyRows } from '../clusters/walk.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { LinkError, toError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import { firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import { type Copy, compareCopies, type Lacking } from './compare.ts'
import { converge } from './converge.ts'
import { type Answer, HoldingsReader, type Read } from './holdings-reader.ts'
import { type Repair, Tally, type TallyOfCluster } from './tally.ts'
import type { Updates } from './targets.ts'

/** A cluster whose copies are compared: home or a linked one, never a third party. */
export interface Party {
  readonly id: string
  /** What it is given in a repair; whatever it is, others get from it what they lack. */
  readonly updates: Updates
  /** Why it is not to be asked for all its studies. */
  readonly skip?: string
  /** Called once; may throw `LinkError`. */
  open(): Promise<Cluster>
}

/** A study that was not complete everywhere. */
export interface Finding {
  readonly study: Uid
  /** Of all copies together. */
  readonly instances: number
  readonly lacking: readonly Repair[]
}

export interface Reconciliation {
  /** Studies looked at; one that several clusters hold counts once. */
  readonly studies: number
  /** Of these, those that were complete wherever they have to be, as far as clusters answered. */
  readonly complete: number
  /** Those that are complete now. */
  readonly repaired: number
  readonly clusters: readonly TallyOfCluster[]
  /** The signal fired before the end. */
  readonly stopped: boolean
}

export interface ReconcileOptions {
  /** In the order in which they are read from. */
  readonly parties: readonly Party[]
  /** Only this one; absent: every study of every party. */
  readonly study?: Uid
  /** Send what is missing; else it is only told. */
  readonly repair: boolean
  readonly travels: Travels
  readonly studiesPerSecond: number
  readonly maxRows: number
  readonly maxBufferedPartBytes: number
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onFinding: (finding: Finding) => void
  /** The cluster that is walked, how many studies were looked at, and how far it is, from 0 to 1. */
  readonly onProgress: (cluster: string, studies: number, progress: number) => void
}

/** Studies compared at the same time, in one question to each cluster. */
const studiesAtOnce = 20
/** Failure Reason of an instance that is there with other content. */
const duplicate = 0x0111
/** Longest repair of one study at one cluster. */
const repairTimeoutMs = 3_600_000

/**
 * Compares what clusters hold, study by study, and sends what is missing. A cluster that does not answer is told in the
 * result and does not keep the others from being compared. The signal ends it with what was done until then. Throws
 * `LinkError` `not-found` when the study asked for is nowhere.
 */
export async function reconcile(options: ReconcileOptions): Promise<Reconciliation> {
  const run = new Run(options)
  try {
    await run.open()
    if (options.study === undefined) await run.all()
    else await run.one(options.study)
  } catch (thrown) {
    if (!options.signal.aborted) throw thrown
  }
  return run.result()
}

interface OpenCopy extends Copy {
  readonly cluster: Cluster
}

class Run {
  readonly #options: ReconcileOptions
  readonly #tally: Tally
  readonly #readers: { readonly party: Party; readonly reader: HoldingsReader }[] = []
  /** Clusters all of whose studies were looked at. */
  readonly #walked = new Set<string>()

  constructor(options: ReconcileOptions) {
    this.#options = options
    this.#tally = new Tally(options.parties.map(({ id }) => id))
  }

  async open(): Promise<void> {
    for (const party of this.#options.parties) {
      try {
        const reader = new HoldingsReader(await party.open(), this.#options)
        this.#readers.push({ party, reader })
      } catch (thrown) {
        this.#fails(party.id, thrown)
      }
    }
  }

  async one(study: Uid): Promise<void> {
    const reads = await this.#read([study], () => true)
    const known = [...reads.values()].some((read) => !isNothing(read.get(study)))
    if (!known && reads.size === this.#options.parties.length) {
      throw new LinkError('not-found', `study ${study} is in none of the clusters that are compared`)
    }
    await this.#lookAt(study, reads)
  }

  async all(): Promise<void> {
    for (const { party, reader } of this.#readers) {
      this.#options.signal.throwIfAborted()
      if (party.skip !== undefined) this.#tally.of(party.id).skipped = party.skip
      else await this.#walk(party, reader.cluster)
    }
  }

  /** A cluster that fails on the way has been walked as far as it went. */
  async #walk(party: Party, cluster: Cluster): Promise<void> {
    const { maxRows, clock, signal, onProgress } = this.#options
    const tally = this.#tally.of(party.id)
    let before = 0
    try {
      for await (const { rows, gaps, progress } of walkStudyRows(cluster, {
        includeFields: [],
        maxRows,
        clock,
        signal,
      })) {
        tally.addGaps(gaps)
        const studies = rows.map((row) => firstString(row, tag.StudyInstanceUID)).filter(isUid)
        for (let at = 0; at < studies.length; at += studiesAtOnce) {
          await this.#paced(studies.slice(at, at + studiesAtOnce))
          const done = Math.min(1, (at + studiesAtOnce) / studies.length)
          onProgress(party.id, this.#tally.studies, before + (progress - before) * done)
        }
        before = progress
        onProgress(party.id, this.#tally.studies, progress)
      }
      if (tally.gaps.length === 0) this.#walked.add(party.id)
    } catch (thrown) {
      this.#fails(party.id, thrown)
    }
  }

  /** Looks at some studies, and rests until as much time has passed as they may take at least. */
  async #paced(studies: readonly Uid[]): Promise<void> {
    const { clock, signal, studiesPerSecond } = this.#options
    const begun = clock.now()
    await this.#compare(studies)
    const rest = begun + (studies.length / studiesPerSecond) * 1000 - clock.now()
    if (rest > 0) await clock.sleep(rest, signal)
  }

  /** What a cluster holds all of whose studies were looked at has been looked at. */
  async #compare(studies: readonly Uid[]): Promise<void> {
    const earlier = await this.#read(studies, (id) => this.#walked.has(id))
    const isNew = (study: Uid) => [...earlier.values()].every((read) => !holdsSome(read.get(study)))
    const fresh = studies.filter(isNew)
    if (fresh.length === 0) return
    const later = await this.#read(fresh, (id) => !this.#walked.has(id))
    for (const study of fresh) await this.#lookAt(study, new Map([...earlier, ...later]))
  }

  async #read(studies: readonly Uid[], wanted: (id: string) => boolean): Promise<Map<string, Read>> {
    const readers = this.#readers.filter(({ party }) => wanted(party.id))
    const reads = await Promise.all(
      readers.map(async ({ party, reader }) => [party.id, await reader.of(studies)] as const),
    )
    return new Map(reads)
  }

  async #lookAt(study: Uid, reads: ReadonlyMap<string, Read>): Promise<void> {
    this.#options.signal.throwIfAborted()
    const { copies, instances, lacking } = await this.#confirmed(study, reads)
    const repairs: Repair[] = []
    for (const it of lacking) repairs.push(this.#options.repair ? await this.#repair(study, it, copies) : it)
    this.#tally.add(repairs)
    if (repairs.length > 0) this.#options.onFinding({ study, instances, lacking: repairs })
  }

  /** What a long list leaves out may still be there, or have come meanwhile: the study alone is asked for once more. */
  async #confirmed(study: Uid, reads: ReadonlyMap<string, Read>) {
    const { travels } = this.#options
    const suspected = compareCopies(this.#copiesIn(reads, study), travels).lacking.length > 0
    const last = suspected ? await this.#read([study], () => true) : reads
    for (const [id, read] of last) {
      const answer = read.get(study)
      if (answer instanceof ClusterError) this.#tally.of(id).unanswered(answer.message)
    }
    const copies = this.#copiesIn(last, study)
    return { copies, ...compareCopies(copies, travels) }
  }

  #copiesIn(reads: ReadonlyMap<string, Read>, study: Uid): OpenCopy[] {
    return this.#readers.flatMap(({ party: { id, updates }, reader: { cluster } }) => {
      const holdings = reads.get(id)?.get(study)
      if (holdings === undefined || holdings instanceof ClusterError) return []
      return [{ id, role: cluster.role, updates, holdings, cluster }]
    })
  }

  async #repair(study: Uid, lacking: Lacking, copies: readonly OpenCopy[]): Promise<Repair> {
    const { clock, signal, travels, maxBufferedPartBytes } = this.#options
    const target = copies.find(({ id }) => id === lacking.cluster)
    if (!target) throw new Error(`no cluster ${lacking.cluster}`)
    const sources = copies.filter((it) => it !== target && it.holdings.size > 0).map(({ cluster }) => cluster)
    const options = { sources, startsStudies: target.updates === 'all', travels, maxBufferedPartBytes }
    using limit = deadline(clock, repairTimeoutMs, signal)
    try {
      const { sent, refused } = await converge(study, target.cluster, options, limit.signal)
      const conflicts = refused.filter(({ reason }) => reason === duplicate).length
      return { ...lacking, sent, conflicts, refused: refused.length - conflicts }
    } catch (thrown) {
      signal.throwIfAborted()
      return { ...lacking, failed: toError(thrown).message }
    }
  }

  #fails(id: string, thrown: unknown): void {
    this.#options.signal.throwIfAborted()
    if (!(thrown instanceof LinkError)) throw thrown
    this.#tally.of(id).failed = thrown.message
  }

  result(): Reconciliation {
    return { ...this.#tally.result(), stopped: this.#options.signal.aborted }
  }
}

const holdsSome = (answer: Answer | undefined): boolean =>
  answer !== undefined && !(answer instanceof ClusterError) && answer.size > 0

/** It was asked and holds nothing, as opposed to not having said. */
const isNothing = (answer: Answer | undefined): boolean =>
  answer !== undefined && !(answer instanceof ClusterError) && answer.size === 0

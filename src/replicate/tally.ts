import type { Lacking } from './compare.ts'

/** What became of a cluster that lacked something. */
export interface Repair extends Lacking {
  readonly sent?: number
  /** Instances it has with other content, or under another study (0111H). */
  readonly conflicts?: number
  /** Instances it refuses for good for another reason. */
  readonly refused?: number
  readonly failed?: string
}

/** What was found at one cluster. */
export interface TallyOfCluster {
  readonly id: string
  /** Instances it lacked, and what became of them. */
  readonly missing: number
  readonly sent: number
  readonly conflicts: number
  readonly refused: number
  /** Studies that could not be repaired there, and the text of the last failure. */
  readonly failures: number
  readonly failure?: string
  /** Studies of which it did not say what it holds, and why not, as it said last. */
  readonly unanswered: number
  readonly silence?: string
  /** Studies it does not list, a sentence each. */
  readonly gaps: readonly string[]
  readonly skipped?: string
  /** Why it could not be opened, or not be walked to its end. */
  readonly failed?: string
}

/** Gaps that are told of one cluster. */
const maxGaps = 100

class ClusterTally {
  missing = 0
  sent = 0
  conflicts = 0
  refused = 0
  failures = 0
  failure: string | undefined
  #unanswered = 0
  #silence: string | undefined
  readonly gaps: string[] = []
  skipped: string | undefined
  failed: string | undefined

  addGaps(gaps: readonly string[]): void {
    this.gaps.push(...gaps.slice(0, maxGaps - this.gaps.length))
  }

  unanswered(why: string): void {
    this.#unanswered++
    this.#silence = why
  }

  add({ missing, sent = 0, conflicts = 0, refused = 0, failed }: Repair): void {
    this.missing += missing
    this.sent += sent
    this.conflicts += conflicts
    this.refused += refused
    if (failed === undefined) return
    this.failures++
    this.failure = failed
  }

  result(id: string): TallyOfCluster {
    const { missing, sent, conflicts, refused, failures, failure, gaps, skipped, failed } = this
    return {
      ...{ id, missing, sent, conflicts, refused, failures },
      ...(failure !== undefined && { failure }),
      unanswered: this.#unanswered,
      ...(this.#silence !== undefined && { silence: this.#silence }),
      gaps,
      ...(skipped !== undefined && { skipped }),
      ...(failed !== undefined && { failed }),
    }
  }
}

/** Counts what was found and done. */
export class Tally {
  readonly #clusters: ReadonlyMap<string, ClusterTally>
  #studies = 0
  #complete = 0
  #repaired = 0

  constructor(ids: readonly string[]) {
    this.#clusters = new Map(ids.map((id) => [id, new ClusterTally()]))
  }

  get studies(): number {
    return this.#studies
  }

  of(id: string): ClusterTally {
    const tally = this.#clusters.get(id)
    if (!tally) throw new Error(`no cluster ${id}`)
    return tally
  }

  /** One study, with the clusters that lacked something of it. */
  add(repairs: readonly Repair[]): void {
    this.#studies++
    for (const repair of repairs) this.of(repair.cluster).add(repair)
    if (repairs.length === 0) this.#complete++
    else if (repairs.every(isDone)) this.#repaired++
  }

  result() {
    return {
      studies: this.#studies,
      complete: this.#complete,
      repaired: this.#repaired,
      clusters: [...this.#clusters].map(([id, tally]) => tally.result(id)),
    }
  }
}

const isDone = ({ sent, conflicts, refused }: Repair): boolean => sent !== undefined && conflicts === 0 && refused === 0

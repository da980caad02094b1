import type { Cluster, SearchAnswer, SearchRequest } from '../../src/clusters/cluster.ts'
import { ClusterError, type FailureReason } from '../../src/core/outcome.ts'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import { compileConstraints, matchesAll } from '../../src/dicom/match.ts'
import { tag } from '../../src/dicom/tags.ts'

/** A study of such an archive; the date is `YYYYMMDD` or empty. */
export interface ListedStudy {
  readonly uid: string
  readonly date: string
  readonly row?: Dataset
}

/**
 * An archive of very many studies that it lists in the order in which it got them, as archives do: it matches by the
 * standard's rules, does not sort, and gives the first rows that match up to the limit.
 */
export class ListCluster implements Cluster {
  readonly id: string
  readonly role: Cluster['role']
  readonly priority = 0
  readonly timeoutMs = 5000
  readonly studies: ListedStudy[] = []
  readonly searches: SearchRequest[] = []
  /** Keys it takes no notice of: it answers as if they were not there. */
  readonly ignores: ReadonlySet<string>
  down: FailureReason | undefined

  constructor(id: string, options: { role?: Cluster['role']; ignores?: readonly string[] } = {}) {
    this.id = id
    this.role = options.role ?? 'linked'
    this.ignores = new Set(options.ignores)
  }

  async search(request: SearchRequest): Promise<SearchAnswer> {
    this.searches.push(request)
    if (this.down) throw new ClusterError(this.id, this.down, this.down)
    if (request.level === 'series') return { rows: this.#seriesOf(request), truncated: false }
    const keys = request.constraints.filter(({ path }) => !this.ignores.has(path[0] ?? ''))
    const compiled = compileConstraints(keys)
    const rows: Dataset[] = []
    for (const study of this.studies) {
      if (request.undated && study.date !== '') continue
      const row = rowOf(study)
      if (!matchesAll(row, compiled)) continue
      if (rows.length === request.limit) return { rows, truncated: true }
      rows.push(row)
    }
    return { rows, truncated: false }
  }

  /** One series a study. */
  #seriesOf({ constraints }: SearchRequest): Dataset[] {
    const [uids] = constraints.filter(({ path }) => path[0] === tag.StudyInstanceUID)
    return (uids?.value.split(',') ?? []).map((uid) => ({
      [tag.StudyInstanceUID]: { vr: 'UI', Value: [uid] },
      [tag.SeriesInstanceUID]: { vr: 'UI', Value: [`${uid}.1`] },
      [tag.NumberOfSeriesRelatedInstances]: { vr: 'IS', Value: [1] },
    }))
  }

  // biome-ignore lint/correctness/useYield: it has nothing to retrieve
  async *metadata(): AsyncGenerator<Dataset> {
    throw new ClusterError(this.id, 'not-found', 'holds no objects')
  }

  async retrieve(): Promise<never> {
    throw new ClusterError(this.id, 'not-found', 'holds no objects')
  }

  async store() {
    return []
  }

  async probe() {
    return { latencyMs: 0, supports: [], remarks: [] }
  }

  async close(): Promise<void> {}
}

const rowOf = ({ uid, date, row }: ListedStudy): Dataset => ({
  [tag.StudyInstanceUID]: { vr: 'UI', Value: [uid] },
  [tag.StudyDate]: date === '' ? { vr: 'DA' } : { vr: 'DA', Value: [date] },
  [tag.ModalitiesInStudy]: { vr: 'CS', Value: ['CT'] },
  [tag.NumberOfStudyRelatedSeries]: { vr: 'IS', Value: [1] },
  [tag.NumberOfStudyRelatedInstances]: { vr: 'IS', Value: [1] },
  ...row,
})

export const uidsOf = (rows: readonly Dataset[]): string[] =>
  rows.map((row) => firstString(row, tag.StudyInstanceUID) ?? '')

/** The order of answers: newest first, undated last, by UID where dates are the same. */
export const inOrder = (studies: readonly ListedStudy[]): string[] =>
  studies
    .toSorted((a, b) => (a.date === b.date ? (a.uid < b.uid ? -1 : 1) : a.date < b.date ? 1 : -1))
    .map(({ uid }) => uid)

/** Numbers below one that are the same in every run: tests that fail can be run again. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

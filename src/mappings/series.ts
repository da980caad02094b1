import type { Ask } from '../clusters/walk.ts'
import { ClusterError } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { seriesMappingFields } from '../link/mappings.ts'

/** Studies whose series are asked for in one question, and series that such an answer may have. */
const studiesAtOnce = 100
const maxSeries = 20_000
/** Questions at the same time to a cluster that has to be asked study by study. */
const questionsAtOnce = 4

const includeFields = [tag.StudyInstanceUID, tag.StudyDescription, ...seriesMappingFields]

/** Rows of studies, each with those of its series. */
export interface WithSeries {
  readonly rows: readonly (readonly [study: Dataset, series: readonly Dataset[]])[]
  readonly gaps: readonly string[]
}

/**
 * Reads the series of many studies: of a hundred in one question where the cluster can answer it, else study by study.
 * Of a cluster that lists no series only its studies are known, which is told once.
 */
export class SeriesReader {
  readonly #ask: Ask
  #listsMany = true
  #lists = true

  constructor(ask: Ask) {
    this.#ask = ask
  }

  async *of(studies: readonly Dataset[]): AsyncGenerator<WithSeries, void, undefined> {
    for (let at = 0; at < studies.length; at += studiesAtOnce) {
      const some = studies.slice(at, at + studiesAtOnce)
      const listed = this.#lists
      const known = await this.#ofMany(some)
      const others = some.filter((row) => !known.has(uidOf(row)))
      for (const [study, series] of await this.#oneByOne(others)) known.set(study, series)
      const gaps = listed && !this.#lists ? ['it lists no series: their body parts are not known'] : []
      yield { rows: some.map((row) => [row, known.get(uidOf(row)) ?? []] as const), gaps }
    }
  }

  async #ofMany(studies: readonly Dataset[]): Promise<Map<string, readonly Dataset[]>> {
    if (!this.#listsMany) return new Map()
    const value = studies.map(uidOf).filter(isUid).join(',')
    const constraints = [{ path: [tag.StudyInstanceUID], value }]
    try {
      const { rows, truncated } = await this.#ask({ level: 'series', constraints, includeFields, limit: maxSeries })
      return truncated ? new Map() : Map.groupBy(rows, uidOf)
    } catch (thrown) {
      if (!isUnwilling(thrown) && !isLate(thrown)) throw thrown
      this.#listsMany = false
      return new Map()
    }
  }

  async #oneByOne(studies: readonly Dataset[]): Promise<(readonly [string, readonly Dataset[]])[]> {
    const found: (readonly [string, readonly Dataset[]])[] = []
    const waiting = studies.map(uidOf).filter(isUid).values()
    const work = async () => {
      for (const study of waiting) found.push([study, await this.#ofOne(study)] as const)
    }
    await Promise.all(Array.from({ length: questionsAtOnce }, work))
    return found
  }

  async #ofOne(study: Uid): Promise<readonly Dataset[]> {
    if (!this.#lists) return []
    try {
      const { rows } = await this.#ask({ level: 'series', study, constraints: [], includeFields, limit: maxSeries })
      return rows
    } catch (thrown) {
      if (!isUnwilling(thrown)) throw thrown
      this.#lists = false
      return []
    }
  }
}

const uidOf = (row: Dataset): string => firstString(row, tag.StudyInstanceUID) ?? ''

const isLate = (thrown: unknown): boolean => thrown instanceof ClusterError && thrown.reason === 'timed-out'

/** It does not answer such a question, as opposed to not answering at all. */
const isUnwilling = (thrown: unknown): boolean =>
  thrown instanceof ClusterError && ['unsupported', 'rejected', 'not-found', 'too-large'].includes(thrown.reason)

import { LRUCache } from 'lru-cache'
import type { SearchRequest } from '../clusters/cluster.ts'
import { type Dataset, firstString, type Tag } from '../dicom/dataset.ts'
import { type CompiledConstraint, matchConstraint } from '../dicom/match.ts'
import { tag } from '../dicom/tags.ts'

/** The rows of one cluster that match, or the keys they say nothing about. */
export interface Verified {
  readonly rows: readonly Dataset[]
  readonly unverifiable: readonly Tag[]
}

/**
 * Which keys a cluster was ever seen to answer: an attribute it has returned once is one that it returns when a study
 * has it, so that a few rows without it mean what they say.
 */
export class AnsweredKeys {
  readonly #seen = new LRUCache<string, true>({ max: 10_000 })

  /** Whether any of the rows, or of earlier ones of this cluster, has the attribute, empty or not. */
  areAnswered(cluster: string, rows: readonly Dataset[], keys: readonly Tag[]): boolean {
    return keys.every((key) => {
      const name = `${cluster}|${key}`
      if (this.#seen.has(name)) return true
      if (!rows.some((row) => row[key] !== undefined)) return false
      this.#seen.set(name, true)
      return true
    })
  }
}

/**
 * Keeps the rows that match by the standard's rules, whatever the archive takes for a match.
 * `unverifiable` names the constraints the archive's rows say nothing about: it ignored them, and its answer cannot
 * be told from a false one.
 */
export function verifyRows(
  rows: readonly Dataset[],
  constraints: readonly CompiledConstraint[],
  isAnswered: (rows: readonly Dataset[], keys: readonly Tag[]) => boolean,
): Verified {
  const checkable = constraints.filter(
    ({ paths }) =>
      rows.length === 0 ||
      isAnswered(
        rows,
        paths.flatMap(([key]) => key ?? []),
      ),
  )
  const unverifiable = constraints.filter((constraint) => !checkable.includes(constraint))
  return {
    rows: rows.filter((row) => checkable.every((constraint) => matchConstraint(row, constraint) === 'match')),
    unverifiable: unverifiable.flatMap(({ paths }) => paths.map((path) => path.join('.'))),
  }
}

/**
 * The rows that lie below the study and series of the request's path, each saying so: archives leave out of a row what
 * is in the address, and some answer with more than was asked for.
 */
export function rowsBelow({ study, series }: SearchRequest, rows: readonly Dataset[]): readonly Dataset[] {
  const path = [
    [tag.StudyInstanceUID, study],
    [tag.SeriesInstanceUID, series],
  ] as const
  const wanted = path.filter(([, uid]) => uid !== undefined)
  if (wanted.length === 0) return rows
  const parents = Object.fromEntries(wanted.map(([key, uid]) => [key, { vr: 'UI', Value: [uid] }]))
  const isBelow = (row: Dataset) => wanted.every(([key, uid]) => (firstString(row, key) ?? uid) === uid)
  return rows.filter(isBelow).map((row) => ({ ...row, ...parents }))
}

import type { SearchRequest } from '../clusters/cluster.ts'
import { type Dataset, firstString, type Tag } from '../dicom/dataset.ts'
import { type CompiledConstraint, matchConstraint } from '../dicom/match.ts'
import { tag } from '../dicom/tags.ts'

/**
 * Keeps the rows that match by the standard's rules, whatever the archive takes for a match.
 * `unverifiable` names the constraints the archive's rows say nothing about: it ignored them, and its answer cannot
 * be told from a false one.
 */
export function verifyRows(
  rows: readonly Dataset[],
  constraints: readonly CompiledConstraint[],
): { rows: Dataset[]; unverifiable: Tag[] } {
  const checkable = constraints.filter((constraint) => isAnswered(rows, constraint))
  const unverifiable = constraints.filter((constraint) => !checkable.includes(constraint))
  return {
    rows: rows.filter((row) => checkable.every((constraint) => matchConstraint(row, constraint) === 'match')),
    unverifiable: unverifiable.flatMap(({ paths }) => paths.map((path) => path.join('.'))),
  }
}

/** A key is answered when any row has the attribute, empty or not: it was asked to be returned. */
const isAnswered = (rows: readonly Dataset[], { paths }: CompiledConstraint): boolean =>
  rows.length === 0 || paths.every(([key = '']) => rows.some((row) => row[key] !== undefined))

/**
 * The rows that lie below the study and series of the request's path, each saying so: archives leave out of a row what
 * is in the address, and some answer with more than was asked for.
 */
export function rowsBelow({ study, series }: SearchRequest, rows: readonly Dataset[]): Dataset[] {
  const path = [
    [tag.StudyInstanceUID, study],
    [tag.SeriesInstanceUID, series],
  ] as const
  const wanted = path.filter(([, uid]) => uid !== undefined)
  if (wanted.length === 0) return [...rows]
  const parents = Object.fromEntries(wanted.map(([key, uid]) => [key, { vr: 'UI', Value: [uid] }]))
  const isBelow = (row: Dataset) => wanted.every(([key, uid]) => (firstString(row, key) ?? uid) === uid)
  return rows.filter(isBelow).map((row) => ({ ...row, ...parents }))
}

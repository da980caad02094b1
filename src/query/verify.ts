import type { Dataset, Tag } from '../dicom/dataset.ts'
import { type CompiledConstraint, matchConstraint } from '../dicom/match.ts'
import { defaultReturned } from '../dicom/tags.ts'
import type { Level } from './merge.ts'

/**
 * Keeps the rows that match by the standard's rules, whatever the archive takes for a match (wire contract 2.5).
 * `unverifiable` names the constraints the archive's rows say nothing about: it ignored them, and its answer cannot
 * be told from a false one.
 */
export function verifyRows(
  level: Level,
  rows: readonly Dataset[],
  constraints: readonly CompiledConstraint[],
): { rows: Dataset[]; unverifiable: Tag[] } {
  const checkable = constraints.filter((constraint) => isAnswered(level, rows, constraint))
  const unverifiable = constraints.filter((constraint) => !checkable.includes(constraint))
  return {
    rows: rows.filter((row) => checkable.every((constraint) => matchConstraint(row, constraint) === 'match')),
    unverifiable: unverifiable.flatMap(({ paths }) => paths.map((path) => path.join('.'))),
  }
}

/**
 * A key is answered when any row carries it, or when the standard obliges archives to return it, so that absence
 * means the object has no value.
 */
function isAnswered(level: Level, rows: readonly Dataset[], constraint: CompiledConstraint): boolean {
  const obliged: readonly (Tag | undefined)[] = defaultReturned[level]
  if (rows.length === 0 || constraint.paths.every(([key]) => obliged.includes(key))) return true
  return rows.some((row) => matchConstraint(row, constraint) !== 'absent')
}

import { type Dataset, firstNumber, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { plainDate } from '../dicom/temporal.ts'
import { compareText, type Level, type MergedRow } from './merge.ts'

/**
 * The order of every answer: newest study first, undated last, series and instances by number;
 * UIDs make it total, so that pages never overlap.
 */
export function sortRows(level: Level, rows: Iterable<MergedRow>): MergedRow[] {
  const keyed = [...rows].map((row) => ({ row, key: sortKey(level, row.dataset) }))
  return keyed.sort((a, b) => compareKeys(a.key, b.key)).map(({ row }) => row)
}

interface SortKey {
  readonly date: string
  readonly time: string
  readonly study: string
  readonly numbers: readonly number[]
  readonly uids: readonly string[]
}

function sortKey(level: Level, row: Dataset): SortKey {
  const text = (key: string) => firstString(row, key) ?? ''
  const number = (key: string) => firstNumber(row, key) ?? Number.POSITIVE_INFINITY
  const below = level === 'study' ? [] : [tag.SeriesNumber, ...(level === 'instance' ? [tag.InstanceNumber] : [])]
  return {
    date: plainDate(text(tag.StudyDate)),
    time: text(tag.StudyTime),
    study: text(tag.StudyInstanceUID),
    numbers: below.map(number),
    uids: [text(tag.SeriesInstanceUID), text(tag.SOPInstanceUID)],
  }
}

function compareKeys(a: SortKey, b: SortKey): number {
  return (
    compareText(b.date, a.date) ||
    compareText(b.time, a.time) ||
    compareText(a.study, b.study) ||
    firstDifference(a.numbers, b.numbers, (x, y) => (x === y ? 0 : x < y ? -1 : 1)) ||
    firstDifference(a.uids, b.uids, compareText)
  )
}

function firstDifference<T>(a: readonly T[], b: readonly T[], compare: (x: T, y: T) => number): number {
  for (const [index, x] of a.entries()) {
    const difference = compare(x, b[index] as T)
    if (difference !== 0) return difference
  }
  return 0
}

/** The rows from `offset` on, at most `limit`, and how many come after them. */
export function pageOf<T>(rows: readonly T[], offset: number, limit: number): { page: T[]; remaining: number } {
  const page = rows.slice(offset, offset + limit)
  return { page, remaining: Math.max(0, rows.length - offset - page.length) }
}

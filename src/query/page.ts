import { firstNumber, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { plainDate } from '../dicom/temporal.ts'
import { compareText, type Level, type MergedRow } from './merge.ts'

/**
 * The order of every answer: newest study first, undated last, series and instances by number;
 * UIDs make it total, so that pages never overlap.
 */
export function sortRows(level: Level, rows: Iterable<MergedRow>): MergedRow[] {
  return Array.from(rows, (row) => sortKey(level, row))
    .sort(compareKeys)
    .map(({ row }) => row)
}

interface SortKey {
  readonly row: MergedRow
  readonly date: string
  readonly time: string
  readonly study: string
  readonly seriesNumber: number
  readonly instanceNumber: number
  readonly series: string
  readonly instance: string
}

function sortKey(level: Level, row: MergedRow): SortKey {
  const { dataset } = row
  const text = (key: string) => firstString(dataset, key) ?? ''
  const number = (key: string) => firstNumber(dataset, key) ?? Number.POSITIVE_INFINITY
  const below = level !== 'study'
  const lowest = level === 'instance'
  return {
    row,
    date: plainDate(text(tag.StudyDate)),
    time: text(tag.StudyTime),
    study: text(tag.StudyInstanceUID),
    seriesNumber: below ? number(tag.SeriesNumber) : 0,
    instanceNumber: lowest ? number(tag.InstanceNumber) : 0,
    series: below ? text(tag.SeriesInstanceUID) : '',
    instance: lowest ? text(tag.SOPInstanceUID) : '',
  }
}

const compareKeys = (a: SortKey, b: SortKey): number =>
  compareText(b.date, a.date) ||
  compareText(b.time, a.time) ||
  compareText(a.study, b.study) ||
  compareNumber(a.seriesNumber, b.seriesNumber) ||
  compareNumber(a.instanceNumber, b.instanceNumber) ||
  compareText(a.series, b.series) ||
  compareText(a.instance, b.instance)

/** Not by their difference: that of two infinite ones is no number. */
const compareNumber = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0)

import { availabilities } from '../dicom/availability.ts'
import {
  type Attribute,
  type Dataset,
  firstNumber,
  firstString,
  type MutableDataset,
  type Tag,
} from '../dicom/dataset.ts'
import { isBlank, mergePatient, patientTags } from '../dicom/patient.ts'
import { tag } from '../dicom/tags.ts'
import type { QueryRequest } from './service.ts'

export type Level = QueryRequest['level']

/** One row of the merged answer and the copies it was made from, the most believed first. */
export interface MergedRow {
  readonly uid: string
  readonly dataset: Dataset
  readonly copies: readonly Copy[]
}

export interface Copy {
  readonly cluster: string
  /** Home first, then by priority: lower is believed first. */
  readonly rank: number
  readonly row: Dataset
}

export const uidTag = {
  study: tag.StudyInstanceUID,
  series: tag.SeriesInstanceUID,
  instance: tag.SOPInstanceUID,
} as const satisfies Record<Level, Tag>

/**
 * What a row is a row of, or `undefined` when it does not say, and cannot be told apart from others. Below studies the
 * UIDs of the parents count too: a series that two clusters file under two studies is two rows, of two patients maybe.
 */
export function identityOf(level: Level, row: Dataset): string | undefined {
  const uids = pathTags[level].map((key) => firstString(row, key) ?? '')
  return uids.at(-1) === '' ? undefined : uids.join('/')
}

const pathTags: Readonly<Record<Level, readonly Tag[]>> = {
  study: [tag.StudyInstanceUID],
  series: [tag.StudyInstanceUID, tag.SeriesInstanceUID],
  instance: [tag.StudyInstanceUID, tag.SeriesInstanceUID, tag.SOPInstanceUID],
}

/** Adds a copy to those of its row; of each cluster the first counts. */
export function addCopy(copies: Map<string, Copy[]>, identity: string, copy: Copy): void {
  const known = copies.get(identity)
  if (!known) copies.set(identity, [copy])
  else if (known.every(({ cluster }) => cluster !== copy.cluster)) known.push(copy)
}

/** Merges the copies of one study, series or instance. */
export function mergeCopies(level: Level, found: readonly Copy[]): MergedRow {
  const copies = found.toSorted((a, b) => a.rank - b.rank || compareText(a.cluster, b.cluster))
  const rows = copies.map(({ row }) => row)
  const uid = firstString(rows[0] ?? {}, uidTag[level]) ?? ''
  return { uid, copies, dataset: rows.length === 1 && rows[0] ? rows[0] : mergeDatasets(rows) }
}

function mergeDatasets(rows: readonly Dataset[]): Dataset {
  const merged: MutableDataset = { ...mergePatient(rows) }
  for (const row of rows) fillBlanks(merged, row)
  for (const key of unionTags) setIfAny(merged, key, union(rows, key))
  for (const key of countTags) setIfAny(merged, key, largest(rows, key))
  setIfAny(merged, tag.InstanceAvailability, bestAvailability(rows))
  setIfAny(merged, tag.StudyUpdateDateTime, latest(rows, tag.StudyUpdateDateTime))
  return merged
}

function fillBlanks(merged: MutableDataset, row: Dataset): void {
  for (const [key, attribute] of Object.entries(row)) {
    if (isBlank(merged[key]) && !patientTags.has(key)) merged[key] = attribute
  }
}

const unionTags = [tag.ModalitiesInStudy, tag.SOPClassesInStudy, tag.AnatomicRegionsInStudyCodeSequence]

export const countTags = [
  tag.NumberOfStudyRelatedSeries,
  tag.NumberOfStudyRelatedInstances,
  tag.NumberOfSeriesRelatedInstances,
]

function setIfAny(merged: MutableDataset, key: Tag, attribute: Attribute | undefined): void {
  if (attribute) merged[key] = attribute
}

function union(rows: readonly Dataset[], key: Tag): Attribute | undefined {
  const attributes = rows.flatMap((row) => row[key] ?? [])
  const vr = attributes[0]?.vr
  if (vr === undefined) return undefined
  const values = new Map(attributes.flatMap(({ Value }) => Value ?? []).map((value) => [JSON.stringify(value), value]))
  const sorted = [...values].toSorted(([a], [b]) => compareText(a, b)).map(([, value]) => value)
  return { vr, ...(sorted.length > 0 && { Value: sorted }) }
}

function largest(rows: readonly Dataset[], key: Tag): Attribute | undefined {
  const counts = rows.flatMap((row) => firstNumber(row, key) ?? [])
  return counts.length > 0 ? { vr: 'IS', Value: [Math.max(...counts)] } : undefined
}

function bestAvailability(rows: readonly Dataset[]): Attribute | undefined {
  const found = new Set(rows.map((row) => firstString(row, tag.InstanceAvailability)))
  const best = availabilities.find((availability) => found.has(availability))
  return best === undefined ? undefined : { vr: 'CS', Value: [best] }
}

function latest(rows: readonly Dataset[], key: Tag): Attribute | undefined {
  const times = rows.flatMap((row) => firstString(row, key) ?? []).toSorted(compareText)
  const last = times.at(-1)
  return last === undefined ? undefined : { vr: 'DT', Value: [last] }
}

/** By code unit, the same on every machine and in every locale. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

import {
  type Attribute,
  type Dataset,
  firstNumber,
  firstString,
  type MutableDataset,
  type Tag,
} from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import type { QueryRequest } from './service.ts'

export type Level = QueryRequest['level']

/** The rows one cluster gave; where the cluster stands in the order in which answers about identity are believed. */
export interface ClusterRows {
  readonly cluster: string
  /** Home first, then by priority: lower is believed first. */
  readonly rank: number
  readonly rows: readonly Dataset[]
}

/** One row of the merged answer and the copies it was made from, the most believed first. */
export interface MergedRow {
  readonly uid: string
  readonly dataset: Dataset
  readonly copies: readonly Copy[]
}

export interface Copy {
  readonly cluster: string
  readonly rank: number
  readonly row: Dataset
}

export const uidTag = {
  study: tag.StudyInstanceUID,
  series: tag.SeriesInstanceUID,
  instance: tag.SOPInstanceUID,
} as const satisfies Record<Level, Tag>

/**
 * One row per UID, the same whatever the order in which the clusters answered. Rows without the UID of their level
 * are dropped: they cannot be told apart.
 */
export function mergeRows(level: Level, answers: readonly ClusterRows[]): Map<string, MergedRow> {
  const copies = new Map<string, Copy[]>()
  for (const { cluster, rank, rows } of answers) {
    for (const row of rows) addCopy(copies, firstString(row, uidTag[level]), { cluster, rank, row })
  }
  const merged = new Map<string, MergedRow>()
  for (const [uid, found] of copies) merged.set(uid, mergeCopies(uid, found))
  return merged
}

function addCopy(copies: Map<string, Copy[]>, uid: string | undefined, copy: Copy): void {
  if (uid === undefined) return
  const known = copies.get(uid)
  if (!known) copies.set(uid, [copy])
  else if (known.every(({ cluster }) => cluster !== copy.cluster)) known.push(copy)
}

/** Merges the copies of one study, series or instance (wire contract 2.3). */
export function mergeCopies(uid: string, found: readonly Copy[]): MergedRow {
  const copies = found.toSorted((a, b) => a.rank - b.rank || compareText(a.cluster, b.cluster))
  const rows = copies.map(({ row }) => row)
  return { uid, copies, dataset: rows.length === 1 && rows[0] ? rows[0] : mergeDatasets(rows) }
}

function mergeDatasets(rows: readonly Dataset[]): Dataset {
  const merged: MutableDataset = {}
  for (const row of rows) fillBlanks(merged, row)
  for (const key of unionTags) setIfAny(merged, key, union(rows, key))
  for (const key of countTags) setIfAny(merged, key, largest(rows, key))
  setIfAny(merged, tag.InstanceAvailability, bestAvailability(rows))
  setIfAny(merged, tag.StudyUpdateDateTime, latest(rows, tag.StudyUpdateDateTime))
  return merged
}

/**
 * Identity comes from the most believed copy as a whole; others only fill what it leaves blank. A patient ID and its
 * issuer are one thing: an issuer is never taken from a copy that has another ID.
 */
function fillBlanks(merged: MutableDataset, row: Dataset): void {
  const samePatient = blank(merged[tag.PatientID]) || samePatientID(merged, row)
  for (const [key, attribute] of Object.entries(row)) {
    if (!blank(merged[key])) continue
    if (issuerTags.has(key) && !samePatient) continue
    merged[key] = attribute
  }
}

const samePatientID = (a: Dataset, b: Dataset) => firstString(a, tag.PatientID) === firstString(b, tag.PatientID)

const issuerTags: ReadonlySet<Tag> = new Set([tag.IssuerOfPatientID, tag.IssuerOfPatientIDQualifiersSequence])

const unionTags = [tag.ModalitiesInStudy, tag.SOPClassesInStudy, tag.AnatomicRegionsInStudyCodeSequence]

export const countTags = [
  tag.NumberOfStudyRelatedSeries,
  tag.NumberOfStudyRelatedInstances,
  tag.NumberOfSeriesRelatedInstances,
]

export const blank = (attribute: Attribute | undefined): boolean =>
  attribute === undefined ||
  (attribute.BulkDataURI === undefined && attribute.InlineBinary === undefined && !attribute.Value?.some(isSomething))

const isSomething = (value: unknown) => value !== null && value !== undefined && value !== ''

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

/** From the nearest to the farthest, PS3.3 C.4.23.1.1. */
const availabilities = ['ONLINE', 'NEARLINE', 'OFFLINE', 'UNAVAILABLE']

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

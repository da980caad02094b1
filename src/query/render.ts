import { type Attribute, type Dataset, firstString, mapAttributes, type Tag } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import type { Level } from './merge.ts'

/**
 * A row as the client gets it: every URL is the proxy's, nothing tells of the cluster's own address or AE title, and
 * the character set is the one JSON is in.
 */
export function render(level: Level, row: Dataset, base: string): Dataset {
  const rendered = mapAttributes(row, (key, attribute) => (isOfTheCluster(key, attribute) ? undefined : attribute))
  rendered[tag.SpecificCharacterSet] = { vr: 'CS', Value: ['ISO_IR 192'] }
  rendered[tag.RetrieveURL] = { vr: 'UR', Value: [retrieveUrl(level, row, base)] }
  return Object.fromEntries(Object.entries(rendered).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** Addresses that lead to the cluster: bulk data of a row is to be had through the metadata. */
const isOfTheCluster = (key: Tag, { BulkDataURI }: Attribute): boolean =>
  BulkDataURI !== undefined || key === tag.RetrieveAETitle || key === tag.RetrieveURL

function retrieveUrl(level: Level, row: Dataset, base: string): string {
  const study = `${base}/studies/${firstString(row, tag.StudyInstanceUID) ?? ''}`
  if (level === 'study') return study
  const series = `${study}/series/${firstString(row, tag.SeriesInstanceUID) ?? ''}`
  if (level === 'series') return series
  return `${series}/instances/${firstString(row, tag.SOPInstanceUID) ?? ''}`
}

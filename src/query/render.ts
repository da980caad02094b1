import {
  type Attribute,
  type Dataset,
  firstString,
  type MutableDataset,
  mapAttributes,
  type Tag,
} from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { compareText, type Level } from './merge.ts'

/**
 * A row as the client gets it: every URL is the proxy's, nothing tells of the cluster's own address or AE title, and
 * the character set is the one JSON is in.
 */
export function render(level: Level, row: Dataset, base: string): Dataset {
  const set: Dataset = {
    [tag.SpecificCharacterSet]: { vr: 'CS', Value: ['ISO_IR 192'] },
    [tag.RetrieveURL]: { vr: 'UR', Value: [retrieveUrl(level, row, base)] },
  }
  const rendered: MutableDataset = {}
  for (const key of sortedKeys(row, set)) {
    const attribute = set[key] ?? shown(key, row[key])
    if (attribute) rendered[key] = attribute
  }
  return rendered
}

/** Attributes come in the order of their tags, which they nearly have: sorting costs little. */
function sortedKeys(row: Dataset, set: Dataset): string[] {
  const keys = Object.keys(row)
  for (const key in set) if (!row[key]) keys.push(key)
  return keys.sort(compareText)
}

function shown(key: Tag, attribute: Attribute | undefined): Attribute | undefined {
  if (!attribute || isOfTheCluster(key, attribute)) return undefined
  if (attribute.vr === 'PN' || !attribute.Value?.some((value) => typeof value === 'object')) return attribute
  return mapAttributes({ [key]: attribute }, (it, nested) => (isOfTheCluster(it, nested) ? undefined : nested))[key]
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

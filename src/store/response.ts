import type { StoreResult } from '../clusters/cluster.ts'
import type { Attribute, Dataset, MutableDataset } from '../dicom/dataset.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import { tag } from '../dicom/tags.ts'

/** Failure reasons of our own making, from PS3.4 table B.2-1 and PS3.18 table I.2-2. */
export const failureReason = {
  /** A900H: the data set does not match what the request is about. */
  otherStudy: 0xa900,
  /** C000H: cannot understand. */
  cannotUnderstand: 0xc000,
} as const

/** A part that was not passed on to the home cluster. */
export interface Refusal {
  /** Absent when the part could not be read that far. */
  readonly header?: InstanceHeader
  readonly reason: number
}

/** Store Instances Response Module, PS3.18 annex I.2, and the status that goes with it (table 10.5.3-1). */
export function storeResponse(
  results: readonly StoreResult[],
  refusals: readonly Refusal[],
  base: string,
): { status: 200 | 202 | 409; response: Dataset } {
  const stored = results.filter(({ outcome }) => outcome.status === 'stored')
  const failed = [...results.flatMap(asRefusal), ...refusals]
  const warned = stored.some(({ outcome }) => 'warningReason' in outcome)
  const response: MutableDataset = {}
  const studies = new Set(stored.map(({ header }) => header.studyInstanceUID))
  const [study] = studies
  if (studies.size === 1) response[tag.RetrieveURL] = { vr: 'UR', Value: [`${base}/studies/${study}`] }
  if (failed.length > 0) response[tag.FailedSOPSequence] = { vr: 'SQ', Value: failed.map(failedItem) }
  if (stored.length > 0)
    response[tag.ReferencedSOPSequence] = { vr: 'SQ', Value: stored.map((it) => storedItem(it, base)) }
  return { status: stored.length === 0 ? 409 : failed.length > 0 || warned ? 202 : 200, response }
}

const asRefusal = ({ header, outcome }: StoreResult): Refusal[] =>
  outcome.status === 'failed' ? [{ header, reason: outcome.failureReason }] : []

function storedItem({ header, outcome }: StoreResult, base: string): Dataset {
  const { studyInstanceUID, seriesInstanceUID, sopInstanceUID } = header
  const url = `${base}/studies/${studyInstanceUID}/series/${seriesInstanceUID}/instances/${sopInstanceUID}`
  return {
    ...reference(header),
    [tag.RetrieveURL]: { vr: 'UR', Value: [url] },
    ...('warningReason' in outcome && { [tag.WarningReason]: unsigned(outcome.warningReason) }),
  }
}

const failedItem = ({ header, reason }: Refusal): Dataset => ({
  ...(header && reference(header)),
  [tag.FailureReason]: unsigned(reason),
})

const reference = ({ sopClassUID, sopInstanceUID }: InstanceHeader): Dataset => ({
  [tag.ReferencedSOPClassUID]: { vr: 'UI', Value: [sopClassUID] },
  [tag.ReferencedSOPInstanceUID]: { vr: 'UI', Value: [sopInstanceUID] },
})

const unsigned = (value: number | undefined): Attribute => ({ vr: 'US', Value: [value] })

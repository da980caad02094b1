import type { Dataset, Tag } from '../dicom/dataset.ts'
import { linkTag } from '../dicom/private-dictionary.ts'
import { type LinkRecord, type ReportStatus, reportStatuses } from './record.ts'
import { type LinkSource, ownTexts, textsOf, wordIn } from './told.ts'

/** Interpretation Status ID (4008,0212), retired, and its terms by ours. */
export const interpretationStatusTag: Tag = '40080212'
const interpretation = {
  NEW: 'CREATED',
  DICTATED: 'RECORDED',
  TRANSCRIBED: 'TRANSCRIBED',
  APPROVED: 'APPROVED',
} as const satisfies Readonly<Record<ReportStatus, string>>

export const interpretationOf = (status: ReportStatus | 'UNKNOWN'): string | undefined =>
  status === 'UNKNOWN' ? undefined : interpretation[status]

/**
 * How far the report is: as this site was told, else the furthest along of what the copies say. That the record wins
 * even over an archive that is further along lets a report that was called back here be called back.
 */
export function reportStatusOf(
  copies: readonly LinkSource[],
  record: LinkRecord | undefined,
): ReportStatus | 'UNKNOWN' {
  if (record?.reportStatus) return record.reportStatus
  const told = copies.map(({ row }) => toldIn(row))
  return reportStatuses.findLast((status) => told.includes(status)) ?? 'UNKNOWN'
}

const toldIn = (row: Dataset): ReportStatus | undefined =>
  wordIn(reportStatuses, ownTexts(row, linkTag.reportStatus)) ?? interpreted(textsOf(row[interpretationStatusTag]))

const interpreted = (texts: readonly string[]): ReportStatus | undefined =>
  reportStatuses.find((status) => texts.some((text) => text.toUpperCase() === interpretation[status]))

import type { Dataset, MutableDataset, Tag } from '../dicom/dataset.ts'
import { linkTag, mirroringBlock, privateAttribute } from '../dicom/private-dictionary.ts'
import { tag } from '../dicom/tags.ts'
import { day, parseMoment } from '../dicom/temporal.ts'
import { type LinkRecord, type VerifiedStatus, verifiedStatuses } from './record.ts'
import { firstTold, type LinkSource, ownTexts, textsOf, wordIn } from './told.ts'

/** Study Verified Date and Time, retired. */
export const verifiedDateTag: Tag = '00320032'
export const verifiedTimeTag: Tag = '00320033'

/** Whether a study was verified against its order, and when, as a DT; both absent when nobody says. */
export interface Verification {
  readonly status?: VerifiedStatus
  readonly at?: string
}

/** As this site was told, else as the most believed copy says that says something: status and time go together. */
export function verificationOf(copies: readonly LinkSource[], record: LinkRecord | undefined): Verification {
  if (record?.verified) {
    return { status: record.verified, ...(record.verifiedAt && { at: dateTimeText(record.verifiedAt) }) }
  }
  return firstTold(copies, (row) => linked(row) ?? dated(row) ?? mirrored(row)) ?? {}
}

/** As another proxy tells it. */
function linked(row: Dataset): Verification | undefined {
  const status = wordIn(verifiedStatuses, ownTexts(row, linkTag.verified))
  const at = ownTexts(row, linkTag.verifiedAt).find((text) => parseMoment('DT', text))
  return status && { status, ...(status === 'VERIFIED' && at !== undefined && { at }) }
}

/** As archives tell it. */
function dated(row: Dataset): Verification | undefined {
  const date = textsOf(row[verifiedDateTag]).find((text) => parseMoment('DA', text))
  if (date === undefined) return undefined
  const time = textsOf(row[verifiedTimeTag]).find((text) => parseMoment('TM', text)) ?? ''
  const at = date.replaceAll(/\D/g, '') + time.replaceAll(/[^\d.]/g, '')
  return { status: 'VERIFIED', at: at + (zoneOf(row) ?? '') }
}

/** As an archive tells it that another one is mirrored to: a UL, seconds since the epoch, 0 when it never was. */
function mirrored(row: Dataset): Verification | undefined {
  const value = privateAttribute(row, mirroringBlock, '01')?.Value?.[0]
  const seconds = typeof value === 'number' || typeof value === 'string' ? Number(value) : 0
  if (!Number.isInteger(seconds) || seconds <= 0 || seconds > 0xffffffff) return undefined
  return { status: 'VERIFIED', at: dateTimeText(new Date(seconds * 1000)) }
}

/** In UTC, which it says. */
const dateTimeText = (time: Date): string =>
  `${time
    .toISOString()
    .replaceAll(/[-:TZ]/g, '')
    .replace(/\.000$/, '')}+0000`

const zoneOf = (row: Dataset): string | undefined =>
  textsOf(row[tag.TimezoneOffsetFromUTC]).find((text) => /^[+-]\d{4}$/.test(text) && offsetOf(text) !== undefined)

const offsetOf = (zone: string): number | undefined => parseMoment('DT', `2000${zone}`)?.offset

/**
 * Study Verified Date and Time as the row's other dates and times are: in the zone that it names (0008,0201), else in
 * UTC. A time without a zone stays as it is.
 */
export function verifiedDateAndTime(row: Dataset, { at }: Verification): MutableDataset {
  const [date, time] = local(row, at)
  return {
    [verifiedDateTag]: { vr: 'DA', ...(date && { Value: [date] }) },
    [verifiedTimeTag]: { vr: 'TM', ...(time && { Value: [time] }) },
  }
}

function local(row: Dataset, at: string | undefined): string[] {
  const moment = at === undefined ? undefined : parseMoment('DT', at)
  if (at === undefined || moment === undefined) return []
  const written = /^\d+/.exec(at)?.[0].length ?? 0
  // Without a time there is nothing to move from one zone to another.
  const moved =
    moment.offset === undefined || moment.span >= day ? 0 : (offsetOf(zoneOf(row) ?? '') ?? 0) - moment.offset
  const [date = '', time = ''] = new Date((moment.at + moved) / 1000).toISOString().replaceAll(/[-:Z]/g, '').split('T')
  // The year alone is no date, and a zone may move the last day of the calendar out of it.
  if (written < 8 || date.length !== 8) return []
  return [date, time.replace(/\.000$/, '').slice(0, written > 13 ? undefined : written - 8)]
}

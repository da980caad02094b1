import type { Narrowing } from '../../db/embedded-search.ts'
import type { Tag } from '../../dicom/dataset.ts'
import { separable } from '../../dicom/match.ts'
import { tag } from '../../dicom/tags.ts'
import { isUid, type Uid } from '../../dicom/uid.ts'
import type { SearchRequest } from '../cluster.ts'
import { maxColumnLength } from './levels.ts'

/**
 * What an index can exclude with certainty; matching proper comes after, so a key that is not understood here
 * narrows nothing.
 */
export function narrowingOf({ study, series, constraints, undated }: SearchRequest): Narrowing {
  const narrow = separable(constraints).filter(({ empty }) => !empty)
  const value = (key: Tag) => narrow.find(({ path }) => path.length === 1 && path[0] === key)?.value ?? ''
  return {
    studies: study === undefined ? uidList(value(tag.StudyInstanceUID)) : [study],
    series: series === undefined ? uidList(value(tag.SeriesInstanceUID)) : [series],
    instances: uidList(value(tag.SOPInstanceUID)),
    ...(undated ? { dateFrom: '', dateTo: '' } : dateRange(value(tag.StudyDate))),
    patientID: literal(value(tag.PatientID)),
    accessionNumber: literal(value(tag.AccessionNumber)),
  }
}

/** List of UID matching, PS3.4 C.2.2.2.2: separated by backslash or, in a URL, by comma (PS3.18 8.3.4.1). */
function uidList(value: string): Uid[] | undefined {
  const uids = value.split(/[,\\]/).map((it) => it.trim())
  return uids.every((it) => isUid(it)) ? uids : undefined
}

/** PS3.4 C.2.2.2.5: a date, or a range open at either end. */
function dateRange(value: string): Pick<Narrowing, 'dateFrom' | 'dateTo'> {
  const [, from, dash, to] = /^(\d{8})?(-)?(\d{8})?$/.exec(value.trim()) ?? []
  if (dash === undefined) return { dateFrom: from, dateTo: from }
  return { dateFrom: from, dateTo: to }
}

/** Single value matching: without wildcards, and not a list. */
function literal(value: string): string | undefined {
  const plain = value.trim()
  return plain !== '' && plain.length < maxColumnLength && !/[*?\\,\0]/.test(plain) ? plain : undefined
}

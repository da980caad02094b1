import type { Uid } from '../../../src/dicom/uid.ts'
import { type NoticedSeries, type Trigger, writeNotice } from '../../../src/link/notice.ts'
import { emptySnapshot, type LinkSnapshot } from '../../../src/link/snapshot.ts'
import type { Version } from '../../../src/link/version.ts'
import type { Content, StudyKind } from './linked-load.ts'

const basicText = '1.2.840.10008.5.1.4.1.1.88.11' as Uid
const softcopy = '1.2.840.10008.5.1.4.1.1.11.1' as Uid
const at = new Date('2026-01-31T10:15:00.000Z')
const sizes = new Map<string, number>()

export const siteId = (index: number): string => `hospital-${String(index).padStart(3, '0')}`

/** Bytes of the notice that tells this, as the product writes it. */
export function noticeBytes(kind: StudyKind, content: Content, version: Version): number {
  const sites = Object.keys(version)
  const key = [kind.name, ...Object.values(content), sites.length].join()
  const known = sizes.get(key)
  if (known !== undefined) return known
  const size = writeNotice(noticeOf(kind, content, version)).length
  sizes.set(key, size)
  return size
}

function noticeOf(kind: StudyKind, content: Content, version: Version) {
  const [site = siteId(0)] = Object.keys(version)
  return {
    ...{ noticeId: '0f8fad5b-d9cb-469f-a165-70867728950e', origin: site, hops: [site], maxHops: 4, issuedAt: at },
    ...{ trigger: 'OBJECT' as Trigger, study: uid(0, 0), version, series: seriesOf(kind, content) },
    attributes: snapshotOf(site, content),
  }
}

function snapshotOf(site: string, { words }: Content): LinkSnapshot {
  const value = words > 1 ? ('APPROVED' as const) : ('DICTATED' as const)
  return {
    ...emptySnapshot,
    homeSite: { site, at },
    reportStatus: words > 0 ? [{ value, site, at }] : [],
    ...{ studyStatus: [], verified: [], comments: [], corrections: [] },
  }
}

function seriesOf({ instances, series, sopClass }: StudyKind, content: Content): NoticedSeries[] {
  const inEach = Math.ceil(instances / series)
  const told = Array.from({ length: Math.ceil(content.images / inEach) }, (_, number) => ({
    seriesInstanceUID: uid(number + 1, 0),
    instances: Array.from({ length: Math.min(inEach, content.images - number * inEach) }, (_, index) => ({
      sopInstanceUID: uid(number + 1, index + 1),
      sopClassUID: sopClass as Uid,
    })),
  }))
  if (content.presentation) told.push(single(98, softcopy))
  if (content.report) told.push(single(99, basicText))
  return told
}

const single = (number: number, sopClassUID: Uid) => ({
  seriesInstanceUID: uid(number, 0),
  instances: [{ sopInstanceUID: uid(number, 1), sopClassUID }],
})

/** As modalities make them: root, device, time, numbers; 56 characters. */
const uid = (series: number, instance: number): Uid =>
  `1.2.840.113619.2.404.3.1679756291.10${String(series).padStart(3, '0')}.1769854500.${1000 + instance}.314` as Uid

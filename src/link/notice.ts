import type { Uid } from '../dicom/uid.ts'
import type { LinkSnapshot } from './snapshot.ts'
import type { Version } from './version.ts'

export const noticeMediaType = 'application/vnd.dicomweb-link.study-update+json'

/** Why a notice was sent. `RESYNC`: the two sites were found to differ, whatever their versions say. */
export const triggers = ['OBJECT', 'STATUS', 'COMMENT', 'VERIFY', 'RESYNC'] as const
export type Trigger = (typeof triggers)[number]

/** One instance that the sender's home cluster holds. */
export interface NoticedInstance {
  readonly sopInstanceUID: Uid
  readonly sopClassUID?: Uid
  /** SHA-256 in hex over the dataset as it is stored: the file without preamble and file meta information. */
  readonly digest?: string
}

export interface NoticedSeries {
  readonly seriesInstanceUID: Uid
  readonly modality?: string
  readonly instances: readonly NoticedInstance[]
}

/** What one site tells another of a study: all that it has of it, never a difference. */
export interface StudyUpdateNotice {
  /** Names the notice, however often it is sent. */
  readonly noticeId: string
  /** Id of the site that tells it. */
  readonly origin: string
  /** Ids of the sites that it came through, the origin first. */
  readonly hops: readonly string[]
  readonly maxHops: number
  readonly issuedAt: Date
  readonly trigger: Trigger
  readonly study: Uid
  readonly version: Version
  readonly attributes: LinkSnapshot
  readonly series: readonly NoticedSeries[]
}

/** The notice as it is sent: JSON in UTF-8. */
export function writeNotice({ study, series, ...notice }: StudyUpdateNotice): Uint8Array {
  const written = { ...notice, studyInstanceUID: study, series: series.map(writtenSeries) }
  return new TextEncoder().encode(JSON.stringify(written))
}

const writtenSeries = ({ instances, ...series }: NoticedSeries) => ({ ...series, instances: instances.map(written) })

const written = ({ digest, ...instance }: NoticedInstance) =>
  digest === undefined ? instance : { ...instance, digest: { alg: 'sha-256', scope: 'dataset', value: digest } }

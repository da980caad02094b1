import type { Uid } from '../dicom/uid.ts'
import type { SaidCorrection } from './correction.ts'

/** Report (interpretation) status, in the order in which a report comes to be. */
export const reportStatuses = ['NEW', 'DICTATED', 'TRANSCRIBED', 'APPROVED'] as const
export type ReportStatus = (typeof reportStatuses)[number]

/** Study status, in the order in which a study is dealt with. */
export const studyStatuses = ['STARTED', 'COMPLETED', 'READ'] as const
/** One of {@link studyStatuses}, or another one that a site keeps: a CS. */
export type StudyStatus = string

export const verifiedStatuses = ['VERIFIED', 'UNVERIFIED', 'FAILED'] as const
export type VerifiedStatus = (typeof verifiedStatuses)[number]

/** A study comment: they are added, never changed. */
export interface StudyComment {
  readonly text: string
  /** Name of the principal who wrote it. */
  readonly author: string
  readonly at: Date
}

/** What this site has been told about a study; what was never told is absent. */
export interface LinkRecord {
  readonly study: Uid
  readonly reportStatus?: ReportStatus
  readonly studyStatus?: StudyStatus
  readonly verified?: VerifiedStatus
  /** When it was verified. */
  readonly verifiedAt?: Date
  /** In the order in which they were added. */
  readonly comments: readonly StudyComment[]
  /** Those that count, one an attribute, in the order of their keywords. */
  readonly corrections: readonly SaidCorrection[]
  /** Counts the changes; 0 when nothing was ever told. */
  readonly version: number
}

/** Of a study nothing was ever told of. */
export const untold = (study: Uid): LinkRecord => ({ study, comments: [], corrections: [], version: 0 })

import type { SaidCorrection } from './correction.ts'
import type { ReportStatus, StudyStatus, VerifiedStatus } from './record.ts'
import type { Said } from './said.ts'

export interface SaidReport extends Said {
  readonly value: ReportStatus
}

export interface SaidStudyStatus extends Said {
  readonly value: StudyStatus
}

export interface SaidVerification extends Said {
  readonly value: VerifiedStatus
  /** Only of `VERIFIED`. */
  readonly verifiedAt?: Date
}

export interface SaidComment extends Said {
  /** Unique among the comments that its site made on the study. */
  readonly number: number
  readonly text: string
  readonly author: string
}

/**
 * All that is told about a study beside its objects, with who told it: what sites send each other. Of a status, and
 * of what an attribute should be, the last word of every site is kept, because which of them counts may change when another site turns out to be the home.
 */
export interface LinkSnapshot {
  /** The site that the study belongs to, and since when it says so. */
  readonly homeSite?: Said
  /** One a site, in the order of the sites. */
  readonly reportStatus: readonly SaidReport[]
  /** One a site, in the order of the sites. */
  readonly studyStatus: readonly SaidStudyStatus[]
  /** One a site, in the order of the sites. */
  readonly verified: readonly SaidVerification[]
  /** In the order of their times, sites and numbers. */
  readonly comments: readonly SaidComment[]
  /** Of an attribute one a site, in the order of their keywords and sites. */
  readonly corrections: readonly SaidCorrection[]
}

export const emptySnapshot: LinkSnapshot = {
  reportStatus: [],
  studyStatus: [],
  verified: [],
  comments: [],
  corrections: [],
}

/** Comments on one study at most, of all sites together. */
export const maxSaidComments = 10_000

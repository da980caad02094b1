import type { ReportStatus, VerifiedStatus } from './record.ts'

/** Who said it, and when. */
export interface Said {
  /** Id of a site. */
  readonly site: string
  readonly at: Date
}

export interface SaidComment extends Said {
  /** Unique among the comments that its site made on the study. */
  readonly number: number
  readonly text: string
  readonly author: string
}

/** All that is told about a study beside its objects, with who told it: what sites send each other. */
export interface LinkSnapshot {
  /** The site that the study belongs to, and since when it says so. */
  readonly homeSite?: Said
  readonly reportStatus?: Said & { readonly value: ReportStatus }
  readonly verified?: Said & { readonly value: VerifiedStatus; readonly verifiedAt?: Date }
  /** In the order of their times. */
  readonly comments: readonly SaidComment[]
}

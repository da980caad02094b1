import type { ReportStatus, VerifiedStatus } from './record.ts'

/** Who said it, and when. */
export interface Said {
  /** Id of a site. */
  readonly site: string
  readonly at: Date
}

export interface SaidReport extends Said {
  readonly value: ReportStatus
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
 * All that is told about a study beside its objects, with who told it: what sites send each other. Of a status the last
 * word of every site is kept, because which of them counts may change when another site turns out to be the home.
 */
export interface LinkSnapshot {
  /** The site that the study belongs to, and since when it says so. */
  readonly homeSite?: Said
  /** One a site, in the order of the sites. */
  readonly reportStatus: readonly SaidReport[]
  /** One a site, in the order of the sites. */
  readonly verified: readonly SaidVerification[]
  /** In the order of their times, sites and numbers. */
  readonly comments: readonly SaidComment[]
}

export const emptySnapshot: LinkSnapshot = { reportStatus: [], verified: [], comments: [] }

/** Comments on one study at most, of all sites together. */
export const maxSaidComments = 10_000

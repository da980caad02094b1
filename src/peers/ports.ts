import type { Uid } from '../dicom/uid.ts'
import type { NoticedSeries, StudyUpdateNotice, Trigger } from '../link/notice.ts'
import type { Receipt } from '../link/receipt.ts'
import type { LinkSnapshot } from '../link/snapshot.ts'
import type { Version } from '../link/version.ts'

/** A notice that there is something to be done about. */
export interface OpenNotice {
  readonly noticeId: string
  readonly trigger: Trigger
  readonly version: Version
  readonly series: readonly NoticedSeries[]
}

/** How a notice ended; the counts are of the instances in its manifest. */
export interface NoticeOutcome {
  readonly state: 'COMPLETE' | 'PARTIAL'
  readonly held: number
  readonly pulled: number
  readonly refused: number
}

/** The notices that were received, `db/notices.ts` behind it. */
export interface Notices {
  find(
    noticeId: string,
  ): Promise<{ readonly origin: string; readonly bodyDigest: string; readonly receipt: Receipt } | undefined>
  /** Keeps the notice, merges what it says, and queues the pull under `queue`: all of it or nothing. */
  accept(notice: StudyUpdateNotice, kept: { readonly bodyDigest: string; readonly queue: string }): Promise<Receipt>
  /** The oldest first. */
  open(origin: string, study: Uid, limit: number): Promise<readonly OpenNotice[]>
  start(noticeIds: readonly string[]): Promise<void>
  /** Joins its version into ours as well. */
  settle(noticeId: string, outcome: NoticeOutcome): Promise<void>
  fail(origin: string, study: Uid, error: string): Promise<void>
  /** Fails those whose pull is no job any more. */
  failAbandoned(error: string): Promise<void>
  /** Forgets those that ended longer ago. */
  prune(olderThanMs: number): Promise<number>
}

export interface Versions {
  of(study: Uid): Promise<Version>
  ofAll(studies: readonly Uid[]): Promise<ReadonlyMap<Uid, Version>>
}

/** What was told about a study here. */
export type SnapshotOf = (study: Uid) => Promise<LinkSnapshot>

/** What a peer was told last of a study. */
export interface Told {
  readonly version: Version
  /** As `uidsDigest` of `dicom/digest.ts` makes it of the SOP Instance UIDs. */
  readonly manifest: string
}

export interface TellingMemory {
  last(study: Uid, peer: string): Promise<Told | undefined>
  remember(study: Uid, peer: string, told: Told): Promise<void>
}

/** Which instances at home came from another site. */
export interface Visitors {
  /** Each site that brings an instance marks it for itself. */
  mark(study: Uid, instances: readonly Uid[], origin: string): Promise<void>
  /** They did not come from there after all; what others have marked stays marked. */
  forget(study: Uid, instances: readonly Uid[], origin: string): Promise<void>
}

/** What was deleted here on purpose. */
export interface Buried {
  readonly whole: boolean
  readonly instances: ReadonlySet<Uid>
}

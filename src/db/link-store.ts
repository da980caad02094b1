import { asc, desc, eq } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import { type LinkChange, type LinkField, planChange } from '../link/change.ts'
import type { LinkRecord } from '../link/record.ts'
import { sayPlan } from '../link/snapshot-change.ts'
import type { Queries } from './connect.ts'
import { requestConverge } from './converge-jobs.ts'
import { guard } from './errors.ts'
import { lockStudy, readRecords } from './link-state.ts'
import { writeSnapshot } from './link-write.ts'
import { linkAudit } from './schema.ts'
import { raiseVersion } from './study-version.ts'

/*
 * What this site was told about studies. A change locks the row of its study first, reads what is there, and writes
 * the new state, the comments and the audit trail in one transaction: of two proxies on one database the second sees
 * what the first has done. Times are the database's, read after the lock was had, so that they go up with the versions.
 */

export interface ChangeOptions {
  /** Name of the principal. */
  readonly author: string
  /** The change is made only to a record of one of these versions; absent: to any. */
  readonly ifVersion?: readonly number[] | undefined
}

export type ChangeResult =
  | {
      readonly status: 'changed'
      readonly record: LinkRecord
      readonly fields: readonly LinkField[]
      /** Report or study status went back. */
      readonly forced: boolean
    }
  /** The record said all of it already. */
  | { readonly status: 'unchanged'; readonly record: LinkRecord }
  | { readonly status: 'version-mismatch'; readonly record: LinkRecord }

/** One line of the audit trail. */
export interface LinkAudit {
  /** The version that the change made. */
  readonly version: number
  readonly at: Date
  /** Name of the principal, or id of the site that told it. */
  readonly who: string
  readonly field: LinkField
  /** Null: it was never told before. */
  readonly from: string | null
  /** Of a comment its number, counted from 1, of a correction its keyword; null: it is not told any more. */
  readonly to: string | null
  readonly forced: boolean
}

/** What was told of these studies; those of which nothing was told are not among them. */
export const linkRecordsOf = (db: Queries, studies: readonly Uid[]): Promise<Map<Uid, LinkRecord>> =>
  guard('read link attributes', () => readRecords(db, studies))

export interface Changing extends ChangeOptions {
  /** Id of this site. */
  readonly site: string
  /** Clusters that are to be told of it. */
  readonly targets: readonly string[]
}

/**
 * Makes a change, whole or not at all: with it come one more change of this site in the study's version, and the
 * requests to tell others. Throws `conflict` as {@link planChange} and {@link sayPlan} do, and then changes nothing.
 */
export const changeLinkRecord = (
  db: Queries,
  study: Uid,
  change: LinkChange,
  { site, targets, author, ifVersion }: Changing,
): Promise<ChangeResult> =>
  guard('change link attributes', () =>
    db.transaction(async (tx) => {
      const before = await lockStudy(tx, study, site)
      const { record: current, snapshot, now } = before
      if (ifVersion && !ifVersion.includes(current.version)) return { status: 'version-mismatch', record: current }
      const plan = planChange(current, change)
      if (!plan) return { status: 'unchanged', record: current }
      const after = sayPlan(snapshot, { record: current, plan }, { site, author, now })
      const written = await writeSnapshot(tx, before, { after, who: author, forced: plan.forced })
      await raiseVersion(tx, study, site)
      await requestConverge(tx, study, targets)
      return { status: 'changed', ...written, forced: plan.forced.length > 0 }
    }),
  )

/** The last changes of a study, the newest first, at most `limit`. */
export const linkHistoryOf = (db: Queries, study: Uid, limit: number): Promise<LinkAudit[]> =>
  guard('read the history of link attributes', () => {
    const { version, at, who, field, from, to, forced } = linkAudit
    return db
      .select({ version, at, who, field, from, to, forced })
      .from(linkAudit)
      .where(eq(linkAudit.studyInstanceUID, study))
      .orderBy(desc(linkAudit.version), asc(linkAudit.ordinal))
      .limit(limit)
  })

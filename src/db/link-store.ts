import { and, asc, desc, eq, gt, sql } from 'drizzle-orm'
import { LinkError } from '../core/errors.ts'
import type { Uid } from '../dicom/uid.ts'
import { type ChangePlan, type LinkChange, type LinkField, planChange } from '../link/change.ts'
import type { LinkRecord, StudyComment } from '../link/record.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { linkAudit, linkComment, linkStudy } from './schema.ts'

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
      /** The report status went back. */
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
  /** Name of the principal. */
  readonly who: string
  readonly field: LinkField
  /** Null: it was never told before. */
  readonly from: string | null
  /** Of a comment its number, counted from 1; null: it is not told any more. */
  readonly to: string | null
  readonly forced: boolean
}

/** What was told of these studies; those of which nothing was told are not among them. */
export const linkRecordsOf = (db: Queries, studies: readonly Uid[]): Promise<Map<Uid, LinkRecord>> =>
  guard('read link attributes', () => readRecords(db, studies))

/**
 * Makes a change, whole or not at all. Throws `conflict` as {@link planChange} does, and then changes nothing.
 */
export const changeLinkRecord = (
  db: Queries,
  study: Uid,
  change: LinkChange,
  options: ChangeOptions,
): Promise<ChangeResult> =>
  guard('change link attributes', () =>
    db.transaction(async (tx) => {
      await lockStudy(tx, study)
      const current = (await readRecords(tx, [study])).get(study) ?? { study, comments: [], version: 0 }
      if (options.ifVersion && !options.ifVersion.includes(current.version)) {
        return { status: 'version-mismatch', record: current }
      }
      const plan = planChange(current, change)
      return plan ? write(tx, current, { plan, author: options.author }) : { status: 'unchanged', record: current }
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

/** Nobody else changes the study until the transaction ends; there is a row to be locked from now on. */
async function lockStudy(tx: Queries, study: Uid): Promise<void> {
  await tx.insert(linkStudy).values({ studyInstanceUID: study }).onConflictDoNothing()
  await tx
    .select({ version: linkStudy.version })
    .from(linkStudy)
    .where(eq(linkStudy.studyInstanceUID, study))
    .for('update')
}

async function readRecords(db: Queries, studies: readonly Uid[]): Promise<Map<Uid, LinkRecord>> {
  if (studies.length === 0) return new Map()
  const states = await db
    .select()
    .from(linkStudy)
    .where(and(isOneOf(linkStudy.studyInstanceUID, studies), gt(linkStudy.version, 0)))
  if (states.length === 0) return new Map()
  const comments = await readComments(db, new Map(states.map((state) => [state.studyInstanceUID, state.version])))
  return new Map(states.map((state) => [state.studyInstanceUID, asRecord(state, comments.get(state.studyInstanceUID))]))
}

/** Of each study those of its version and before: it may have changed since its state was read. */
async function readComments(db: Queries, versions: ReadonlyMap<Uid, number>): Promise<Map<Uid, StudyComment[]>> {
  const rows = await db
    .select()
    .from(linkComment)
    .where(isOneOf(linkComment.studyInstanceUID, [...versions.keys()]))
    .orderBy(asc(linkComment.studyInstanceUID), asc(linkComment.number))
  const byStudy = new Map<Uid, StudyComment[]>()
  for (const { studyInstanceUID, version, text, author, at } of rows) {
    if (version > (versions.get(studyInstanceUID) ?? 0)) continue
    const known = byStudy.get(studyInstanceUID)
    if (known) known.push({ text, author, at })
    else byStudy.set(studyInstanceUID, [{ text, author, at }])
  }
  return byStudy
}

/** One parameter however many they are; UIDs are digits and dots, which an array literal takes as they are. */
const isOneOf = (
  column: typeof linkStudy.studyInstanceUID | typeof linkComment.studyInstanceUID,
  uids: readonly Uid[],
) => sql`${column} = any(${`{${uids.join(',')}}`}::text[])`

type State = typeof linkStudy.$inferSelect

const asRecord = (
  { studyInstanceUID, reportStatus, verified, verifiedAt, version }: State,
  comments: readonly StudyComment[] = [],
): LinkRecord => ({
  study: studyInstanceUID,
  ...(reportStatus && { reportStatus }),
  ...(verified && { verified }),
  ...(verifiedAt && { verifiedAt }),
  comments,
  version,
})

interface Work {
  readonly plan: ChangePlan
  readonly author: string
}

async function write(tx: Queries, before: LinkRecord, work: Work): Promise<ChangeResult> {
  const state = await writeState(tx, before, work)
  const comments = work.plan.comments.map((text) => ({ text, author: work.author, at: state.updatedAt }))
  const record = asRecord(state, [...before.comments, ...comments])
  await writeComments(tx, record, comments)
  const steps = stepsOf(before, record)
  await writeAudit(tx, state, steps, work)
  const fields = [...new Set(steps.map(({ field }) => field))]
  return { status: 'changed', record, fields, forced: work.plan.forced }
}

/** Read when the lock is had, to the millisecond: what is written is what is read again. */
const time = sql`date_trunc('milliseconds', clock_timestamp())`

async function writeState(tx: Queries, { study }: LinkRecord, { plan, author }: Work): Promise<State> {
  const { reportStatus, verified, verifiedAt } = plan
  const [state] = await tx
    .update(linkStudy)
    .set({
      ...(reportStatus && { reportStatus }),
      ...(verified && { verified }),
      ...(verifiedAt !== undefined && { verifiedAt: verifiedAt === 'now' ? time : verifiedAt }),
      version: sql`${linkStudy.version} + 1`,
      updatedAt: time,
      updatedBy: author,
    })
    .where(eq(linkStudy.studyInstanceUID, study))
    .returning()
  if (!state) throw new LinkError('internal', `the locked row of study ${study} is gone`)
  return state
}

async function writeComments(tx: Queries, after: LinkRecord, added: readonly StudyComment[]): Promise<void> {
  if (added.length === 0) return
  const { study: studyInstanceUID, version } = after
  const first = after.comments.length - added.length + 1
  const rows = added.map((comment, index) => ({ studyInstanceUID, version, number: first + index, ...comment }))
  await tx.insert(linkComment).values(rows)
}

type Step = Pick<LinkAudit, 'field' | 'from' | 'to'>

/** From one state to the next, field by field. */
function stepsOf(before: LinkRecord, after: LinkRecord): Step[] {
  const told = (record: LinkRecord) => ({
    reportStatus: record.reportStatus ?? null,
    verified: record.verified ?? null,
    verifiedAt: record.verifiedAt?.toISOString() ?? null,
  })
  const [from, to] = [told(before), told(after)]
  const fields = ['reportStatus', 'verified', 'verifiedAt'] as const
  const changed = fields.filter((field) => from[field] !== to[field])
  const comments = after.comments.slice(before.comments.length).map((_, index) => before.comments.length + index + 1)
  return [
    ...changed.map((field) => ({ field, from: from[field], to: to[field] })),
    ...comments.map((number) => ({ field: 'comments' as const, from: null, to: String(number) })),
  ]
}

async function writeAudit(tx: Queries, state: State, steps: readonly Step[], { plan, author }: Work): Promise<void> {
  const { studyInstanceUID, version, updatedAt: at } = state
  const rows = steps.map((step, ordinal) => ({
    ...step,
    studyInstanceUID,
    version,
    ordinal,
    at,
    who: author,
    forced: plan.forced && step.field === 'reportStatus',
  }))
  await tx.insert(linkAudit).values(rows)
}

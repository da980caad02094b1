import { and, asc, eq, gt, sql } from 'drizzle-orm'
import { LinkError } from '../core/errors.ts'
import type { Uid } from '../dicom/uid.ts'
import type { SaidCorrection } from '../link/correction.ts'
import { mergeSnapshots } from '../link/merge.ts'
import { type LinkRecord, type StudyComment, untold } from '../link/record.ts'
import {
  emptySnapshot,
  type LinkSnapshot,
  type SaidComment,
  type SaidReport,
  type SaidStudyStatus,
  type SaidVerification,
} from '../link/snapshot.ts'
import type { Queries } from './connect.ts'
import { linkComment, linkSaid, linkStudy } from './schema.ts'
import { clockTime } from './study-version.ts'

/*
 * The rows of what is told about a study. What counts of it, the record, is kept beside who said what, the snapshot, so
 * that queries read it as it is. Who writes has locked the study's row first, and has read both after that.
 */

/** A study as it is once it is locked. */
export interface LockedStudy {
  readonly record: LinkRecord
  readonly snapshot: LinkSnapshot
  /** Of the database, read when the lock was had, so that times go up with the versions. */
  readonly now: Date
}

/**
 * Nobody else changes the study until the transaction ends; there is a row to be locked from now on. `site`: id of this
 * site.
 */
export async function lockStudy(tx: Queries, study: Uid, site: string): Promise<LockedStudy> {
  await tx.insert(linkStudy).values({ studyInstanceUID: study }).onConflictDoNothing()
  await tx
    .select({ version: linkStudy.version })
    .from(linkStudy)
    .where(eq(linkStudy.studyInstanceUID, study))
    .for('update')
  const [row] = await tx
    .select({ now: sql<Date>`${clockTime}`.mapWith(linkStudy.updatedAt) })
    .from(linkStudy)
    .where(eq(linkStudy.studyInstanceUID, study))
  if (!row) throw new LinkError('internal', `the locked row of study ${study} is gone`)
  const record = (await readRecords(tx, [study])).get(study) ?? untold(study)
  return { record, snapshot: await readSnapshot(tx, study, site), now: row.now }
}

export async function readRecords(db: Queries, studies: readonly Uid[]): Promise<Map<Uid, LinkRecord>> {
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
  { studyInstanceUID, reportStatus, studyStatus, verified, verifiedAt, corrections, version }: State,
  comments: readonly StudyComment[] = [],
): LinkRecord => ({
  study: studyInstanceUID,
  ...(reportStatus && { reportStatus }),
  ...(studyStatus && { studyStatus }),
  ...(verified && { verified }),
  ...(verifiedAt && { verifiedAt }),
  comments,
  corrections: correctionsIn({ corrections }),
  version,
})

/** What nobody is said to have told was told here, at `site`: it is older than the knowledge of other sites. */
export async function readSnapshot(db: Queries, study: Uid, site: string): Promise<LinkSnapshot> {
  const [state] = await db.select().from(linkStudy).where(eq(linkStudy.studyInstanceUID, study))
  if (!state) return emptySnapshot
  const said = await db.select().from(linkSaid).where(eq(linkSaid.studyInstanceUID, study))
  const comments = await db.select().from(linkComment).where(eq(linkComment.studyInstanceUID, study))
  const { homeSite, homeSince } = state
  return mergeSnapshots(emptySnapshot, {
    ...(homeSite && homeSince && { homeSite: { site: homeSite, at: homeSince } }),
    ...wordsIn(said, state, site),
    comments: comments.map((row) => commentIn(row, site)),
  })
}

function wordsIn(said: readonly Words[], state: State, site: string) {
  const reportStatus = said.flatMap(reportIn)
  const verified = said.flatMap(verificationIn)
  const here = { ...state, site, reportSaidAt: state.updatedAt, verifiedSaidAt: state.updatedAt }
  return {
    reportStatus: reportStatus.length > 0 ? reportStatus : reportIn(here),
    studyStatus: said.flatMap(studyStatusIn),
    verified: verified.length > 0 ? verified : verificationIn(here),
    corrections: said.flatMap(correctionsIn),
  }
}

type Words = typeof linkSaid.$inferSelect
type Report = Pick<Words, 'site' | 'reportStatus' | 'reportSaidAt'>
type Verified = Pick<Words, 'site' | 'verified' | 'verifiedAt' | 'verifiedSaidAt'>

const reportIn = ({ site, reportStatus: value, reportSaidAt: at }: Report): SaidReport[] =>
  value && at ? [{ site, value, at }] : []

const studyStatusIn = ({ site, studyStatus: value, studyStatusSaidAt: at }: Words): SaidStudyStatus[] =>
  value && at ? [{ site, value, at }] : []

const correctionsIn = ({ corrections }: Pick<Words, 'corrections'>): SaidCorrection[] =>
  (corrections ?? []).map(({ at, ...correction }) => ({ ...correction, at: new Date(at) }))

const verificationIn = ({ site, verified: value, verifiedAt, verifiedSaidAt: at }: Verified): SaidVerification[] =>
  value && at ? [{ site, value, ...(verifiedAt && { verifiedAt }), at }] : []

const commentIn = (row: typeof linkComment.$inferSelect, here: string): SaidComment => {
  const { site, siteNumber, number, text, author, at } = row
  return { site: site ?? here, number: siteNumber ?? number, text, author, at }
}

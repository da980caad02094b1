import { and, asc, eq, exists, getTableColumns, inArray, isNotNull, isNull, lt, not, type SQL, sql } from 'drizzle-orm'
import { LinkError } from '../core/errors.ts'
import type { Uid } from '../dicom/uid.ts'
import type { NoticedSeries, StudyUpdateNotice, Trigger } from '../link/notice.ts'
import type { Receipt, ReceiptState } from '../link/receipt.ts'
import { joinVersions, maxSites, type Version } from '../link/version.ts'
import type { Queries } from './connect.ts'
import { insertRequests } from './converge-jobs.ts'
import { guard } from './errors.ts'
import { mergeSnapshot } from './link-snapshot.ts'
import { convergeJob, studyNotice } from './schema.ts'
import { joinVersion, versionOf } from './study-version.ts'

/*
 * Notices of other sites, from the moment they are accepted until a while after they were dealt with.
 *
 *   acceptNotice            startNotices              settleNotices
 *   ────────────► ACCEPTED ──────────────► PULLING ───────────────► COMPLETE | PARTIAL ── pruneNotices ──► (no row)
 *                     │                       │                                               ▲
 *                     └───────────────────────┴───── failNotices ───► FAILED ─────────────────┘
 *
 * A notice that is open has its manifest; the manifest goes when the notice ends, and an ended one never changes again.
 * Rows are touched in one order: notices by their ids, then the link attributes of the study, its version, its jobs.
 */

export interface KnownNotice {
  readonly origin: string
  readonly bodyDigest: string
  readonly receipt: Receipt
}

export const findNotice = (db: Queries, noticeId: string): Promise<KnownNotice | undefined> =>
  guard('look up a notice', () => readNotice(db, noticeId))

export interface AcceptOptions {
  /** Id of this site. */
  readonly site: string
  /** Of the notice as it was sent. */
  readonly bodyDigest: string
  /** The queue in which the pull is requested. */
  readonly queue: string
}

/**
 * Keeps the notice, merges what it says of the study, and requests the pull: all of it or nothing. Of a notice that is
 * known already, also when another proxy is just accepting it, nothing is done and its receipt is given. Throws
 * `unprocessable` when another notice is known under its id, `conflict` when more would be kept of the study than may
 * be.
 */
export const acceptNotice = (db: Queries, notice: StudyUpdateNotice, options: AcceptOptions): Promise<Receipt> =>
  guard('accept a notice', () =>
    db.transaction(async (tx) => {
      const isNew = await insertNotice(tx, notice, options.bodyDigest)
      if (isNew) await takeIn(tx, notice, options)
      const known = await readNotice(tx, notice.noticeId)
      if (!known) throw new LinkError('internal', `notice ${notice.noticeId} is gone`)
      if (known.origin === notice.origin && known.bodyDigest === options.bodyDigest) return known.receipt
      throw new LinkError('unprocessable', `noticeId: ${notice.noticeId} names another notice; take a new one for each`)
    }),
  )

/** Waits for whoever is inserting the same one. */
async function insertNotice(tx: Queries, notice: StudyUpdateNotice, bodyDigest: string): Promise<boolean> {
  const { noticeId, origin, study, trigger, version, series } = notice
  const promised = series.reduce((sum, { instances }) => sum + instances.length, 0)
  const row = { noticeId, origin, studyInstanceUID: study, trigger, version, bodyDigest, manifest: series, promised }
  const inserted = await tx
    .insert(studyNotice)
    .values(row)
    .onConflictDoNothing()
    .returning({ noticeId: studyNotice.noticeId })
  return inserted.length > 0
}

async function takeIn(tx: Queries, notice: StudyUpdateNotice, { site, queue }: AcceptOptions): Promise<void> {
  const { study, origin: from, attributes, version } = notice
  if (Object.keys(joinVersions(await versionOf(tx, study), version)).length > maxSites) {
    throw new LinkError('conflict', `version: with it the study would have changes of more than ${maxSites} sites`)
  }
  await mergeSnapshot(tx, study, attributes, { site, from })
  await insertRequests(tx, [{ studyInstanceUID: study, cluster: queue }])
}

export interface OpenNotice {
  readonly noticeId: string
  readonly trigger: Trigger
  readonly version: Version
  readonly series: readonly NoticedSeries[]
}

/** What of a site's notices of the study is still to be dealt with, the oldest first, at most `limit`. */
export const openNotices = (db: Queries, origin: string, study: Uid, limit: number): Promise<OpenNotice[]> =>
  guard('read open notices', async () => {
    const { noticeId, trigger, version, manifest } = studyNotice
    const rows = await db
      .select({ noticeId, trigger, version, manifest })
      .from(studyNotice)
      .where(openOf(origin, study))
      .orderBy(asc(studyNotice.receivedAt), asc(noticeId))
      .limit(limit)
    return rows.map(({ manifest: series, ...notice }) => ({ ...notice, series: series ?? [] }))
  })

/** What they promise is being pulled. */
export const startNotices = (db: Queries, noticeIds: readonly string[]): Promise<void> =>
  guard('start notices', () =>
    db.transaction(async (tx) => {
      const open = await lockOpen(tx, inArray(studyNotice.noticeId, [...noticeIds]))
      await update(tx, open, { state: 'PULLING' })
    }),
  )

export interface NoticeOutcome {
  readonly state: 'COMPLETE' | 'PARTIAL'
  readonly held: number
  readonly pulled: number
  readonly refused: number
}

/** This site has what they promised, as far as it takes it, and with it their versions. */
export const settleNotices = (db: Queries, noticeIds: readonly string[], outcome: NoticeOutcome): Promise<void> =>
  guard('settle notices', () =>
    db.transaction(async (tx) => {
      const open = await lockOpen(tx, inArray(studyNotice.noticeId, [...noticeIds]))
      const { state, held, pulled, refused } = outcome
      await update(tx, open, { state, held, pulled, refused, error: null, manifest: null })
      for (const { study, version } of open.toSorted((a, b) => (a.study < b.study ? -1 : 1))) {
        await joinVersion(tx, study, version)
      }
    }),
  )

/** What the site promised of the study is not pulled any more. `error` is for the origin to read. */
export const failNotices = (db: Queries, origin: string, study: Uid, error: string): Promise<void> =>
  guard('fail notices', () =>
    db.transaction(async (tx) => {
      const open = await lockOpen(tx, openOf(origin, study))
      await update(tx, open, { state: 'FAILED', error: error.slice(0, 1000), manifest: null })
    }),
  )

/**
 * Fails the notices that nobody pulls any more, what a crash between giving up a pull and saying so has left. Their
 * pulls are jobs of the queue that is the origin's id with this behind it.
 */
export const failAbandonedNotices = (db: Queries, behind: string, error: string): Promise<void> =>
  guard('fail abandoned notices', async () => {
    const { studyInstanceUID, origin, manifest } = studyNotice
    const pull = and(
      eq(convergeJob.studyInstanceUID, studyInstanceUID),
      eq(convergeJob.cluster, sql`${origin} || ${behind}::text`),
      isNull(convergeJob.deadSince),
    )
    const isPulled = exists(db.select({ one: sql`1` }).from(convergeJob).where(pull))
    const rows = await db
      .selectDistinct({ origin, study: studyInstanceUID })
      .from(studyNotice)
      .where(and(isNotNull(manifest), not(isPulled)))
    for (const { origin, study } of rows) await failNotices(db, origin, study, error)
  })

/** Forgets the notices that ended longer ago than this; how many they were. */
export const pruneNotices = (db: Queries, olderThanMs: number): Promise<number> =>
  guard('forget old notices', async () => {
    const past = sql`now() - ${olderThanMs / 1000} * interval '1 second'`
    const rows = await db
      .delete(studyNotice)
      .where(and(isNull(studyNotice.manifest), lt(studyNotice.updatedAt, past)))
      .returning({ noticeId: studyNotice.noticeId })
    return rows.length
  })

const openOf = (origin: string, study: Uid) =>
  and(eq(studyNotice.origin, origin), eq(studyNotice.studyInstanceUID, study), isNotNull(studyNotice.manifest))

interface Locked {
  readonly noticeId: string
  readonly study: Uid
  readonly version: Version
}

const lockOpen = (tx: Queries, which: SQL | undefined): Promise<Locked[]> =>
  tx
    .select({ noticeId: studyNotice.noticeId, study: studyNotice.studyInstanceUID, version: studyNotice.version })
    .from(studyNotice)
    .where(and(which, isNotNull(studyNotice.manifest)))
    .orderBy(asc(studyNotice.noticeId))
    .for('update')

const update = (tx: Queries, notices: readonly Locked[], set: Partial<typeof studyNotice.$inferInsert>) =>
  tx
    .update(studyNotice)
    .set({ ...set, updatedAt: sql`now()` })
    .where(
      inArray(
        studyNotice.noticeId,
        notices.map(({ noticeId }) => noticeId),
      ),
    )

async function readNotice(db: Queries, noticeId: string): Promise<KnownNotice | undefined> {
  const { manifest: _, version: __, trigger: ___, ...columns } = getTableColumns(studyNotice)
  const [row] = await db.select(columns).from(studyNotice).where(eq(studyNotice.noticeId, noticeId))
  return row && { origin: row.origin, bodyDigest: row.bodyDigest, receipt: receiptOf(row) }
}

interface Kept extends Omit<Receipt, 'error' | 'study'> {
  readonly studyInstanceUID: Uid
  readonly state: ReceiptState
  readonly error: string | null
}

const receiptOf = ({ noticeId, studyInstanceUID: study, state, error, ...row }: Kept): Receipt => ({
  noticeId,
  study,
  state,
  promised: row.promised,
  held: row.held,
  pulled: row.pulled,
  refused: row.refused,
  ...(error !== null && { error }),
  receivedAt: row.receivedAt,
  updatedAt: row.updatedAt,
})

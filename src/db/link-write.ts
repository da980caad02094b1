import { isDeepStrictEqual } from 'node:util'
import { eq, sql } from 'drizzle-orm'
import type { LinkField, OrderedField } from '../link/change.ts'
import type { SaidCorrection } from '../link/correction.ts'
import { commentsAdded, standing, standingCorrections } from '../link/merge.ts'
import type { LinkRecord } from '../link/record.ts'
import type { Said } from '../link/said.ts'
import type { LinkSnapshot, SaidComment } from '../link/snapshot.ts'
import type { Queries } from './connect.ts'
import type { LockedStudy } from './link-state.ts'
import { linkAudit, linkComment, linkSaid, linkStudy } from './schema.ts'

export interface Write {
  readonly after: LinkSnapshot
  /** Name of the principal, or id of the site that told it. */
  readonly who: string
  /** Statuses that go back because somebody insists. */
  readonly forced: readonly OrderedField[]
}

export interface Written {
  readonly record: LinkRecord
  /** Without any the record is of the version it was of. */
  readonly fields: readonly LinkField[]
}

/** Writes what is told of a locked study from now on: who said what, what counts of it, and how that changed. */
export async function writeSnapshot(tx: Queries, before: LockedStudy, write: Write): Promise<Written> {
  const added = commentsAdded(before.snapshot, write.after)
  const record = recordOf(before.record, write.after, added)
  const steps = stepsOf(before.record, record)
  await writeWords(tx, record, write.after)
  if (steps.length > 0) {
    await writeComments(tx, record, added)
    await writeAudit(tx, steps, { before, record, write })
  }
  await writeState(tx, steps, { before, record, write })
  return { record, fields: [...new Set(steps.map(({ field }) => field))] }
}

/** What counts. The comments of others come after those that were here before them, however old they are. */
function recordOf(before: LinkRecord, { homeSite, ...said }: LinkSnapshot, added: readonly SaidComment[]): LinkRecord {
  const report = standing(said.reportStatus, homeSite)
  const studyStatus = standing(said.studyStatus, homeSite)
  const verification = standing(said.verified, homeSite)
  const after: LinkRecord = {
    study: before.study,
    ...(report && { reportStatus: report.value }),
    ...(studyStatus && { studyStatus: studyStatus.value }),
    ...(verification && { verified: verification.value }),
    ...(verification?.verifiedAt && { verifiedAt: verification.verifiedAt }),
    comments: [...before.comments, ...added.map(({ text, author, at }) => ({ text, author, at }))],
    corrections: standingCorrections(said.corrections, homeSite),
    version: before.version,
  }
  return { ...after, version: before.version + (stepsOf(before, after).length > 0 ? 1 : 0) }
}

interface Step {
  readonly field: LinkField
  readonly from: string | null
  readonly to: string | null
}

/** From one state to the next, field by field. */
function stepsOf(before: LinkRecord, after: LinkRecord): Step[] {
  const told = (record: LinkRecord) => ({
    reportStatus: record.reportStatus ?? null,
    studyStatus: record.studyStatus ?? null,
    verified: record.verified ?? null,
    verifiedAt: record.verifiedAt?.toISOString() ?? null,
  })
  const [from, to] = [told(before), told(after)]
  const fields = ['reportStatus', 'studyStatus', 'verified', 'verifiedAt'] as const
  const changed = fields.filter((field) => from[field] !== to[field])
  const comments = after.comments.slice(before.comments.length).map((_, index) => before.comments.length + index + 1)
  return [
    ...changed.map((field) => ({ field, from: from[field], to: to[field] })),
    ...comments.map((number) => ({ field: 'comments' as const, from: null, to: String(number) })),
    ...correctionSteps(before, after),
  ]
}

/** By keyword, never by value: they are about a patient. */
function correctionSteps(before: LinkRecord, after: LinkRecord): Step[] {
  const known = new Map(before.corrections.map((correction) => [correction.keyword, correction]))
  const changed = after.corrections.filter(
    (correction) => !isDeepStrictEqual(known.get(correction.keyword), correction),
  )
  return changed.map(({ keyword }) => ({
    field: 'corrections' as const,
    from: known.has(keyword) ? keyword : null,
    to: keyword,
  }))
}

/** All of them: also what was told before it was kept who said it. */
async function writeWords(tx: Queries, { study }: LinkRecord, after: LinkSnapshot): Promise<void> {
  const { reportStatus, studyStatus, verified, corrections } = after
  const sites = new Set([...reportStatus, ...studyStatus, ...verified, ...corrections].map(({ site }) => site))
  if (sites.size === 0) return
  const rows = [...sites].map((site) => ({ studyInstanceUID: study, site, ...wordsOf(site, after) }))
  const set = {
    reportStatus: sql`excluded.report_status`,
    reportSaidAt: sql`excluded.report_said_at`,
    studyStatus: sql`excluded.study_status`,
    studyStatusSaidAt: sql`excluded.study_status_said_at`,
    verified: sql`excluded.verified`,
    verifiedAt: sql`excluded.verified_at`,
    verifiedSaidAt: sql`excluded.verified_said_at`,
    corrections: sql`excluded.corrections`,
  }
  const target = [linkSaid.studyInstanceUID, linkSaid.site]
  await tx.insert(linkSaid).values(rows).onConflictDoUpdate({ target, set })
}

function wordsOf(site: string, after: LinkSnapshot) {
  const its = <Word extends Said>(words: readonly Word[]): Word | undefined => words.find((it) => it.site === site)
  const [report, status, verification] = [its(after.reportStatus), its(after.studyStatus), its(after.verified)]
  return {
    reportStatus: report?.value ?? null,
    reportSaidAt: report?.at ?? null,
    studyStatus: status?.value ?? null,
    studyStatusSaidAt: status?.at ?? null,
    verified: verification?.value ?? null,
    verifiedAt: verification?.verifiedAt ?? null,
    verifiedSaidAt: verification?.at ?? null,
    corrections: kept(after.corrections.filter((it) => it.site === site)),
  }
}

const kept = (corrections: readonly SaidCorrection[]) =>
  corrections.length === 0 ? null : corrections.map((it) => ({ ...it, at: it.at.toISOString() }))

interface Change {
  readonly before: LockedStudy
  readonly record: LinkRecord
  readonly write: Write
}

async function writeState(tx: Queries, steps: readonly Step[], { before, record, write }: Change): Promise<void> {
  const { study, reportStatus = null, studyStatus = null, verified = null, verifiedAt = null, version } = record
  const { homeSite } = write.after
  await tx
    .update(linkStudy)
    .set({
      reportStatus,
      studyStatus,
      verified,
      verifiedAt,
      corrections: kept(record.corrections),
      version,
      homeSite: homeSite?.site ?? null,
      homeSince: homeSite?.at ?? null,
      ...(steps.length > 0 && { updatedAt: before.now, updatedBy: write.who }),
    })
    .where(eq(linkStudy.studyInstanceUID, study))
}

/** Well below what a statement takes in parameters. */
const batchSize = 1000

async function writeComments(tx: Queries, record: LinkRecord, added: readonly SaidComment[]): Promise<void> {
  const { study: studyInstanceUID, version } = record
  const first = record.comments.length - added.length + 1
  const rows = added.map(({ number: siteNumber, ...comment }, index) => ({
    studyInstanceUID,
    version,
    ...comment,
    number: first + index,
    siteNumber,
  }))
  for (let start = 0; start < rows.length; start += batchSize) {
    await tx.insert(linkComment).values(rows.slice(start, start + batchSize))
  }
}

async function writeAudit(tx: Queries, steps: readonly Step[], { before, record, write }: Change): Promise<void> {
  const { study: studyInstanceUID, version } = record
  const rows = steps.map((step, ordinal) => ({
    ...step,
    studyInstanceUID,
    version,
    ordinal,
    at: before.now,
    who: write.who,
    forced: write.forced.some((field) => field === step.field),
  }))
  for (let start = 0; start < rows.length; start += batchSize) {
    await tx.insert(linkAudit).values(rows.slice(start, start + batchSize))
  }
}

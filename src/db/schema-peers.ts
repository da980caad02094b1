import { isNotNull, isNull } from 'drizzle-orm'
import { index, integer, json, jsonb, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { Uid } from '../dicom/uid.ts'
import type { NoticedSeries, Trigger } from '../link/notice.ts'
import type { ReceiptState } from '../link/receipt.ts'
import type { Version } from '../link/version.ts'

/* The tables behind the linking specification; a part of `schema.ts`. */

const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })

/** How many changes of each site are in what this site has of a study. */
export const studyVersion = pgTable(
  'study_version',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().primaryKey(),
    version: jsonb('version').$type<Version>().notNull().default({}),
    /** To the millisecond, so that a program reads it exactly. */
    changedAt: at('changed_at').notNull(),
  },
  (table) => [index('study_version_changed').on(table.changedAt, table.studyInstanceUID)],
)

/** Notices of other sites about studies, until a while after they were dealt with. */
export const studyNotice = pgTable(
  'study_notice',
  {
    noticeId: text('notice_id').primaryKey(),
    origin: text('origin').notNull(),
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    trigger: text('trigger').$type<Trigger>().notNull(),
    version: jsonb('version').$type<Version>().notNull(),
    /** Tells a repeated notice from another one under the same id. */
    bodyDigest: text('body_digest').notNull(),
    /** What the origin holds; null when the notice was dealt with. Read whole, hence not `jsonb`. */
    manifest: json('manifest').$type<readonly NoticedSeries[]>(),
    state: text('state').$type<ReceiptState>().notNull().default('ACCEPTED'),
    /** Instances in the manifest; the next three say what became of them. */
    promised: integer('promised').notNull(),
    held: integer('held').notNull().default(0),
    pulled: integer('pulled').notNull().default(0),
    refused: integer('refused').notNull().default(0),
    error: text('error'),
    receivedAt: at('received_at').notNull().defaultNow(),
    updatedAt: at('updated_at').notNull().defaultNow(),
  },
  (table) => [
    index('study_notice_open').on(table.origin, table.studyInstanceUID).where(isNotNull(table.manifest)),
    index('study_notice_ended').on(table.updatedAt).where(isNull(table.manifest)),
  ],
)

/** Instances at home that came from another site; of several that bring the same one, each marks it for itself. */
export const visitorInstance = pgTable(
  'visitor_instance',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    sopInstanceUID: text('sop_instance_uid').$type<Uid>().notNull(),
    /** Id of the site. */
    origin: text('origin').notNull(),
    at: at('at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.sopInstanceUID, table.origin] })],
)

/** What was deleted here on purpose and does not come back from other sites. */
export const tombstone = pgTable(
  'tombstone',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    /** Empty: all of the study. */
    sopInstanceUID: text('sop_instance_uid').$type<Uid | ''>().notNull(),
    /** Name of the principal. */
    by: text('by').notNull(),
    at: at('at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.sopInstanceUID] })],
)

/** What a peer was told last of a study. */
export const peerTold = pgTable(
  'peer_told',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    peer: text('peer').notNull(),
    version: jsonb('version').$type<Version>().notNull(),
    /** Digest of the manifest. */
    manifest: text('manifest').notNull(),
    at: at('at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.peer] })],
)

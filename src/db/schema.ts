import { isNotNull, isNull } from 'drizzle-orm'
import { bigint, boolean, index, integer, json, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { Dataset } from '../dicom/dataset.ts'
import type { Uid } from '../dicom/uid.ts'
import type { LinkField } from '../link/change.ts'
import type { SaidCorrection } from '../link/correction.ts'
import type { ReportStatus, StudyStatus, VerifiedStatus } from '../link/record.ts'

export * from './schema-peers.ts'

const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })

/** Which cluster was seen to hold something of a study. A hint for where to ask first, repaired when wrong. */
export const studyLocation = pgTable(
  'study_location',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    cluster: text('cluster').notNull(),
    /** Instances of the study at that cluster when last told, or null when it did not say. */
    instances: integer('instances'),
    seenAt: at('seen_at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.cluster] })],
)

/** Keys that all proxies on this database share; made by whichever needs one first. */
export const sharedKey = pgTable('shared_key', {
  name: text('name').primaryKey(),
  /** In hex. */
  value: text('value').notNull(),
})

/** Intent to make one cluster hold all of one study; one row a pair, however often it is asked for. */
export const convergeJob = pgTable(
  'converge_job',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    cluster: text('cluster').notNull(),
    /** Counts the requests; a run that began at a lower generation does not finish the job. */
    generation: integer('generation').notNull().default(1),
    /** Failed runs since the last success or the last request. */
    attempts: integer('attempts').notNull().default(0),
    /** Not before this time. */
    runAt: at('run_at').notNull().defaultNow(),
    /** When the oldest unmet request was made. */
    requestedAt: at('requested_at').notNull().defaultNow(),
    /** Names one claim, not only one process, and until when it holds; a lapsed lease is anybody's. */
    lease: text('lease'),
    leaseUntil: at('lease_until'),
    /** What the last failed run died of, and when. */
    lastError: text('last_error'),
    failedAt: at('failed_at'),
    /** First failure since the last success or the last request. */
    failingSince: at('failing_since'),
    /** A dead letter since then: not tried again by itself. */
    deadSince: at('dead_since'),
  },
  (table) => [
    primaryKey({ columns: [table.studyInstanceUID, table.cluster] }),
    index('converge_job_due').on(table.cluster, table.runAt).where(isNull(table.deadSince)),
    index('converge_job_dead').on(table.cluster, table.studyInstanceUID).where(isNotNull(table.deadSince)),
  ],
)

/** Clusters that are not replicated to until somebody resumes it, by whichever proxy. */
export const pausedCluster = pgTable('paused_cluster', {
  cluster: text('cluster').primaryKey(),
  since: at('since').notNull().defaultNow(),
})

/** Instances that a cluster refuses whatever is done; left out of further runs. */
export const refusedInstance = pgTable(
  'refused_instance',
  {
    cluster: text('cluster').notNull(),
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    sopInstanceUID: text('sop_instance_uid').$type<Uid>().notNull(),
    /** Failure Reason (0008,1197), PS3.18 Table I.2-2. */
    reason: integer('reason').notNull(),
    refusedAt: at('refused_at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.cluster, table.studyInstanceUID, table.sopInstanceUID] })],
)

/**
 * Instances of the embedded clusters; the file lies in the cluster's folder under `path`. The JSON columns are `json`,
 * not `jsonb`: they are only ever read whole, `json` is cheaper to write, and it keeps the NUL characters that real
 * files carry in their texts.
 */
export const embeddedInstance = pgTable(
  'embedded_instance',
  {
    cluster: text('cluster').notNull(),
    sopInstanceUID: text('sop_instance_uid').$type<Uid>().notNull(),
    seriesInstanceUID: text('series_instance_uid').$type<Uid>().notNull(),
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    sopClassUID: text('sop_class_uid').$type<Uid>().notNull(),
    transferSyntaxUID: text('transfer_syntax_uid').$type<Uid>().notNull(),
    /** Instance Number; the largest integer when the instance has none, so that it sorts last. */
    instanceNumber: integer('instance_number').notNull(),
    /** SHA-256 in hex over the dataset, from `datasetOffset` to the end of the file. */
    digest: text('digest').notNull(),
    /** Bytes in the file. */
    size: bigint('size', { mode: 'number' }).notNull(),
    /** Relative to the cluster's folder. */
    path: text('path').notNull(),
    /** What an instance row of a query carries unasked: spares reading `metadata` for plain lists. */
    attributes: json('attributes').$type<Dataset>().notNull(),
    /** DICOM JSON of the whole dataset, bulk data by URI relative to the instance. */
    metadata: json('metadata').$type<Dataset>().notNull(),
    storedAt: at('stored_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.cluster, table.sopInstanceUID] }),
    index('embedded_instance_order').on(
      table.cluster,
      table.studyInstanceUID,
      table.seriesInstanceUID,
      table.instanceNumber,
      table.sopInstanceUID,
    ),
  ],
)

/** One row a study of an embedded cluster: what a worklist needs, kept up to date by `store`. */
export const embeddedStudy = pgTable(
  'embedded_study',
  {
    cluster: text('cluster').notNull(),
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    /** `YYYYMMDD`, or empty when the study has no date. */
    studyDate: text('study_date').notNull().default(''),
    patientID: text('patient_id').notNull().default(''),
    accessionNumber: text('accession_number').notNull().default(''),
    /** Patient and study level attributes: the first stored ones, their blanks filled by later instances. */
    attributes: json('attributes').$type<Dataset>().notNull(),
    /** Totals over the instances: they are only ever added, or go with the study, so each commit adds what it inserted. */
    series: integer('series').notNull().default(0),
    instances: integer('instances').notNull().default(0),
    modalities: text('modalities').array().notNull().default([]),
    sopClasses: text('sop_classes').array().notNull().default([]),
    updatedAt: at('updated_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.cluster, table.studyInstanceUID] }),
    index('embedded_study_date').on(table.cluster, table.studyDate, table.studyInstanceUID),
    index('embedded_study_patient').on(table.cluster, table.patientID),
    index('embedded_study_accession').on(table.cluster, table.accessionNumber),
  ],
)

/** One row a series of an embedded cluster. */
export const embeddedSeries = pgTable(
  'embedded_series',
  {
    cluster: text('cluster').notNull(),
    seriesInstanceUID: text('series_instance_uid').$type<Uid>().notNull(),
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    /** Series level attributes: the first stored ones, their blanks filled by later instances. */
    attributes: json('attributes').$type<Dataset>().notNull(),
    instances: integer('instances').notNull().default(0),
  },
  (table) => [
    primaryKey({ columns: [table.cluster, table.studyInstanceUID, table.seriesInstanceUID] }),
    index('embedded_series_uid').on(table.cluster, table.seriesInstanceUID),
  ],
)

/** A correction as JSON has it. */
type KeptCorrection = Omit<SaidCorrection, 'at'> & { readonly at: string }

/**
 * What is told about a study, one row a study; what was never told is null. Comments are beside it, and so is who said
 * what: of several sites' words these are the ones that count.
 */
export const linkStudy = pgTable('link_study', {
  studyInstanceUID: text('study_instance_uid').$type<Uid>().primaryKey(),
  reportStatus: text('report_status').$type<ReportStatus>(),
  studyStatus: text('study_status').$type<StudyStatus>(),
  verified: text('verified').$type<VerifiedStatus>(),
  verifiedAt: at('verified_at'),
  corrections: json('corrections').$type<readonly KeptCorrection[]>(),
  /** Counts the changes; 0 of a row that was only just made to be locked. */
  version: integer('version').notNull().default(0),
  updatedAt: at('updated_at').notNull().defaultNow(),
  /** Name of the principal, or id of the site, that changed it. */
  updatedBy: text('updated_by'),
  /** The site that the study belongs to, and since when it says so. */
  homeSite: text('home_site'),
  homeSince: at('home_since'),
})

/** The last that each site said of a study's statuses and attributes, one row a site; what it never said is null. */
export const linkSaid = pgTable(
  'link_said',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    site: text('site').notNull(),
    reportStatus: text('report_status').$type<ReportStatus>(),
    reportSaidAt: at('report_said_at'),
    studyStatus: text('study_status').$type<StudyStatus>(),
    studyStatusSaidAt: at('study_status_said_at'),
    verified: text('verified').$type<VerifiedStatus>(),
    verifiedAt: at('verified_at'),
    verifiedSaidAt: at('verified_said_at'),
    corrections: json('corrections').$type<readonly KeptCorrection[]>(),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.site] })],
)

/** Study comments: rows are only ever added. */
export const linkComment = pgTable(
  'link_comment',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    /** From 1, in the order in which they were added. */
    number: integer('number').notNull(),
    /** The version that added it: a reader of an older state does not take it. */
    version: integer('version').notNull(),
    text: text('text').notNull(),
    author: text('author').notNull(),
    at: at('at').notNull(),
    /** Where it was made, and its number there; null: here, under this number. */
    site: text('site'),
    siteNumber: integer('site_number'),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.number] })],
)

/** Who changed what of a study, from what to what: rows are only ever added. */
export const linkAudit = pgTable(
  'link_audit',
  {
    studyInstanceUID: text('study_instance_uid').$type<Uid>().notNull(),
    /** The version that the change made. */
    version: integer('version').notNull(),
    /** What changed; of several comments in one change each has a row. */
    ordinal: integer('ordinal').notNull(),
    field: text('field').$type<LinkField>().notNull(),
    at: at('at').notNull(),
    who: text('who').notNull(),
    /** Null: it was never told before. */
    from: text('from_value'),
    /** Of a comment its number, of a correction its keyword; null: it is not told any more. */
    to: text('to_value'),
    /** Against the order of the status. */
    forced: boolean('forced').notNull().default(false),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.version, table.ordinal] })],
)

/** The sweeps of the clusters for what replication has missed: one row. */
export const sweepTurn = pgTable('sweep_turn', {
  name: text('name').primaryKey(),
  /** When the last one began; a later one is not begun before its time, by whichever proxy. */
  startedAt: at('started_at').notNull(),
  /** When the last one began to which all have answered. */
  completeAt: at('complete_at'),
  /** The day before which the next sample begins, `YYYYMMDD`. */
  before: text('before'),
})

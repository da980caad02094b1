import { sql } from 'drizzle-orm'
import { bigint, index, integer, jsonb, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { Dataset } from '../dicom/dataset.ts'

const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })

/** Which cluster was seen to hold something of a study. A hint for where to ask first, repaired when wrong. */
export const studyLocation = pgTable(
  'study_location',
  {
    studyInstanceUID: text('study_instance_uid').notNull(),
    cluster: text('cluster').notNull(),
    /** Instances of the study at that cluster when last told, or null when it did not say. */
    instances: integer('instances'),
    seenAt: at('seen_at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.studyInstanceUID, table.cluster] })],
)

/** Intent to make one cluster hold all of one study; one row a pair, however often it is asked for. */
export const convergeJob = pgTable(
  'converge_job',
  {
    studyInstanceUID: text('study_instance_uid').notNull(),
    cluster: text('cluster').notNull(),
    /** Counts the requests; a run that began at a lower generation does not finish the job. */
    generation: integer('generation').notNull().default(1),
    /** Failed runs since the last success or the last request. */
    attempts: integer('attempts').notNull().default(0),
    /** Not before this time. */
    runAt: at('run_at').notNull().defaultNow(),
    /** When the oldest unmet request was made. */
    requestedAt: at('requested_at').notNull().defaultNow(),
    /** Who works on it, until when; a lapsed lease is anybody's. */
    leaseOwner: text('lease_owner'),
    leaseUntil: at('lease_until'),
    lastError: text('last_error'),
  },
  (table) => [
    primaryKey({ columns: [table.studyInstanceUID, table.cluster] }),
    index('converge_job_due').on(table.runAt),
  ],
)

/** Instances of the embedded clusters; the file lies in the data directory under `path`. */
export const embeddedInstance = pgTable(
  'embedded_instance',
  {
    cluster: text('cluster').notNull(),
    sopInstanceUID: text('sop_instance_uid').notNull(),
    seriesInstanceUID: text('series_instance_uid').notNull(),
    studyInstanceUID: text('study_instance_uid').notNull(),
    sopClassUID: text('sop_class_uid').notNull(),
    transferSyntaxUID: text('transfer_syntax_uid').notNull(),
    /** SHA-256 in hex over the dataset, from `datasetOffset` to the end of the file. */
    digest: text('digest').notNull(),
    /** Bytes in the file. */
    size: bigint('size', { mode: 'number' }).notNull(),
    /** Relative to the cluster's folder. */
    path: text('path').notNull(),
    /** DICOM JSON of the whole dataset, bulk data by URI relative to the instance. */
    metadata: jsonb('metadata').$type<Dataset>().notNull(),
    storedAt: at('stored_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.cluster, table.sopInstanceUID] }),
    index('embedded_instance_series').on(table.cluster, table.studyInstanceUID, table.seriesInstanceUID),
  ],
)

/** One row a study of an embedded cluster: what a worklist needs, kept up to date by `store`. */
export const embeddedStudy = pgTable(
  'embedded_study',
  {
    cluster: text('cluster').notNull(),
    studyInstanceUID: text('study_instance_uid').notNull(),
    /** `YYYYMMDD`, or empty when the study has no date. */
    studyDate: text('study_date').notNull().default(''),
    patientID: text('patient_id').notNull().default(''),
    accessionNumber: text('accession_number').notNull().default(''),
    /** Patient and study level attributes, with the counts and the modalities of the study. */
    attributes: jsonb('attributes').$type<Dataset>().notNull(),
    updatedAt: at('updated_at').notNull().default(sql`now()`),
  },
  (table) => [
    primaryKey({ columns: [table.cluster, table.studyInstanceUID] }),
    index('embedded_study_date').on(table.cluster, table.studyDate),
    index('embedded_study_patient').on(table.cluster, table.patientID),
  ],
)

/** One row a series of an embedded cluster. */
export const embeddedSeries = pgTable(
  'embedded_series',
  {
    cluster: text('cluster').notNull(),
    seriesInstanceUID: text('series_instance_uid').notNull(),
    studyInstanceUID: text('study_instance_uid').notNull(),
    attributes: jsonb('attributes').$type<Dataset>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.cluster, table.studyInstanceUID, table.seriesInstanceUID] })],
)

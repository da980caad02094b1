import { and, asc, eq, inArray, sql } from 'drizzle-orm'
import type { Dataset } from '../dicom/dataset.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { embeddedInstance, embeddedSeries, embeddedStudy } from './schema.ts'

/** An instance whose file is in place, and what its dataset says of the levels above it. */
export interface NewInstance {
  readonly studyInstanceUID: Uid
  readonly seriesInstanceUID: Uid
  readonly sopInstanceUID: Uid
  readonly sopClassUID: Uid
  readonly transferSyntaxUID: Uid
  readonly instanceNumber: number
  readonly digest: string
  readonly size: number
  /** Of its file; no two instances handed in ever share one. */
  readonly path: string
  readonly attributes: Dataset
  readonly metadata: Dataset
  readonly series: Dataset
  readonly study: Dataset
  readonly modality: string | undefined
}

/**
 * `duplicate`: its UID is there with the same dataset; `replaced`: it was, but its file was lost, and the row is of the
 * new one now; `conflict`: it is there with another dataset, which stays.
 */
export type Added = 'inserted' | 'duplicate' | 'replaced' | 'conflict'

/** The file of an instance, as its row has it. */
export type KnownFile = Pick<NewInstance, 'path' | 'size'>

export interface AddOptions {
  readonly rules: LevelRules
  /** Whether a file is where and as large as its row says. */
  readonly isThere: (file: KnownFile) => Promise<boolean>
}

export interface LevelRules {
  /** The attributes of a study or series after one more of its instances. */
  merge(known: Dataset, incoming: Dataset): Dataset
  /** The columns a search narrows by. */
  columns(study: Dataset): Pick<StudyRow, 'studyDate' | 'patientID' | 'accessionNumber'>
}

type StudyRow = typeof embeddedStudy.$inferSelect
type SeriesRow = typeof embeddedSeries.$inferSelect

/**
 * Adds instances, with the rows of their studies and series, all of them or none: whoever sees an instance sees it
 * counted. Of several with one UID, whether in one call or in several at once, one is inserted: the unique key
 * decides. Answers in the order given.
 */
export const addInstances = (
  db: Queries,
  cluster: string,
  instances: readonly NewInstance[],
  options: AddOptions,
): Promise<Added[]> =>
  guard('store instances', () =>
    db.transaction(async (tx) => {
      const inserted = await insertInstances(tx, cluster, instances)
      const fresh = instances.filter(({ path }) => inserted.has(path))
      if (fresh.length > 0) await countIn(tx, cluster, fresh, options.rules)
      const others = instances.filter(({ path }) => !inserted.has(path))
      const known = await addKnown(tx, cluster, others, options)
      return instances.map(({ path }) => known.get(path) ?? 'inserted')
    }),
  )

async function countIn(db: Queries, cluster: string, fresh: readonly NewInstance[], rules: LevelRules): Promise<void> {
  const studies = await lockStudies(db, cluster, fresh)
  const newSeries = await updateSeries(db, cluster, fresh, rules)
  await updateStudies(db, studies, { fresh, newSeries, rules })
}

/** The paths of those that were not there. Inserted in the order of their UIDs, so that two batches never deadlock. */
async function insertInstances(db: Queries, cluster: string, instances: readonly NewInstance[]): Promise<Set<string>> {
  const rows = instances.map(({ study: _, series: __, modality: ___, ...row }) => ({ cluster, ...row }))
  const inserted = await db
    .insert(embeddedInstance)
    .values(rows.sort(byUid))
    .onConflictDoNothing()
    .returning({ path: embeddedInstance.path })
  return new Set(inserted.map(({ path }) => path))
}

/** What becomes of those whose UIDs are there already, by their paths; in the order of their UIDs as well. */
async function addKnown(
  db: Queries,
  cluster: string,
  instances: readonly NewInstance[],
  { isThere }: AddOptions,
): Promise<Map<string, Added>> {
  const rows = await knownRows(db, cluster, instances)
  const outcomes = new Map<string, Added>()
  for (const instance of instances.toSorted(byUid)) {
    const known = rows.get(instance.sopInstanceUID)
    if (known?.digest !== instance.digest) outcomes.set(instance.path, 'conflict')
    else if (await isThere(known)) outcomes.set(instance.path, 'duplicate')
    else outcomes.set(instance.path, await replaceFile(db, cluster, known, instance))
  }
  return outcomes
}

type KnownRow = KnownFile & Pick<NewInstance, 'digest'>

async function knownRows(
  db: Queries,
  cluster: string,
  instances: readonly NewInstance[],
): Promise<ReadonlyMap<Uid, KnownRow>> {
  if (instances.length === 0) return new Map()
  const uids = instances.map((it) => it.sopInstanceUID)
  const { sopInstanceUID: uid, digest, path, size } = embeddedInstance
  const rows = await db
    .select({ uid, digest, path, size })
    .from(embeddedInstance)
    .where(and(eq(embeddedInstance.cluster, cluster), inArray(uid, uids)))
  return new Map(rows.map((row) => [row.uid, row]))
}

/** Points a row whose file is lost to a new one; `duplicate` when somebody else has just done so. */
async function replaceFile(db: Queries, cluster: string, lost: KnownFile, instance: NewInstance): Promise<Added> {
  // File meta information may differ where datasets are the same.
  const { path, size, transferSyntaxUID, metadata, sopInstanceUID } = instance
  const own = and(eq(embeddedInstance.cluster, cluster), eq(embeddedInstance.sopInstanceUID, sopInstanceUID))
  const rows = await db
    .update(embeddedInstance)
    .set({ path, size, transferSyntaxUID, metadata })
    .where(and(own, eq(embeddedInstance.path, lost.path)))
    .returning({ path: embeddedInstance.path })
  return rows.length > 0 ? 'replaced' : 'duplicate'
}

/** Makes the missing rows and locks all: what follows reads, merges and writes them, and their series, alone. */
async function lockStudies(db: Queries, cluster: string, fresh: readonly NewInstance[]): Promise<StudyRow[]> {
  const uids = [...new Set(fresh.map((it) => it.studyInstanceUID))].sort(order)
  const empty = uids.map((studyInstanceUID) => ({ cluster, studyInstanceUID, attributes: {} }))
  for (;;) {
    await db.insert(embeddedStudy).values(empty).onConflictDoNothing()
    const rows = await db
      .select()
      .from(embeddedStudy)
      .where(and(eq(embeddedStudy.cluster, cluster), inArray(embeddedStudy.studyInstanceUID, uids)))
      .orderBy(asc(embeddedStudy.studyInstanceUID))
      .for('update')
    // One that is missing was removed while its lock was waited for.
    if (rows.length === uids.length) return rows
  }
}

/** Answers the study of each series that was not there, once a series. */
async function updateSeries(db: Queries, cluster: string, fresh: readonly NewInstance[], rules: LevelRules) {
  const uids = [...new Set(fresh.map((it) => it.seriesInstanceUID))]
  const studies = [...new Set(fresh.map((it) => it.studyInstanceUID))]
  const known = await db
    .select()
    .from(embeddedSeries)
    .where(
      and(
        eq(embeddedSeries.cluster, cluster),
        inArray(embeddedSeries.studyInstanceUID, studies),
        inArray(embeddedSeries.seriesInstanceUID, uids),
      ),
    )
  const rows = new Map<string, SeriesRow>(known.map((row) => [seriesKey(row), row]))
  for (const { studyInstanceUID, seriesInstanceUID, series } of fresh) {
    const key = seriesKey({ studyInstanceUID, seriesInstanceUID })
    const row = rows.get(key) ?? { cluster, studyInstanceUID, seriesInstanceUID, attributes: {}, instances: 0 }
    rows.set(key, { ...row, attributes: rules.merge(row.attributes, series), instances: row.instances + 1 })
  }
  await db
    .insert(embeddedSeries)
    .values([...rows.values()])
    .onConflictDoUpdate({
      target: [embeddedSeries.cluster, embeddedSeries.studyInstanceUID, embeddedSeries.seriesInstanceUID],
      set: { attributes: sql`excluded.attributes`, instances: sql`excluded.instances` },
    })
  const old = new Set(known.map(seriesKey))
  return [...rows].filter(([key]) => !old.has(key)).map(([, row]) => row.studyInstanceUID)
}

const seriesKey = (row: Pick<SeriesRow, 'studyInstanceUID' | 'seriesInstanceUID'>) =>
  `${row.studyInstanceUID} ${row.seriesInstanceUID}`

interface Addition {
  readonly fresh: readonly NewInstance[]
  readonly newSeries: readonly Uid[]
  readonly rules: LevelRules
}

async function updateStudies(db: Queries, studies: readonly StudyRow[], addition: Addition): Promise<void> {
  await db
    .insert(embeddedStudy)
    .values(studies.map((study) => grown(study, addition)))
    .onConflictDoUpdate({
      target: [embeddedStudy.cluster, embeddedStudy.studyInstanceUID],
      set: {
        studyDate: sql`excluded.study_date`,
        patientID: sql`excluded.patient_id`,
        accessionNumber: sql`excluded.accession_number`,
        attributes: sql`excluded.attributes`,
        series: sql`excluded.series`,
        instances: sql`excluded.instances`,
        modalities: sql`excluded.modalities`,
        sopClasses: sql`excluded.sop_classes`,
        updatedAt: sql`now()`,
      },
    })
}

function grown(study: StudyRow, { fresh, newSeries, rules }: Addition): StudyRow {
  const own = fresh.filter((it) => it.studyInstanceUID === study.studyInstanceUID)
  const attributes = own.reduce((known, { study: incoming }) => rules.merge(known, incoming), study.attributes)
  const modalities = own.flatMap(({ modality }) => (modality === undefined ? [] : [modality]))
  return {
    ...study,
    ...rules.columns(attributes),
    attributes,
    series: study.series + newSeries.filter((it) => it === study.studyInstanceUID).length,
    instances: study.instances + own.length,
    modalities: union(study.modalities, modalities),
    sopClasses: union(
      study.sopClasses,
      own.map((it) => it.sopClassUID),
    ),
  }
}

const union = (known: readonly string[], more: readonly string[]) => [...new Set([...known, ...more])].sort(order)

const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

const byUid = (a: Pick<NewInstance, 'sopInstanceUID'>, b: Pick<NewInstance, 'sopInstanceUID'>) =>
  order(a.sopInstanceUID, b.sopInstanceUID)

/** The files the instances of a study refer to. */
export const knownPaths = (db: Queries, cluster: string, study: Uid): Promise<Set<string>> =>
  guard('list the files of a study', async () => {
    const rows = await db
      .select({ path: embeddedInstance.path })
      .from(embeddedInstance)
      .where(and(eq(embeddedInstance.cluster, cluster), eq(embeddedInstance.studyInstanceUID, study)))
    return new Set(rows.map(({ path }) => path))
  })

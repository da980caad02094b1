import { and, asc, desc, eq, gte, inArray, lte, type SQL, sql } from 'drizzle-orm'
import type { Dataset } from '../dicom/dataset.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { embeddedInstance, embeddedSeries, embeddedStudy } from './schema.ts'

export type StudyRow = Omit<
  typeof embeddedStudy.$inferSelect,
  'cluster' | 'patientID' | 'accessionNumber' | 'updatedAt'
>
export type SeriesRow = Omit<typeof embeddedSeries.$inferSelect, 'cluster'>

/** Conditions an index answers; absent means any. */
export interface Narrowing {
  readonly studies?: readonly Uid[] | undefined
  readonly series?: readonly Uid[] | undefined
  readonly instances?: readonly Uid[] | undefined
  /** `YYYYMMDD`, inclusive. */
  readonly dateFrom?: string | undefined
  readonly dateTo?: string | undefined
  readonly patientID?: string | undefined
  readonly accessionNumber?: string | undefined
}

/** The next studies, newest first, undated ones last; `after` is the last one of the page before. */
export const studiesPage = (
  db: Queries,
  cluster: string,
  page: { narrowing: Narrowing; after: StudyRow | undefined; size: number },
): Promise<StudyRow[]> =>
  guard('search studies', () =>
    db
      .select({
        studyInstanceUID: embeddedStudy.studyInstanceUID,
        studyDate: embeddedStudy.studyDate,
        attributes: embeddedStudy.attributes,
        series: embeddedStudy.series,
        instances: embeddedStudy.instances,
        modalities: embeddedStudy.modalities,
        sopClasses: embeddedStudy.sopClasses,
      })
      .from(embeddedStudy)
      .where(and(eq(embeddedStudy.cluster, cluster), ...narrowed(db, cluster, page.narrowing), afterStudy(page.after)))
      .orderBy(desc(embeddedStudy.studyDate), desc(embeddedStudy.studyInstanceUID))
      .limit(page.size),
  )

const afterStudy = (last: StudyRow | undefined) =>
  last &&
  sql`(${embeddedStudy.studyDate}, ${embeddedStudy.studyInstanceUID}) < (${last.studyDate}, ${last.studyInstanceUID})`

function narrowed(db: Queries, cluster: string, it: Narrowing): (SQL | undefined)[] {
  const uid = embeddedStudy.studyInstanceUID
  return [
    it.studies && inArray(uid, [...it.studies]),
    it.series && inArray(uid, studiesOfSeries(db, cluster, it.series)),
    it.instances && inArray(uid, studiesOfInstances(db, cluster, it.instances)),
    it.dateFrom === undefined ? undefined : gte(embeddedStudy.studyDate, it.dateFrom),
    it.dateTo === undefined ? undefined : lte(embeddedStudy.studyDate, it.dateTo),
    it.patientID === undefined ? undefined : eq(embeddedStudy.patientID, it.patientID),
    it.accessionNumber === undefined ? undefined : eq(embeddedStudy.accessionNumber, it.accessionNumber),
  ]
}

const studiesOfSeries = (db: Queries, cluster: string, uids: readonly Uid[]) =>
  db
    .select({ uid: embeddedSeries.studyInstanceUID })
    .from(embeddedSeries)
    .where(and(eq(embeddedSeries.cluster, cluster), inArray(embeddedSeries.seriesInstanceUID, [...uids])))

const studiesOfInstances = (db: Queries, cluster: string, uids: readonly Uid[]) =>
  db
    .select({ uid: embeddedInstance.studyInstanceUID })
    .from(embeddedInstance)
    .where(and(eq(embeddedInstance.cluster, cluster), inArray(embeddedInstance.sopInstanceUID, [...uids])))

/** The series of some studies, all or the named ones, by UID. */
export const seriesOf = (
  db: Queries,
  cluster: string,
  studies: readonly Uid[],
  only?: readonly Uid[],
): Promise<SeriesRow[]> =>
  guard('search series', () =>
    db
      .select({
        seriesInstanceUID: embeddedSeries.seriesInstanceUID,
        studyInstanceUID: embeddedSeries.studyInstanceUID,
        attributes: embeddedSeries.attributes,
        instances: embeddedSeries.instances,
      })
      .from(embeddedSeries)
      .where(
        and(
          eq(embeddedSeries.cluster, cluster),
          inArray(embeddedSeries.studyInstanceUID, [...studies]),
          only && inArray(embeddedSeries.seriesInstanceUID, [...only]),
        ),
      )
      .orderBy(asc(embeddedSeries.studyInstanceUID), asc(embeddedSeries.seriesInstanceUID)),
  )

/** Where an instance is and what it is; `metadata` only when asked for. */
export interface InstanceRow {
  readonly studyInstanceUID: Uid
  readonly seriesInstanceUID: Uid
  readonly sopInstanceUID: Uid
  readonly transferSyntaxUID: Uid
  readonly instanceNumber: number
  readonly size: number
  readonly path: string
  readonly attributes: Dataset
  readonly metadata: Dataset | null
}

export interface InstanceSelection {
  readonly study: Uid
  readonly series?: Uid | undefined
  readonly instances?: readonly Uid[] | undefined
}

/** The next instances of a study or series: by series, number, UID; `after` is the last one of the page before. */
export const instancesPage = (
  db: Queries,
  cluster: string,
  selection: InstanceSelection,
  page: { after: InstanceRow | undefined; size: number; metadata: boolean },
): Promise<InstanceRow[]> =>
  guard('list instances', () =>
    db
      .select({ ...columns, metadata: page.metadata ? metadata : none })
      .from(embeddedInstance)
      .where(and(...selected(cluster, selection), afterInstance(page.after)))
      .orderBy(
        asc(embeddedInstance.seriesInstanceUID),
        asc(embeddedInstance.instanceNumber),
        asc(embeddedInstance.sopInstanceUID),
      )
      .limit(page.size),
  )

const columns = {
  studyInstanceUID: embeddedInstance.studyInstanceUID,
  seriesInstanceUID: embeddedInstance.seriesInstanceUID,
  sopInstanceUID: embeddedInstance.sopInstanceUID,
  transferSyntaxUID: embeddedInstance.transferSyntaxUID,
  instanceNumber: embeddedInstance.instanceNumber,
  size: embeddedInstance.size,
  path: embeddedInstance.path,
  attributes: embeddedInstance.attributes,
}
const metadata = sql<Dataset | null>`${embeddedInstance.metadata}`
const none = sql<Dataset | null>`null::json`

const selected = (cluster: string, { study, series, instances }: InstanceSelection) => [
  eq(embeddedInstance.cluster, cluster),
  eq(embeddedInstance.studyInstanceUID, study),
  series === undefined ? undefined : eq(embeddedInstance.seriesInstanceUID, series),
  instances && inArray(embeddedInstance.sopInstanceUID, [...instances]),
]

const afterInstance = (last: InstanceRow | undefined) =>
  last &&
  sql`(${embeddedInstance.seriesInstanceUID}, ${embeddedInstance.instanceNumber}, ${embeddedInstance.sopInstanceUID})
    > (${last.seriesInstanceUID}, ${last.instanceNumber}, ${last.sopInstanceUID})`

/** The transfer syntaxes in which a study, series or instance is stored; empty when it is not. */
export const transferSyntaxesOf = (db: Queries, cluster: string, selection: InstanceSelection): Promise<Uid[]> =>
  guard('look up transfer syntaxes', async () => {
    const rows = await db
      .selectDistinct({ uid: embeddedInstance.transferSyntaxUID })
      .from(embeddedInstance)
      .where(and(...selected(cluster, selection)))
    return rows.map(({ uid }) => uid)
  })

/** Whether anything is stored at all: the smallest useful query. */
export const isEmpty = (db: Queries, cluster: string): Promise<boolean> =>
  guard('look for instances', async () => {
    const rows = await db
      .select({ path: embeddedInstance.path })
      .from(embeddedInstance)
      .where(eq(embeddedInstance.cluster, cluster))
      .limit(1)
    return rows.length === 0
  })

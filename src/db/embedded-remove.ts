import { and, asc, eq, gt } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { embeddedInstance, embeddedSeries, embeddedStudy } from './schema.ts'

/**
 * Removes the rows of a study if all of its instances are among `expendable`, all of them or none. Answers the paths of
 * the files that no row refers to any more, or `undefined` when an instance is there that must stay: whoever stores into
 * the study waits for its row and is seen before it, or begins it anew after it.
 */
export const removeStudyRows = (
  db: Queries,
  cluster: string,
  study: Uid,
  expendable: { has(instance: Uid): boolean },
): Promise<string[] | undefined> =>
  guard('remove a study', () =>
    db.transaction(async (tx) => {
      const ownStudy = and(eq(embeddedStudy.cluster, cluster), eq(embeddedStudy.studyInstanceUID, study))
      await tx.select({ series: embeddedStudy.series }).from(embeddedStudy).where(ownStudy).for('update')
      const own = and(eq(embeddedInstance.cluster, cluster), eq(embeddedInstance.studyInstanceUID, study))
      const held = await tx.select({ uid: embeddedInstance.sopInstanceUID }).from(embeddedInstance).where(own)
      if (!held.every(({ uid }) => expendable.has(uid))) return undefined
      const removed = await tx.delete(embeddedInstance).where(own).returning({ path: embeddedInstance.path })
      const ownSeries = and(eq(embeddedSeries.cluster, cluster), eq(embeddedSeries.studyInstanceUID, study))
      await tx.delete(embeddedSeries).where(ownSeries)
      await tx.delete(embeddedStudy).where(ownStudy)
      return removed.map(({ path }) => path)
    }),
  )

/** The studies of an embedded cluster in the order of their UIDs, at most `size` of those after `after`. */
export const studiesAfter = (db: Queries, cluster: string, after: Uid | undefined, size: number): Promise<Uid[]> =>
  guard('list the studies of a cluster', async () => {
    const { studyInstanceUID: uid } = embeddedStudy
    const rows = await db
      .select({ uid })
      .from(embeddedStudy)
      .where(and(eq(embeddedStudy.cluster, cluster), after === undefined ? undefined : gt(uid, after)))
      .orderBy(asc(uid))
      .limit(size)
    return rows.map((row) => row.uid)
  })

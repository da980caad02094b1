import { and, asc, eq, gt, or, sql } from 'drizzle-orm'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { tombstone } from './schema.ts'

/** A study, or an instance of it, that was deleted here on purpose and is not to come back from other sites. */
export interface Tombstone {
  readonly study: Uid
  /** Absent: all of the study. */
  readonly instance?: Uid
  /** Name of the principal. */
  readonly by: string
  readonly at: Date
}

/** `instances` absent: the whole study. What is buried already stays as it is. */
export const bury = (db: Queries, study: Uid, instances: readonly Uid[] | undefined, by: string): Promise<void> =>
  guard('keep what was deleted', async () => {
    const buried: readonly (Uid | '')[] = instances ? [...new Set(instances)].sort() : ['']
    if (buried.length === 0) return
    await db.execute(sql`
      insert into ${tombstone} (study_instance_uid, sop_instance_uid, "by")
      select ${study}::text, instance, ${by}::text from unnest(${sql.param(buried)}::text[]) as instance
      on conflict do nothing`)
  })

/** `instance` absent: all that was buried of the study. False when there was nothing. */
export const exhume = (db: Queries, study: Uid, instance: Uid | undefined): Promise<boolean> =>
  guard('take back what was deleted', async () => {
    const one = instance === undefined ? undefined : eq(tombstone.sopInstanceUID, instance)
    const rows = await db
      .delete(tombstone)
      .where(and(eq(tombstone.studyInstanceUID, study), one))
      .returning({ at: tombstone.at })
    return rows.length > 0
  })

export const tombstonesOf = (
  db: Queries,
  study: Uid,
): Promise<{ readonly whole: boolean; readonly instances: ReadonlySet<Uid> }> =>
  guard('read what was deleted', async () => {
    const rows = await db
      .select({ instance: tombstone.sopInstanceUID })
      .from(tombstone)
      .where(eq(tombstone.studyInstanceUID, study))
    const instances = rows.map(({ instance }) => instance)
    return { whole: instances.includes(''), instances: new Set(instances.filter(isUid)) }
  })

/** In the order of studies and instances; `after`: study and instance of the last one of the page before. */
export const listTombstones = (
  db: Queries,
  { after, limit }: { readonly after?: readonly [study: Uid, instance: string] | undefined; readonly limit: number },
): Promise<Tombstone[]> =>
  guard('list what was deleted', async () => {
    const { studyInstanceUID: study, sopInstanceUID: instance, by, at } = tombstone
    const beyond = after && or(gt(study, after[0]), and(eq(study, after[0]), sql`${instance} > ${after[1]}`))
    const rows = await db
      .select({ study, instance, by, at })
      .from(tombstone)
      .where(beyond)
      .orderBy(asc(study), asc(instance))
      .limit(limit)
    return rows.map(({ instance: it, ...row }) => (it === '' ? row : { ...row, instance: it }))
  })

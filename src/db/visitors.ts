import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { visitorInstance } from './schema.ts'

/** What of a study came from other sites. */
export interface VisitorsOfStudy {
  readonly instances: number
  /** Ids of the sites, in their order. */
  readonly origins: string[]
}

/** These instances come from the site `origin`, whoever else brings them too. */
export const markVisitors = (db: Queries, study: Uid, instances: readonly Uid[], origin: string): Promise<void> =>
  guard('mark instances of another site', async () => {
    if (instances.length === 0) return
    // Arrays: three parameters for any number of rows. In one order, so that two batches never deadlock.
    await db.execute(sql`
      insert into ${visitorInstance} (study_instance_uid, sop_instance_uid, origin)
      select ${study}::text, instance, ${origin}::text
      from unnest(${sql.param([...new Set(instances)].sort())}::text[]) as instance
      on conflict do nothing`)
  })

/** They did not come from the site `origin` after all. */
export const forgetVisitors = (db: Queries, study: Uid, instances: readonly Uid[], origin: string): Promise<void> =>
  guard('forget instances of another site', async () => {
    if (instances.length === 0) return
    const named = sql`${visitorInstance.sopInstanceUID} = any(${sql.param([...instances])}::text[])`
    const ofStudy = eq(visitorInstance.studyInstanceUID, study)
    await db.delete(visitorInstance).where(and(ofStudy, named, eq(visitorInstance.origin, origin)))
  })

/** Studies that nothing of came from other sites are not among them. */
export const visitorsOf = (db: Queries, studies: readonly Uid[]): Promise<Map<Uid, VisitorsOfStudy>> =>
  guard('count instances of other sites', async () => {
    const { studyInstanceUID: study, origin } = visitorInstance
    const rows = await db
      .select({
        study,
        instances: sql<number>`count(distinct ${visitorInstance.sopInstanceUID})`.mapWith(Number),
        origins: sql<string[]>`array_agg(distinct ${origin} order by ${origin})`,
      })
      .from(visitorInstance)
      .where(inArray(study, [...studies]))
      .groupBy(study)
    return new Map(rows.map(({ study: it, ...visitors }) => [it, visitors]))
  })

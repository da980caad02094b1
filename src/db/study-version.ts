import { and, asc, eq, gt, gte, inArray, or, sql } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import { isDominated, joinVersions, type Version } from '../link/version.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { studyVersion } from './schema.ts'

/** The time of the database, to the millisecond: what is written is what is read again. */
export const clockTime = sql`date_trunc('milliseconds', clock_timestamp())`

/** The changes that are in what this site has of the study; none: `{}`. */
export const versionOf = async (db: Queries, study: Uid): Promise<Version> =>
  (await versionsOf(db, [study])).get(study) ?? {}

/** Studies that nothing is known of are not among them. */
export const versionsOf = (db: Queries, studies: readonly Uid[]): Promise<Map<Uid, Version>> =>
  guard('read versions of studies', async () => {
    const rows = await db
      .select({ study: studyVersion.studyInstanceUID, version: studyVersion.version })
      .from(studyVersion)
      .where(inArray(studyVersion.studyInstanceUID, [...studies]))
    return new Map(rows.map(({ study, version }) => [study, version]))
  })

/** The site has changed the study once more. */
export const raiseVersion = (db: Queries, study: Uid, site: string): Promise<void> =>
  guard('raise the version of a study', async () => {
    const { version } = studyVersion
    const raised = sql`coalesce((${version} ->> ${site}::text)::bigint, 0) + 1`
    await db
      .insert(studyVersion)
      .values({ studyInstanceUID: study, version: { [site]: 1 }, changedAt: clockTime })
      .onConflictDoUpdate({
        target: studyVersion.studyInstanceUID,
        set: {
          version: sql`${version} || jsonb_build_object(${site}::text, ${raised})`,
          changedAt: clockTime,
        },
      })
  })

/** This site has all changes of `theirs` now, too. It is a change of the study only when it lacked one. */
export const joinVersion = (db: Queries, study: Uid, theirs: Version): Promise<void> =>
  guard('join versions of a study', () =>
    db.transaction(async (tx) => {
      const ours = await lockVersion(tx, study)
      if (isDominated(theirs, ours)) return
      await tx
        .update(studyVersion)
        .set({ version: joinVersions(ours, theirs), changedAt: clockTime })
        .where(eq(studyVersion.studyInstanceUID, study))
    }),
  )

/** There is a row to be locked from now on. */
async function lockVersion(tx: Queries, study: Uid): Promise<Version> {
  await tx.insert(studyVersion).values({ studyInstanceUID: study, changedAt: clockTime }).onConflictDoNothing()
  const [row] = await tx
    .select({ version: studyVersion.version })
    .from(studyVersion)
    .where(eq(studyVersion.studyInstanceUID, study))
    .for('update')
  return row?.version ?? {}
}

export interface ChangedStudy {
  readonly study: Uid
  readonly changedAt: Date
  readonly version: Version
}

/**
 * Studies in the order of their last change, those of one moment in the order of their UIDs. `since`: only those that
 * changed then or later; `after`: time and UID of the last one of the page before. A study that changes meanwhile moves
 * to the end; one whose change was just being written when its place was passed is found by asking again from a little
 * earlier on.
 */
export const changedStudies = (
  db: Queries,
  {
    since,
    after,
    limit,
  }: {
    readonly since?: Date | undefined
    readonly after?: readonly [changedAt: Date, study: Uid] | undefined
    readonly limit: number
  },
): Promise<ChangedStudy[]> =>
  guard('list changed studies', () => {
    const { studyInstanceUID: study, changedAt, version } = studyVersion
    const beyond = after && and(gte(changedAt, after[0]), or(gt(changedAt, after[0]), gt(study, after[1])))
    return db
      .select({ study, changedAt, version })
      .from(studyVersion)
      .where(and(since && gte(changedAt, since), beyond))
      .orderBy(asc(changedAt), asc(study))
      .limit(limit)
  })

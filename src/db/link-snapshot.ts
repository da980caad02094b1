import { isDeepStrictEqual } from 'node:util'
import { and, eq, isNotNull } from 'drizzle-orm'
import { LinkError } from '../core/errors.ts'
import type { Uid } from '../dicom/uid.ts'
import { mergeSnapshots } from '../link/merge.ts'
import type { Said } from '../link/said.ts'
import { type LinkSnapshot, maxSaidComments } from '../link/snapshot.ts'
import { maxSites } from '../link/version.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { type LockedStudy, lockStudy, readSnapshot } from './link-state.ts'
import { writeSnapshot } from './link-write.ts'
import { linkStudy } from './schema.ts'

/* What sites tell each other of a study beside its objects. `site` is the id of this one. */

/** All that is told here of the study and by whom, as other sites are to know it. */
export const snapshotOf = (db: Queries, study: Uid, site: string): Promise<LinkSnapshot> =>
  guard('read who told what of a study', () => readSnapshot(db, study, site))

export interface MergeOptions {
  readonly site: string
  /** Id of the site that tells it: the audit trail says so. */
  readonly from: string
}

/**
 * Puts what another site knows to what is known here; false when that was known already. Throws `conflict` when more
 * would be kept of the study than may be, and then changes nothing.
 */
export const mergeSnapshot = (
  db: Queries,
  study: Uid,
  theirs: LinkSnapshot,
  { site, from }: MergeOptions,
): Promise<boolean> =>
  guard('merge what sites tell of a study', () =>
    db.transaction(async (tx) => {
      const before = await lockStudy(tx, study, site)
      return write(tx, before, { theirs, who: from })
    }),
  )

/** The study belongs to this site, unless it belongs to one already. */
export const claimHome = (db: Queries, study: Uid, site: string): Promise<void> =>
  guard('claim a study', async () => {
    if (await hasHome(db, study)) return
    await db.transaction(async (tx) => {
      const before = await lockStudy(tx, study, site)
      const theirs = { ...before.snapshot, homeSite: { site, at: before.now } }
      await write(tx, before, { theirs, who: site })
    })
  })

/** Asked first, since it is so of all but the first instances of a study, and needs no lock. */
async function hasHome(db: Queries, study: Uid): Promise<boolean> {
  const rows = await db
    .select({ site: linkStudy.homeSite })
    .from(linkStudy)
    .where(and(eq(linkStudy.studyInstanceUID, study), isNotNull(linkStudy.homeSite)))
  return rows.length > 0
}

interface Telling {
  readonly theirs: LinkSnapshot
  readonly who: string
}

async function write(tx: Queries, before: LockedStudy, { theirs, who }: Telling): Promise<boolean> {
  const after = mergeSnapshots(before.snapshot, theirs)
  if (isDeepStrictEqual(after, before.snapshot)) return false
  boundSnapshot(after)
  await writeSnapshot(tx, before, { after, who, forced: [] })
  return true
}

/** What may be told at once may be kept: what is kept is told to others. */
function boundSnapshot({ reportStatus, studyStatus, verified, comments, corrections }: LinkSnapshot): void {
  if (comments.length > maxSaidComments) {
    throw new LinkError('conflict', `attributes.comments: with them the study would have more than ${maxSaidComments}`)
  }
  const sitesOf = (words: readonly Said[]) => new Set(words.map(({ site }) => site)).size
  const sites = [reportStatus, studyStatus, verified, corrections].map(sitesOf)
  if (Math.max(...sites) > maxSites) {
    throw new LinkError('conflict', `attributes: with them more than ${maxSites} sites would have told of the study`)
  }
}

import { and, eq, sql } from 'drizzle-orm'
import type { Uid } from '../dicom/uid.ts'
import type { Version } from '../link/version.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { peerTold } from './schema.ts'

/** What a peer was told of a study. */
export interface Told {
  readonly version: Version
  /** Digest of the manifest. */
  readonly manifest: string
}

/** The last that the peer was told; `undefined` when it never was. */
export const toldTo = (db: Queries, study: Uid, peer: string): Promise<Told | undefined> =>
  guard('read what a peer was told', async () => {
    const [told] = await db
      .select({ version: peerTold.version, manifest: peerTold.manifest })
      .from(peerTold)
      .where(and(eq(peerTold.studyInstanceUID, study), eq(peerTold.peer, peer)))
    return told
  })

/** In place of what it was told before. */
export const rememberTold = (db: Queries, study: Uid, peer: string, told: Told): Promise<void> =>
  guard('remember what a peer was told', async () => {
    const { version, manifest } = told
    await db
      .insert(peerTold)
      .values({ studyInstanceUID: study, peer, version, manifest })
      .onConflictDoUpdate({
        target: [peerTold.studyInstanceUID, peerTold.peer],
        set: { version, manifest, at: sql`now()` },
      })
  })

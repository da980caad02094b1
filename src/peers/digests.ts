import type { Cluster } from '../clusters/cluster.ts'
import { listInstances } from '../clusters/inventory.ts'
import { uidsDigest } from '../dicom/digest.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import type { Version } from '../link/version.ts'
import type { StudyDigest } from './service.ts'

/** Studies that home is asked about at the same time. */
const atOnce = 4

export interface DigestDependencies {
  readonly home: Cluster
  readonly travels: Travels
  readonly versionsOf: (studies: readonly Uid[]) => Promise<ReadonlyMap<Uid, Version>>
}

/** What home holds of each of the studies, in their order. Throws `ClusterError` when home does not say. */
export async function digestsOf(
  studies: readonly Uid[],
  { home, travels, versionsOf }: DigestDependencies,
  signal: AbortSignal,
): Promise<StudyDigest[]> {
  const versions = await versionsOf(studies)
  const digestOf = async (study: Uid): Promise<StudyDigest> => {
    const listed = await listInstances(home, { study }, signal)
    const uids = listed.filter(({ sopClass }) => travels(sopClass)).map(({ instance }) => instance)
    return { study, instances: uids.length, digest: uidsDigest(uids), version: versions.get(study) ?? {} }
  }
  const digests: StudyDigest[] = []
  for (let at = 0; at < studies.length; at += atOnce) {
    digests.push(...(await Promise.all(studies.slice(at, at + atOnce).map(digestOf))))
  }
  return digests
}

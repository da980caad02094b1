import { LRUCache } from 'lru-cache'
import { untilAborted } from '../clusters/fan-out.ts'
import { toError } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { Database } from '../db/connect.ts'
import { countStudiesAt, forgetHolder, holdersOf, rememberHolders } from '../db/study-location.ts'
import type { Uid } from '../dicom/uid.ts'

/** How long a count of studies is good enough to say how much is missing, in milliseconds. */
const countedMs = 60_000

/** An answer does not wait longer to say so. */
const countTimeoutMs = 1000

export type KnownLocations = ReturnType<typeof locationIndex>

/** Where studies were seen, in the database. What cannot be written is only a hint lost: it is logged, not thrown. */
export function locationIndex(db: Database, log: Log) {
  const notUpdated = (thrown: unknown): undefined =>
    void log.warn({ error: toError(thrown).message }, 'index-unavailable')
  const remember = (holdings: readonly { study: Uid; cluster: string; instances?: number }[]): void => {
    rememberHolders(db, holdings).catch(notUpdated)
  }
  const forget = (study: Uid, cluster: string): void => {
    forgetHolder(db, study, cluster).catch(notUpdated)
  }
  const counts = new LRUCache<string, number>({
    max: 256,
    ttl: countedMs,
    fetchMethod: (cluster) => countStudiesAt(db, cluster).catch(notUpdated),
  })
  return {
    rememberAll: remember,
    remember: (study: Uid, holders: readonly { cluster: string; instances?: number }[]) =>
      remember(holders.map((holder) => ({ study, ...holder }))),
    forget,
    /** What inventories of clusters said: how many instances of the study each holds. */
    found: (study: Uid, held: ReadonlyMap<string, number>): void => {
      const holders = [...held].filter(([, instances]) => instances > 0)
      remember(holders.map(([cluster, instances]) => ({ study, cluster, instances })))
      for (const [cluster, instances] of held) if (instances === 0) forget(study, cluster)
    },
    holdersOf: async (study: Uid) => {
      const holders = await holdersOf(db, study).catch(notUpdated)
      return (holders ?? []).map(({ cluster }) => cluster)
    },
    countAt: (cluster: string): Promise<number | undefined> =>
      untilAborted(counts.fetch(cluster), AbortSignal.timeout(countTimeoutMs)).catch(() => undefined),
  }
}

import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import type { Refusals, Refused } from '../clusters/refused.ts'
import type { Log } from '../core/telemetry.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import { bring, converge } from './converge.ts'
import type { FreshReader } from './fresh.ts'
import type { ReplicationTarget, RunResult } from './service.ts'

export interface ArchiveTargetDependencies {
  /** Where a study may be read for a target, the best location first. */
  readonly sourcesFor: (study: Uid, target: string) => Promise<readonly Cluster[]>
  readonly refusals: Refusals
  /** Told how many instances of a study clusters were found to hold. Must not throw. */
  readonly found: (study: Uid, held: ReadonlyMap<string, number>) => void
  readonly log: Log
  readonly maxBufferedPartBytes: number
  readonly travels: Travels
  /** As `converge` takes it. */
  readonly provesHeld?: boolean
  /** What home is given meanwhile; absent: a study is always compared. */
  readonly fresh?: FreshReader
}

/** How long a study that was compared is taken to lack only what came since, in milliseconds. */
const growingMs = 600_000
/** How long nothing more may have come before a study that has grown is compared again, in milliseconds. */
const quietMs = 5000

/**
 * A cluster that is converged by what is stored into it; `updates: holders` only completes the studies that it has. Of a
 * study that grows, what came since it was compared is brought at once, and it is compared again when no more comes:
 * to list a study costs archives the more the larger it is.
 */
export function archiveTarget(
  cluster: Cluster,
  updates: 'all' | 'holders',
  deps: ArchiveTargetDependencies,
): ReplicationTarget {
  const { refusals, log, maxBufferedPartBytes, travels } = deps
  const { id } = cluster
  const compared = new LRUCache<Uid, true>({ max: 1000, ttl: growingMs })

  async function run(study: Uid, signal: AbortSignal): Promise<RunResult> {
    const isGrowing = compared.get(study) === true
    // Whatever else becomes of this run, the next one compares.
    compared.delete(study)
    const fresh = deps.fresh?.take(study) ?? []
    const note = (refused: readonly Refused[]) => {
      log.warn({ study, cluster: id, refused: refused.slice(0, 20) }, 'instances refused for good')
      return refusals.remember(study, id, refused)
    }
    const [sources, before] = await Promise.all([deps.sourcesFor(study, id), refusals.of(study, id)])
    const options = { sources, maxBufferedPartBytes, travels, refusals: { before, note } }
    if (isGrowing && fresh.length > 0) {
      const { sent, refused } = await bring(fresh, cluster, options, signal)
      compared.set(study, true)
      return { sent, refused: refused.length, againInMs: quietMs }
    }
    const { provesHeld = false } = deps
    const all = { ...options, provesHeld, startsStudies: updates === 'all' }
    const { held, sent, refused } = await converge(study, cluster, all, signal)
    deps.found(study, held)
    if ((held.get(id) ?? 0) > 0) compared.set(study, true)
    return { sent, refused: refused.length }
  }

  return { id, run }
}

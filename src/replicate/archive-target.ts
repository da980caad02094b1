import type { Cluster } from '../clusters/cluster.ts'
import type { Refused } from '../clusters/refused.ts'
import type { Log } from '../core/telemetry.ts'
import type { Uid } from '../dicom/uid.ts'
import { converge } from './converge.ts'
import type { ReplicationTarget } from './service.ts'
import type { Travels } from './travels.ts'

/** What clusters refuse for good, `db/outbox.ts` behind it. */
export interface Refusals {
  of(study: Uid, cluster: string): Promise<ReadonlySet<Uid>>
  remember(study: Uid, cluster: string, refused: readonly Refused[]): Promise<void>
}

export interface ArchiveTargetDependencies {
  /** Where a study may be read for a target, the best location first. */
  readonly sourcesFor: (study: Uid, target: string) => Promise<readonly Cluster[]>
  readonly refusals: Refusals
  /** Told how many instances of a study clusters were found to hold. Must not throw. */
  readonly found: (study: Uid, held: ReadonlyMap<string, number>) => void
  readonly log: Log
  readonly maxBufferedPartBytes: number
  readonly travels: Travels
}

/** A cluster that is converged by what is stored into it; `updates: holders` only completes the studies that it has. */
export function archiveTarget(
  cluster: Cluster,
  updates: 'all' | 'holders',
  deps: ArchiveTargetDependencies,
): ReplicationTarget {
  const { refusals, log, maxBufferedPartBytes, travels } = deps
  const { id } = cluster
  return {
    id,
    async run(study, signal) {
      const note = (refused: readonly Refused[]) => {
        log.warn({ study, cluster: id, refused: refused.slice(0, 20) }, 'instances refused for good')
        return refusals.remember(study, id, refused)
      }
      const sources = await deps.sourcesFor(study, id)
      const options = { sources, startsStudies: updates === 'all', maxBufferedPartBytes, travels }
      const before = await refusals.of(study, id)
      const result = await converge(study, cluster, { ...options, refusals: { before, note } }, signal)
      deps.found(study, result.held)
      return { sent: result.sent, refused: result.refused.length }
    },
  }
}

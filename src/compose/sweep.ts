import type { LinkClient } from '../clusters/link-client.ts'
import type { Config } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import { requestConverge } from '../db/converge-jobs.ts'
import { refusedOf } from '../db/outbox.ts'
import { versionsOf } from '../db/study-version.ts'
import { claimSweep, finishSweep } from '../db/sweeps.ts'
import { visitorsOf } from '../db/visitors.ts'
import type { Uid } from '../dicom/uid.ts'
import { travelsUnless } from '../link/travels.ts'
import type { Holdings } from '../replicate/holdings.ts'
import type { Replication } from '../replicate/service.ts'
import { type SweepTarget, sweep } from '../replicate/sweep.ts'
import { sweptArchive, sweptPeer } from '../replicate/sweep-targets.ts'
import { createSweeper } from '../replicate/sweeper.ts'
import { updatesOf } from '../replicate/targets.ts'
import type { ReplicationParts } from './replicate.ts'

/** Little beside what viewers and replication ask of archives. */
export const studiesPerSecond = 10

export interface SweepParts extends ReplicationParts {
  readonly peers: readonly { readonly cluster: { readonly id: string }; readonly link: LinkClient }[]
  readonly replication: Replication
}

/** Looks for what replication has missed, and requests it; `undefined` where there is nobody to be compared with. */
export function sweeperOf(config: Config, { db, clusters, peers, replication, log }: SweepParts) {
  const { sweepEveryMs: everyMs, sweepStudies, stays } = config.replication
  const travels = travelsUnless(stays)
  const targets = config.clusters.flatMap((configured): SweepTarget[] => {
    const { id } = configured
    const [updates, cluster, peer] = [updatesOf(configured), clusters.get(id), peers.find((it) => it.cluster.id === id)]
    if (updates === 'none' || !cluster) return []
    if (peer)
      return [sweptPeer({ id, link: peer.link, updates, travels, versionsOf: (studies) => versionsOf(db, studies) })]
    return [sweptArchive({ cluster, updates, travels, clock, refusedOf: (study) => refusedOf(db, study, id) })]
  })
  if (targets.length === 0 || everyMs === 0) return undefined
  return createSweeper({
    everyMs,
    claim: (ms) => claimSweep(db, ms),
    finish: (next, isComplete) => finishSweep(db, next, isComplete),
    sweep: (turn, signal) =>
      sweep({
        ...turn,
        home: clusters.home,
        targets,
        sample: sweepStudies,
        studiesPerSecond,
        maxRows: config.limits.maxRowsPerCluster,
        ofThisSite: async (studies) => {
          const visitors = await visitorsOf(db, [...studies.keys()])
          const isOwn = ([study, held]: readonly [Uid, Holdings]) =>
            held.size === 0 || held.size > (visitors.get(study)?.instances ?? 0)
          return new Map([...studies].filter(isOwn))
        },
        request: async (study, target) => {
          await requestConverge(db, study, [target])
          replication.wake()
        },
        clock,
        signal,
      }),
    clock,
    log,
  })
}

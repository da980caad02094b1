import { LinkClient } from '../clusters/link-client.ts'
import { type BytePace, storingAt } from '../clusters/paced.ts'
import type { Config } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import { requestConverge } from '../db/converge-jobs.ts'
import { claimHome, snapshotOf } from '../db/link-snapshot.ts'
import * as notices from '../db/notices.ts'
import { changedStudies, raiseVersion, versionOf, versionsOf } from '../db/study-version.ts'
import { rememberTold, toldTo } from '../db/told.ts'
import * as tombstones from '../db/tombstones.ts'
import { forgetVisitors, markVisitors } from '../db/visitors.ts'
import type { Uid } from '../dicom/uid.ts'
import { travelsUnless } from '../link/travels.ts'
import type { Notices } from '../peers/ports.ts'
import { pullQueueOf, pullTarget } from '../peers/pull.ts'
import { noticeTarget, type Peer } from '../peers/send.ts'
import { createPeersService, type PeersService } from '../peers/service.ts'
import { createReplication, type PacedTarget, type Replication } from '../replicate/service.ts'
import { updatesOf } from '../replicate/targets.ts'
import { concurrencyFor, pace, paceOf, queueOf, type ReplicationParts, refusalsOf } from './replicate.ts'

/** Clusters that are proxies of other sites, and exchange updates with this one. */
export const peersIn = ({ clusters }: Config) =>
  clusters.flatMap(({ link, ...cluster }) =>
    link !== undefined && updatesOf(cluster) !== 'none' ? [{ ...cluster, link }] : [],
  )

/** Queues of what is pulled from them. */
export const pullQueuesIn = (config: Config): string[] => peersIn(config).map(({ id }) => pullQueueOf(id))

/** A peer with what replication may ask of it. */
export interface OpenPeer extends Peer {
  readonly atOnce: number
  /** Of what is pulled from it. */
  readonly pace: BytePace | undefined
}

/** The peers with connections to them, to be closed in the end. */
export function openPeers(config: Config, { clusters, metrics: telemetry }: ReplicationParts) {
  const peers = peersIn(config).flatMap((configured) => {
    const [cluster, updates] = [clusters.get(configured.id), updatesOf(configured)]
    if (!cluster || updates === 'none') return []
    const { updatesAtOnce: atOnce } = configured
    return [
      {
        cluster,
        updates,
        atOnce,
        pace: paceOf(configured),
        link: new LinkClient(configured, { site: config.site, clock, telemetry }),
      },
    ]
  })
  return { peers, close: async () => void (await Promise.all(peers.map(({ link }) => link.close()))) }
}

/** Where replication tells each peer of a study. */
export const noticeTargetsOf = (
  { site, replication }: Config,
  peers: readonly OpenPeer[],
  { db, clusters, index }: ReplicationParts,
): PacedTarget[] =>
  peers.map((peer) => ({
    atOnce: peer.atOnce,
    ...noticeTarget(peer, {
      site,
      home: clusters.home,
      versions: { of: (study) => versionOf(db, study) },
      snapshotOf: (study) => snapshotOf(db, study, site),
      told: {
        last: (study, to) => toldTo(db, study, to),
        remember: (study, to, told) => rememberTold(db, study, to, told),
      },
      travels: travelsUnless(replication.stays),
      found: (study, cluster) => index.rememberAll([{ study, cluster }]),
      clock,
    }),
  }))

export interface LinkingParts extends ReplicationParts {
  readonly peers: readonly OpenPeer[]
  /** Tells the peers, among others. */
  readonly replication: Replication
  /** Told when home has come to hold more of a study. Must not throw. */
  readonly came: (study: Uid) => void
}

/** What peers told of is pulled in jobs of their own: waiting for peers never keeps a peer waiting. */
export interface Linking {
  readonly service: PeersService
  readonly pulls: Replication
}

export function linkingOf(config: Config, parts: LinkingParts): Linking {
  const { db, clusters, log, metrics } = parts
  const { site } = config
  const [home, travels, received] = [clusters.home, travelsUnless(config.replication.stays), noticesOf(parts, site)]
  const tell = async (peer: string, study: Uid) => {
    await requestConverge(db, study, [peer])
    parts.replication.wake()
  }
  const targets = parts.peers.map(({ cluster, atOnce, pace: bytePace }) => ({
    atOnce,
    ...pullTarget(cluster, {
      ...{
        home: storingAt(bytePace, home),
        travels,
        log,
        tell,
        came: parts.came,
        notices: received,
        refusals: refusalsOf(db),
      },
      visitors: {
        mark: (study, instances, origin) => markVisitors(db, study, instances, origin),
        forget: (study, instances, origin) => forgetVisitors(db, study, instances, origin),
      },
      buriedOf: (study) => tombstones.tombstonesOf(db, study),
      maxBufferedPartBytes: config.limits.maxBufferedPartBytes,
    }),
  }))
  const own = { ...pace, concurrency: concurrencyFor(targets) }
  const queue = queueOf(db, config.replication)
  const pulls = createReplication({ targets, queue, clock, log, telemetry: metrics, pace: own })
  const service = createPeersService({
    ...{ site, home, travels, clock, log, notices: received, wake: () => pulls.wake() },
    peers: new Set(parts.peers.map(({ cluster }) => cluster.id)),
    versions: { of: (study) => versionOf(db, study) },
    versionsOf: (studies) => versionsOf(db, studies),
    changed: (page) => changedStudies(db, page),
    tombstones: {
      bury: (study, instances, by) => tombstones.bury(db, study, instances, by),
      exhume: (study, instance) => tombstones.exhume(db, study, instance),
      tombstones: (page) => tombstones.listTombstones(db, page),
    },
  })
  return { service, pulls }
}

const noticesOf = ({ db }: ReplicationParts, site: string): Notices => ({
  find: (noticeId) => notices.findNotice(db, noticeId),
  accept: (notice, { bodyDigest, queue }) => notices.acceptNotice(db, notice, { site, bodyDigest, queue }),
  open: (origin, study, limit) => notices.openNotices(db, origin, study, limit),
  start: (noticeIds) => notices.startNotices(db, noticeIds),
  settle: (noticeId, outcome) => notices.settleNotices(db, [noticeId], outcome),
  fail: (origin, study, error) => notices.failNotices(db, origin, study, error),
  failAbandoned: (error) => notices.failAbandonedNotices(db, pullQueueOf(''), error),
  prune: (olderThanMs) => notices.pruneNotices(db, olderThanMs),
})

/** Instances of these studies were stored here: a change of this site's, and the study's home if it has none. */
export async function noteStored({ site }: Config, { db }: Pick<ReplicationParts, 'db'>, studies: readonly Uid[]) {
  for (const study of studies) {
    await claimHome(db, study, site)
    await raiseVersion(db, study, site)
  }
}

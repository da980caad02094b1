import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import { listInstances } from '../clusters/inventory.ts'
import type { Clock } from '../core/clock.ts'
import { ClusterError } from '../core/outcome.ts'
import { uidsDigest } from '../dicom/digest.ts'
import type { Uid } from '../dicom/uid.ts'
import { type StudyUpdateNotice, type Trigger, writeNotice } from '../link/notice.ts'
import type { Receipt } from '../link/receipt.ts'
import type { Travels } from '../link/travels.ts'
import { manifestOf } from './manifest.ts'
import type { SnapshotOf, TellingMemory, Told, Versions } from './ports.ts'

/** The link API of a peer, `clusters/link-client.ts` behind it. Methods throw `ClusterError`. */
export interface PeerLink {
  /** `body`: the notice's JSON. A notice whose answer is lost is sent once more; the peer knows it by its id. */
  send(notice: { readonly id: string; readonly body: Uint8Array }, signal: AbortSignal): Promise<Receipt>
  /** Reason `not-found` when the peer knows of no such notice. */
  receipt(noticeId: string, signal: AbortSignal): Promise<Receipt>
}

/** Another site that speaks the linking specification; the id of its cluster is that of the site. */
export interface Peer {
  readonly cluster: Cluster
  readonly link: PeerLink
  /** `holders`: it is told only of studies that it holds something of. */
  readonly updates: 'all' | 'holders'
}

export interface SendDependencies {
  /** Id of this site. */
  readonly site: string
  readonly home: Cluster
  readonly versions: Pick<Versions, 'of'>
  readonly snapshotOf: SnapshotOf
  readonly told: TellingMemory
  readonly travels: Travels
  /** Told that a peer holds something of a study. Must not throw. */
  readonly found: (study: Uid, peer: string) => void
  readonly clock: Clock
}

/** Sites that a notice may come through. */
const maxHops = 4
/** First and longest wait before the peer is asked how far it is, in milliseconds. */
export const askMs = 250
export const maxAskMs = 5000
/** How long a run waits for a peer, in milliseconds; others have to be told meanwhile. Later runs wait on. */
export const patienceMs = 120_000

/**
 * Tells a peer of a study: its version, what is told of it, and what home holds. Done when the peer says that it has
 * pulled what it lacked. Running it again tells the peer to compare once more.
 */
export function noticeTarget({ cluster, link, updates }: Peer, deps: SendDependencies) {
  const { site, home, travels, clock } = deps
  const peer = cluster.id
  /** Sent and not done about yet. */
  const pending = new LRUCache<Uid, { readonly noticeId: string; readonly told: Told }>({ max: 10_000 })

  async function run(study: Uid, signal: AbortSignal) {
    if (updates === 'holders' && (await listInstances(cluster, { study }, signal)).length === 0) return nothing
    // In this order: a version never claims what its manifest lacks.
    const version = await deps.versions.of(study)
    const listed = (await listInstances(home, { study }, signal)).filter(({ sopClass }) => travels(sopClass))
    const told: Told = { version, manifest: uidsDigest(listed.map(({ instance }) => instance)) }
    const open = pending.get(study)
    const receipt =
      open && isSame(open.told, told)
        ? await waited(study, await link.receipt(open.noticeId, signal).catch(forget(study)), signal)
        : await tell(study, { told, series: manifestOf(listed) }, signal)
    if (receipt.state === 'FAILED') throw notTaken(receipt)
    await deps.told.remember(study, peer, told)
    if (receipt.held + receipt.pulled > 0) deps.found(study, peer)
    return { sent: receipt.pulled, refused: receipt.refused }
  }

  /**
   * A peer that has our changes by way of others need not have all that we hold: it may have been told of less, or not
   * have taken all of it. When it takes nothing for news, it is told to compare.
   */
  async function tell(study: Uid, content: Content, signal: AbortSignal): Promise<Receipt> {
    const trigger = triggerOf(site, await deps.told.last(study, peer), content.told)
    const receipt = await send(study, content, { trigger, signal })
    return receipt.state === 'STALE' ? send(study, content, { trigger: 'RESYNC', signal }) : receipt
  }

  async function send(study: Uid, { told, series }: Content, { trigger, signal }: Sending): Promise<Receipt> {
    const notice: StudyUpdateNotice = {
      ...{ noticeId: randomUUID(), origin: site, hops: [site], maxHops, issuedAt: new Date(clock.now()) },
      ...{ trigger, study, version: told.version, series },
      attributes: await deps.snapshotOf(study),
    }
    const id = notice.noticeId
    const receipt = await link.send({ id, body: writeNotice(notice) }, signal)
    pending.set(study, { noticeId: id, told })
    return waited(study, receipt, signal)
  }

  /** Until the peer is done. */
  async function waited(study: Uid, first: Receipt, signal: AbortSignal): Promise<Receipt> {
    const begun = clock.now()
    let receipt = first
    for (let waitMs = askMs; isOpen(receipt); waitMs = Math.min(2 * waitMs, maxAskMs)) {
      if (clock.now() - begun >= patienceMs) throw notYet(receipt)
      await clock.sleep(waitMs, signal)
      receipt = await link.receipt(receipt.noticeId, signal).catch(forget(study))
    }
    pending.delete(study)
    return receipt
  }

  /** What the peer does not know of any more is sent anew by the next run. */
  const forget =
    (study: Uid) =>
    (thrown: unknown): never => {
      if (thrown instanceof ClusterError && thrown.reason === 'not-found') pending.delete(study)
      throw thrown
    }

  const notTaken = ({ error = 'without saying why' }: Receipt) =>
    new ClusterError(peer, 'failed', `could not take the study (${error.slice(0, 200)})`)

  const notYet = ({ state }: Receipt) =>
    new ClusterError(peer, 'timed-out', `has the notice but not all of the study yet (${state})`)

  return { id: peer, run }
}

interface Content {
  readonly told: Told
  readonly series: StudyUpdateNotice['series']
}

interface Sending {
  readonly trigger: Trigger
  readonly signal: AbortSignal
}

const nothing = { sent: 0, refused: 0 }
const noInstances = uidsDigest([])

/** A peer takes what this site has changed since for news; anything else it only looks into when told to compare. */
function triggerOf(site: string, before: Told | undefined, now: Told): Trigger {
  if ((now.version[site] ?? 0) <= (before?.version[site] ?? 0)) return 'RESYNC'
  return now.manifest === (before?.manifest ?? noInstances) ? 'STATUS' : 'OBJECT'
}

const isSame = (a: Told, b: Told): boolean => a.manifest === b.manifest && isSameVersion(a.version, b.version)

const isSameVersion = (a: Told['version'], b: Told['version']): boolean =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].every((site) => a[site] === b[site])

const isOpen = ({ state }: Receipt): boolean => state === 'ACCEPTED' || state === 'PULLING'

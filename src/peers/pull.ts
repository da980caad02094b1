import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import { type ListedInstance, listInstances } from '../clusters/inventory.ts'
import { failuresIn, notStored, type Refusals, type Refused } from '../clusters/refused.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Log } from '../core/telemetry.ts'
import { uidsDigest } from '../dicom/digest.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import { fetchPromised } from './fetch.ts'
import { type Promised, promisedBy } from './manifest.ts'
import type { Buried, Notices, OpenNotice, Visitors } from './ports.ts'
import { takeIn } from './take-in.ts'

export interface PullDependencies {
  readonly home: Cluster
  readonly notices: Pick<Notices, 'open' | 'start' | 'settle' | 'fail'>
  readonly refusals: Refusals
  readonly visitors: Visitors
  readonly buriedOf: (study: Uid) => Promise<Buried>
  readonly travels: Travels
  readonly maxBufferedPartBytes: number
  /** Told when home has come to hold more of a study. Must not throw. */
  readonly came: (study: Uid) => void
  /** The peer is to be told what we have of a study; no other site is. */
  readonly tell: (peer: string, study: Uid) => Promise<void>
  readonly log: Log
}

/** Notices of one study dealt with at once: each may be large. */
const maxTogether = 8

/** Names the jobs that pull what a peer has told of; no cluster has such an id. */
export const pullQueueOf = (peer: string): string => `${peer}:pull`

/** How long the same answer to the same question would be one too many, in milliseconds. */
const answeredMs = 3_600_000

/**
 * Has home hold what a peer told of, in all its open notices of a study. Running it again pulls what is still missing,
 * and nothing twice. What was stored is a visitor here: no other cluster is told of it.
 */
export function pullTarget(peer: Cluster, deps: PullDependencies) {
  const { notices, log } = deps
  const id = pullQueueOf(peer.id)
  const answered = new LRUCache<string, true>({ max: 10_000, ttl: answeredMs })

  async function run(study: Uid, signal: AbortSignal) {
    const total = { sent: 0, refused: 0 }
    for (;;) {
      const open = await notices.open(peer.id, study, maxTogether)
      if (open.length === 0) return total
      const { stored, refused } = await bringIn(study, open, signal)
      total.sent += stored.size
      total.refused += refused.length
    }
  }

  async function bringIn(study: Uid, open: readonly OpenNotice[], signal: AbortSignal): Promise<Pulled> {
    await notices.start(open.map(({ noticeId }) => noticeId))
    const held = await listInstances(deps.home, { study }, signal)
    const pulled = await pull(study, { promised: promisedBy(study, open), held }, signal)
    for (const notice of open) await notices.settle(notice.noticeId, outcomeOf(promisedBy(study, [notice]), pulled))
    await answer(study, open, [...held.filter((it) => deps.travels(it.sopClass)).map(idOf), ...pulled.stored])
    return pulled
  }

  async function pull(study: Uid, { promised, held }: Comparison, signal: AbortSignal): Promise<Pulled> {
    const heldBefore = new Set(held.map(idOf))
    const [buried, before] = await Promise.all([deps.buriedOf(study), deps.refusals.of(study, id)])
    const isWanted = (uid: Uid) =>
      !(heldBefore.has(uid) || buried.whole || buried.instances.has(uid) || before.has(uid))
    const wanted = new Set([...promised.keys()].filter(isWanted))
    if (wanted.size === 0) return { held: heldBefore, stored: new Set(), refused: [] }
    // Marked before they are there: a crash in between leaves none that is taken for this site's own.
    await deps.visitors.mark(study, [...wanted], peer.id)
    const { stored, refused } = await pullWanted(study, { promised, wanted }, signal)
    return { held: heldBefore, stored, refused }
  }

  async function pullWanted(study: Uid, { promised, wanted }: Wanted, signal: AbortSignal) {
    const [quarantined, failures]: [Refused[], ClusterError[]] = [[], []]
    const notes = {
      quarantine: async (refused: Refused) => {
        quarantined.push(refused)
        await refuse(study, [refused])
      },
      failed: (failure: ClusterError) => void failures.push(failure),
    }
    const { maxBufferedPartBytes } = deps
    const fetched = fetchPromised(peer, { promised: promised.values(), wanted, maxBufferedPartBytes, ...notes }, signal)
    const results = await takeIn(deps.home, fetched, notes, signal)
    const stored = new Set(
      results.filter(({ outcome }) => outcome.status === 'stored').map(({ header }) => header.sopInstanceUID),
    )
    if (stored.size > 0) deps.came(study)
    // Once more: a run that had lost its lease may have forgotten them.
    if (stored.size > 0) await deps.visitors.mark(study, [...stored], peer.id)
    await forgetMarks(study, wanted.difference(stored), signal)
    const { refused, passing } = failuresIn(results)
    if (refused.length > 0) await refuse(study, refused)
    if (passing) throw notStored(deps.home, passing, results)
    if (failures[0]) throw failures[0]
    if (stored.size + refused.length + quarantined.length < wanted.size) throw unsaid(deps.home)
    return { stored, refused: [...quarantined, ...refused] }
  }

  /** Unless home has them after all, which did not say so. */
  async function forgetMarks(study: Uid, left: ReadonlySet<Uid>, signal: AbortSignal): Promise<void> {
    if (left.size === 0) return
    const there = new Set((await listInstances(deps.home, { study }, signal)).map(idOf))
    await deps.visitors.forget(study, [...left.difference(there)], peer.id)
  }

  function refuse(study: Uid, refused: readonly Refused[]): Promise<void> {
    log.warn({ study, cluster: id, refused: refused.slice(0, 20) }, 'instances not taken')
    return deps.refusals.remember(study, id, refused)
  }

  /** Who found us to differ is told what we have beside; not over and over where both keep to what they have. */
  async function answer(study: Uid, open: readonly OpenNotice[], have: readonly Uid[]): Promise<void> {
    const theirs = promisedBy(study, open.filter(({ trigger }) => trigger === 'RESYNC').slice(-1))
    if (open.every(({ trigger }) => trigger !== 'RESYNC') || have.every((uid) => theirs.has(uid))) return
    const difference = `${study}/${uidsDigest(theirs.keys())}/${uidsDigest(have)}`
    if (answered.has(difference)) return
    await deps.tell(peer.id, study)
    answered.set(difference, true)
  }

  return { id, run, gaveUp: (study: Uid, error: string) => notices.fail(peer.id, study, error) }
}

interface Comparison {
  readonly promised: ReadonlyMap<Uid, Promised>
  readonly held: readonly ListedInstance[]
}

interface Wanted {
  readonly promised: ReadonlyMap<Uid, Promised>
  readonly wanted: ReadonlySet<Uid>
}

interface Pulled {
  /** By home, before. */
  readonly held: ReadonlySet<Uid>
  readonly stored: ReadonlySet<Uid>
  /** In this run. */
  readonly refused: readonly Refused[]
}

const idOf = ({ instance }: ListedInstance): Uid => instance

/** What became of one notice; what is neither held nor pulled is refused here, now or since before. */
function outcomeOf(promised: ReadonlyMap<Uid, Promised>, { held, stored }: Pulled) {
  const uids = new Set(promised.keys())
  const [heldOfIt, pulledOfIt] = [uids.intersection(held).size, uids.intersection(stored).size]
  const refused = uids.size - heldOfIt - pulledOfIt
  return {
    state: refused > 0 ? ('PARTIAL' as const) : ('COMPLETE' as const),
    ...{ held: heldOfIt, pulled: pulledOfIt, refused },
  }
}

const unsaid = ({ id }: Cluster): ClusterError =>
  new ClusterError(id, 'malformed', 'did not say what became of some instances')

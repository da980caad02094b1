import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { badRequest, LinkError, toError } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { StudyUpdateNotice } from '../link/notice.ts'
import { parseNotice } from '../link/notice-parse.ts'
import type { Receipt } from '../link/receipt.ts'
import { isDominated } from '../link/version.ts'
import type { Notices, Versions } from './ports.ts'
import { pullQueueOf } from './pull.ts'
import type { Received } from './service.ts'

export interface ReceiveDependencies {
  /** Id of this site. */
  readonly site: string
  /** Ids of the sites whose notices are taken. */
  readonly peers: ReadonlySet<string>
  readonly notices: Pick<Notices, 'find' | 'accept' | 'prune' | 'failAbandoned'>
  readonly versions: Pick<Versions, 'of'>
  /** A pull was queued. */
  readonly wake: () => void
  readonly clock: Clock
  readonly log: Log
}

/** Notices are kept for so long after their end, in milliseconds, and looked through for older ones so often. */
const keptMs = 30 * 24 * 3_600_000
const pruneEveryMs = 3_600_000

/** Who sends it → what it says → whether it is known, or old → kept, with the intent to pull. */
export function createReceive(deps: ReceiveDependencies) {
  const { site, peers, notices, clock, log } = deps
  let pruned = Number.NEGATIVE_INFINITY

  async function receive(body: Uint8Array, key: string | undefined, peer: string | undefined): Promise<Received> {
    requirePeer(peers, peer)
    const notice = parseNotice(body, clock.now())
    if (key !== notice.noticeId) throw badRequest('Idempotency-Key: it has to be the noticeId of the notice')
    requireOrigin(notice, peer)
    if (notice.hops.includes(site) || notice.hops.length > notice.maxHops) return unkept(notice, 'IGNORED_LOOP')
    const bodyDigest = createHash('sha256').update(body).digest('hex')
    const known = await knownOf(notice, bodyDigest)
    if (known) return { receipt: known, isNew: false }
    if (await isStale(notice)) return unkept(notice, 'STALE')
    const receipt = await notices.accept(notice, { bodyDigest, queue: pullQueueOf(notice.origin) })
    deps.wake()
    prune()
    return { receipt, isNew: true }
  }

  function requireOrigin({ origin }: StudyUpdateNotice, peer: string | undefined): void {
    if (peer !== undefined && origin !== peer) {
      throw new LinkError('forbidden', `origin: ${origin} is not who sends the notice`)
    }
    requirePeer(peers, origin)
  }

  async function knownOf({ noticeId, origin }: StudyUpdateNotice, bodyDigest: string): Promise<Receipt | undefined> {
    const known = await notices.find(noticeId)
    if (!known || (known.origin === origin && known.bodyDigest === bodyDigest)) return known?.receipt
    throw new LinkError(
      'unprocessable',
      `Idempotency-Key: ${noticeId} was used for another notice; take a new noticeId`,
    )
  }

  /** A notice to compare is always looked into: what is at home may be less than its version says. */
  const isStale = async ({ trigger, study, version }: StudyUpdateNotice): Promise<boolean> =>
    trigger !== 'RESYNC' && isDominated(version, await deps.versions.of(study))

  function unkept({ noticeId, study, series }: StudyUpdateNotice, state: Receipt['state']): Received {
    const promised = series.reduce((sum, { instances }) => sum + instances.length, 0)
    const at = new Date(clock.now())
    const counts = { promised, held: 0, pulled: 0, refused: 0 }
    return { receipt: { noticeId, study, state, ...counts, receivedAt: at, updatedAt: at }, isNew: false }
  }

  /** Nobody waits for it. */
  function prune(): void {
    if (clock.now() - pruned < pruneEveryMs) return
    pruned = clock.now()
    tidy().catch((thrown: unknown) => log.warn({ error: toError(thrown).message }, 'notices not pruned'))
  }

  async function tidy(): Promise<void> {
    await notices.failAbandoned('this site has given it up')
    await notices.prune(keptMs)
  }

  return receive
}

/** Throws `forbidden` for who is no peer; without authentication everybody may be any. */
export function requirePeer(peers: ReadonlySet<string>, peer: string | undefined): void {
  if (peer === undefined || peers.has(peer)) return
  throw new LinkError('forbidden', `${JSON.stringify(peer.slice(0, 80))} is no site that this one is linked with`)
}

import { badRequest, LinkError } from '../core/errors.ts'
import type { Tombstone } from '../db/tombstones.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { Receipt } from '../link/receipt.ts'
import type { Version } from '../link/version.ts'
import { type DigestDependencies, digestsOf } from './digests.ts'
import { createReceive, type ReceiveDependencies, requirePeer } from './receive.ts'

export interface Received {
  readonly receipt: Receipt
  /** False: it was known already, or nothing is to be done about it. */
  readonly isNew: boolean
}

/** A study as two sites compare it. */
export interface StudyDigest {
  readonly study: Uid
  readonly instances: number
  /** SHA-256 in hex over the sorted SOP Instance UIDs of what home holds and tells others, joined by line feeds. */
  readonly digest: string
  readonly version: Version
}

export interface DigestPage {
  readonly studies: readonly StudyDigest[]
  /** To be given for the page after this one; absent on the last. */
  readonly next?: string | undefined
}

export interface DigestsRequest {
  /** Only studies that changed at this site since then. */
  readonly since?: Date | undefined
  readonly cursor?: string | undefined
  readonly limit: number
}

/**
 * This site as others see it that speak the linking specification. `peer`: the name of the principal that asks, or
 * `undefined` where everybody may claim to be anybody, because there is no authentication.
 */
export interface PeersService {
  /**
   * Takes a notice, whose JSON is `body`, sent under the key `idempotencyKey`. Throws `LinkError`: `bad-request` that
   * names the member that is wrong, `forbidden` when the origin is no peer or not who sends it, `unprocessable` when
   * the key was used for another notice.
   */
  receive(body: Uint8Array, idempotencyKey: string | undefined, peer: string | undefined): Promise<Received>

  /** Throws `not-found`, also when it is another's. */
  receipt(noticeId: string, peer: string | undefined): Promise<Receipt>

  /** Changed studies, in the order of their change. Throws `forbidden` for who is no peer. */
  digests(request: DigestsRequest, peer: string | undefined, signal: AbortSignal): Promise<DigestPage>

  /** Of these studies; one that this site has nothing of is left out. */
  digestsOf(studies: readonly Uid[], peer: string | undefined, signal: AbortSignal): Promise<readonly StudyDigest[]>

  /** `instances` absent: the whole study. Burying twice changes nothing. */
  bury(study: Uid, instances: readonly Uid[] | undefined, by: string): Promise<void>
  /** Takes back what was buried; false when there was nothing. */
  exhume(study: Uid, instance: Uid | undefined): Promise<boolean>
  /** In the order of studies and instances, after the key given. */
  tombstones(page: {
    readonly after?: readonly [Uid, string] | undefined
    readonly limit: number
  }): Promise<readonly Tombstone[]>
}

export interface PeersDependencies extends ReceiveDependencies, DigestDependencies {
  /** `db/study-version.ts` behind it: changed studies in the order of their change, after the one given. */
  readonly changed: (page: {
    readonly since?: Date | undefined
    readonly after?: readonly [Date, Uid] | undefined
    readonly limit: number
  }) => Promise<readonly { readonly study: Uid; readonly changedAt: Date }[]>
  readonly tombstones: Pick<PeersService, 'bury' | 'exhume' | 'tombstones'>
}

/** What other sites say to this one and ask it. Pulling and telling are jobs of the replication. */
export function createPeersService(deps: PeersDependencies): PeersService {
  const { peers, notices } = deps
  return {
    receive: createReceive(deps),

    async receipt(noticeId, peer) {
      const known = await notices.find(noticeId)
      if (known && (peer === undefined || known.origin === peer)) return known.receipt
      throw new LinkError('not-found', `there is no notice ${noticeId}`)
    },

    async digests({ since, cursor, limit }, peer, signal) {
      requirePeer(peers, peer)
      const after = cursor === undefined ? undefined : parseCursor(cursor)
      const changed = await deps.changed({ since, after, limit: limit + 1 })
      const [page, last] = [changed.slice(0, limit), changed.length > limit ? changed[limit - 1] : undefined]
      const studies = await digestsOf(
        page.map(({ study }) => study),
        deps,
        signal,
      )
      return { studies, ...(last && { next: `${last.changedAt.getTime()}_${last.study}` }) }
    },

    async digestsOf(studies, peer, signal) {
      requirePeer(peers, peer)
      const digests = await digestsOf([...new Set(studies)], deps, signal)
      return digests.filter(({ instances, version }) => instances > 0 || Object.keys(version).length > 0)
    },

    ...deps.tombstones,
  }
}

/** Where the page before ended: the time of the change in milliseconds, and the study. */
function parseCursor(cursor: string): readonly [Date, Uid] {
  const [, time, study] = /^(\d{1,15})_(.*)$/.exec(cursor) ?? []
  if (time !== undefined && isUid(study)) return [new Date(Number(time)), study]
  throw badRequest('cursor: expected what the page before gave as "next"')
}

import type { Uid } from '../dicom/uid.ts'
import type { Version } from '../link/version.ts'

/** How far a notice has come. The last two are of notices that nothing was done about. */
export type ReceiptState = 'ACCEPTED' | 'PULLING' | 'COMPLETE' | 'PARTIAL' | 'FAILED' | 'STALE' | 'IGNORED_LOOP'

/** What became of a notice; the counts are of instances. */
export interface Receipt {
  readonly noticeId: string
  readonly study: Uid
  readonly state: ReceiptState
  /** In the manifest. */
  readonly promised: number
  /** Held by home already. */
  readonly held: number
  readonly pulled: number
  /** Not taken for good: home refuses them, or they are not what was promised. */
  readonly refused: number
  readonly error?: string
  readonly receivedAt: Date
  readonly updatedAt: Date
}

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

/** A study, or instances of it, that was deleted here on purpose and is not to come back from other sites. */
export interface Tombstone {
  readonly study: Uid
  /** Absent: all of the study. */
  readonly instance?: Uid
  readonly by: string
  readonly at: Date
}

/**
 * This site as others see it that speak the linking specification. `peer`: the name of the principal that asks, or
 * `undefined` where everybody may claim to be anybody, because there is no authentication.
 */
export interface PeersService {
  /**
   * Takes a notice, whose JSON is `body`, sent under the key `idempotencyKey`. Throws `LinkError`: `bad-request` that
   * names the member that is wrong, `forbidden` when the origin is no peer or not who sends it, `conflict` when the key
   * was used for another notice.
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

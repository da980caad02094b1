import type { Uid } from '../dicom/uid.ts'

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

import { ClusterError } from '../core/outcome.ts'
import { failureReasonText } from '../dicom/failure-reason.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Cluster, StoreResult } from './cluster.ts'

/** An instance that a cluster refuses whatever is done, and its Failure Reason: asking again changes nothing. */
export interface Refused {
  readonly instance: Uid
  readonly reason: number
}

/** What is not taken for good, by the queue it was to be brought by; `db/outbox.ts` behind it. */
export interface Refusals {
  of(study: Uid, queue: string): Promise<ReadonlySet<Uid>>
  remember(study: Uid, queue: string, refused: readonly Refused[]): Promise<void>
}

/**
 * Reasons that asking again does not change: no such SOP class here (0122H, A8xxH), other content under the same UID
 * (0111H), data set and class do not fit (A9xxH), not understood (Cxxx). Any other failure, out of resources above all, may pass and fails the run.
 */
const isPermanent = (reason: number) =>
  reason === 0x0111 ||
  reason === 0x0122 ||
  (reason & 0xf000) === 0xc000 ||
  (reason & 0xff00) === 0xa800 ||
  (reason & 0xff00) === 0xa900

/** What of an answer to a store is refused for good, and the first of what may pass. */
export function failuresIn(results: readonly StoreResult[]): { refused: Refused[]; passing: Refused | undefined } {
  const failed = results.flatMap(({ header, outcome }) =>
    outcome.status === 'failed' ? [{ instance: header.sopInstanceUID, reason: outcome.failureReason }] : [],
  )
  return {
    refused: failed.filter(({ reason }) => isPermanent(reason)),
    passing: failed.find(({ reason }) => !isPermanent(reason)),
  }
}

/** For a run that failed by what may pass. */
export function notStored(target: Cluster, { reason }: Refused, results: readonly StoreResult[]): ClusterError {
  const failed = results.filter(({ outcome }) => outcome.status === 'failed').length
  return new ClusterError(
    target.id,
    'failed',
    `did not store ${failed} of ${results.length} instances (${failureReasonText(reason)})`,
  )
}

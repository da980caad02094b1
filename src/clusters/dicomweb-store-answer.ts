import { ClusterError } from '../core/outcome.ts'
import { type Dataset, firstNumber, firstString, type Tag } from '../dicom/dataset.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import { tag } from '../dicom/tags.ts'
import type { StoreResult } from './cluster.ts'
import type { DicomwebClient, Exchange } from './dicomweb-client.ts'
import { reasonOfStatus, statusText } from './dicomweb-errors.ts'
import { readObject, saysJson } from './dicomweb-json.ts'

/** Processing failure, PS3.18 table I.2-2; also of what an archive was sent and did not speak of. */
export const processingFailure = 0x0110

/** What an archive said of instances it was sent, by SOP Instance UID. */
export type Acknowledgements = ReadonlyMap<string, StoreResult['outcome']>

/** Refusals whose body may list instances all the same (PS3.18 table 10.5.3-1; Orthanc's 400 does). */
const listing: ReadonlySet<number> = new Set([400, 409])

/**
 * Reads the Store Instances Response Module, PS3.18 I.2. A refusal that lists instances is an answer like any other;
 * one that does not is thrown.
 */
export async function readAcknowledgements(
  client: DicomwebClient,
  exchange: Exchange,
  maxBytes: number,
): Promise<Acknowledgements> {
  const { status } = exchange
  const reason = reasonOfStatus(status)
  const refusal = reason && new ClusterError(client.cluster, reason, statusText(status), { status })
  if (refusal && !(listing.has(status) && saysJson(exchange))) {
    exchange.discard()
    throw refusal
  }
  const answer = await readObject(client, exchange, maxBytes).catch((error: unknown) => {
    throw refusal ?? error
  })
  if (refusal && !(answer && isStoreResponse(answer))) throw refusal
  return acknowledgements(answer ?? {})
}

/** What became of one instance: what an archive does not list it has not stored, whatever its status line said. */
export const outcomeOf = (listed: Acknowledgements, { sopInstanceUID }: InstanceHeader): StoreResult['outcome'] =>
  listed.get(sopInstanceUID) ?? { status: 'failed', failureReason: processingFailure }

/** Also when it lists nothing: that is what Orthanc says of a request of which it could read no part. */
const isStoreResponse = (answer: Dataset): boolean =>
  answer[tag.ReferencedSOPSequence] !== undefined || answer[tag.FailedSOPSequence] !== undefined

/** An instance that is in both lists has failed. */
export function acknowledgements(answer: Dataset): Acknowledgements {
  const listed = new Map<string, StoreResult['outcome']>()
  for (const [uid, item] of itemsOf(answer, tag.ReferencedSOPSequence)) {
    const warningReason = firstNumber(item, tag.WarningReason)
    listed.set(uid, { status: 'stored', ...(warningReason !== undefined && { warningReason }) })
  }
  for (const [uid, item] of itemsOf(answer, tag.FailedSOPSequence)) {
    listed.set(uid, { status: 'failed', failureReason: firstNumber(item, tag.FailureReason) ?? processingFailure })
  }
  return listed
}

function* itemsOf(answer: Dataset, sequence: Tag): Generator<readonly [string, Dataset]> {
  for (const item of (answer[sequence]?.Value ?? []) as readonly (Dataset | null)[]) {
    const uid = item && firstString(item, tag.ReferencedSOPInstanceUID)
    if (item && uid) yield [uid, item]
  }
}

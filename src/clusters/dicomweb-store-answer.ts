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

type Outcome = StoreResult['outcome']

/** What an archive said of the instances of one request. */
export interface Acknowledgements {
  /** The request was refused because of what was in it. */
  readonly refused: boolean
  /** By SOP Instance UID. */
  readonly listed: ReadonlyMap<string, Outcome>
  /** What became of those it did not list. */
  readonly others: Outcome
}

/**
 * Refusals of what was sent rather than of whoever sends, and the Failure Reason of each instance for which the body
 * lists none (PS3.18 table 10.5.3-1; Orthanc's 400 lists them). 413 is A700H, out of resources.
 */
const refusals: ReadonlyMap<number, number> = new Map([
  [400, processingFailure],
  [409, processingFailure],
  [413, 0xa700],
  [415, processingFailure],
  [422, processingFailure],
])

/** STOW-RS of a body that `writeMultipart` could have written with this boundary. Throws `ClusterError`. */
export async function post(
  client: DicomwebClient,
  { boundary, body }: { readonly boundary: string; readonly body: AsyncIterable<Uint8Array> },
  maxJsonBytes: number,
  signal: AbortSignal,
): Promise<Acknowledgements> {
  const content = { type: `multipart/related; type="application/dicom"; boundary="${boundary}"`, body }
  const call = { method: 'POST', path: '/studies', accept: 'application/dicom+json', content, signal } as const
  return readAcknowledgements(client, await client.exchange(call), maxJsonBytes)
}

/**
 * Reads the Store Instances Response Module, PS3.18 I.2. What an archive does not list it has not stored, whatever its
 * status line said. A refusal of what was in the request fails its instances; any other is thrown.
 */
async function readAcknowledgements(
  client: DicomwebClient,
  exchange: Exchange,
  maxBytes: number,
): Promise<Acknowledgements> {
  const { status } = exchange
  const reason = reasonOfStatus(status)
  const failureReason = refusals.get(status)
  if (!reason)
    return { refused: false, listed: listedIn(await readObject(client, exchange, maxBytes)), others: failed() }
  if (failureReason !== undefined) {
    const listed = listedIn(await readWhatItLists(client, exchange, maxBytes))
    return { refused: true, listed, others: failed(failureReason) }
  }
  exchange.discard()
  throw client.error(reason, statusText(status), { status })
}

/** What became of one instance. */
export const outcomeOf = ({ listed, others }: Acknowledgements, { sopInstanceUID }: InstanceHeader): Outcome =>
  listed.get(sopInstanceUID) ?? others

/** The body of a refusal is as often a page or a text for a person to read. */
async function readWhatItLists(
  client: DicomwebClient,
  exchange: Exchange,
  maxBytes: number,
): Promise<Dataset | undefined> {
  try {
    if (saysJson(exchange)) return await readObject(client, exchange, maxBytes)
    exchange.discard()
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error
  }
  return undefined
}

const failed = (failureReason = processingFailure): Outcome => ({ status: 'failed', failureReason })

/** An instance that is in both lists has failed. */
function listedIn(answer: Dataset = {}): ReadonlyMap<string, Outcome> {
  const listed = new Map<string, Outcome>()
  for (const [uid, item] of itemsOf(answer, tag.ReferencedSOPSequence)) {
    const warningReason = firstNumber(item, tag.WarningReason)
    listed.set(uid, { status: 'stored', ...(warningReason !== undefined && { warningReason }) })
  }
  for (const [uid, item] of itemsOf(answer, tag.FailedSOPSequence)) {
    listed.set(uid, failed(firstNumber(item, tag.FailureReason)))
  }
  return listed
}

function* itemsOf(answer: Dataset, sequence: Tag): Generator<readonly [string, Dataset]> {
  for (const item of (answer[sequence]?.Value ?? []) as readonly (Dataset | null)[]) {
    const uid = item && firstString(item, tag.ReferencedSOPInstanceUID)
    if (item && uid) yield [uid, item]
  }
}

import type { Cluster, InstanceUpload, StoreResult } from '../clusters/cluster.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import { ClusterError } from '../core/outcome.ts'
import { sniffInstance } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'

export interface ConvergeResult {
  /** Instances the target acknowledged in this run. */
  readonly sent: number
  /** Instances the target refuses whatever is done: asking again changes nothing. */
  readonly refused: readonly { readonly instance: Uid; readonly reason: number }[]
}

export interface ConvergeOptions {
  /** Where the study may be read, the best location first; the target is not among them. */
  readonly sources: readonly Cluster[]
  /** False: only a target that holds something of the study already gets the rest (`updates: holders`). */
  readonly startsStudies: boolean
  /** Told how many instances the target acknowledged since the last time. */
  readonly onProgress: (sent: number) => void
}

/** Instances sent in one STOW-RS request: small enough that a failure costs little, large enough to be fast. */
const batchSize = 100

/**
 * Makes one cluster hold everything of one study that the sources hold: compares inventories and sends what is
 * missing, streamed from the best location, in the transfer syntax it is stored in. Running it again changes nothing.
 * Throws `ClusterError` when it could not be brought to its end; what was sent until then counts next time.
 */
export async function converge(
  study: Uid,
  target: Cluster,
  options: ConvergeOptions,
  signal: AbortSignal,
): Promise<ConvergeResult> {
  const [held, ...holdings] = await Promise.all(
    [target, ...options.sources].map((cluster) => takeInventory(cluster, { study }, signal)),
  )
  if (!held || (held.size === 0 && !options.startsStudies)) return { sent: 0, refused: [] }
  const missing = difference(holdings, held)
  const refused: { instance: Uid; reason: number }[] = []
  let sent = 0
  for (let start = 0; start < missing.length; start += batchSize) {
    const batch = missing.slice(start, start + batchSize)
    const results = await target.store(uploads(study, batch, holdings, options.sources, signal), signal)
    const stored = results.filter(({ outcome }) => outcome.status === 'stored').length
    sent += stored
    options.onProgress(stored)
    refused.push(...permanentRefusals(target, results))
  }
  return { sent, refused }
}

type Missing = readonly [instance: Uid, series: Uid]

function difference(holdings: readonly Inventory[], held: Inventory): Missing[] {
  const union = new Map(holdings.flatMap((inventory) => [...inventory]))
  return [...union].filter(([instance]) => !held.has(instance))
}

async function* uploads(
  study: Uid,
  batch: readonly Missing[],
  holdings: readonly Inventory[],
  sources: readonly Cluster[],
  signal: AbortSignal,
): AsyncGenerator<InstanceUpload> {
  for (const [instance, series] of batch) {
    const holders = sources.filter((_, index) => holdings[index]?.has(instance))
    yield* fetchFromAny(holders, { study, series, instance }, signal)
  }
}

/** The instance from the first holder that begins to deliver it. */
async function* fetchFromAny(
  holders: readonly Cluster[],
  target: { study: Uid; series: Uid; instance: Uid },
  signal: AbortSignal,
): AsyncGenerator<InstanceUpload> {
  let failure: unknown
  for (const holder of holders) {
    let begun = false
    try {
      const parts = await holder.retrieve({ kind: 'instances', target, transferSyntax: '*' }, signal)
      for await (const part of parts) {
        const upload = await identify(holder, part.body, target.instance)
        begun = true
        yield upload
      }
      if (begun) return
    } catch (thrown) {
      if (begun || !(thrown instanceof ClusterError)) throw thrown
      failure = thrown
    }
  }
  throw (
    failure ??
    new ClusterError(holders[0]?.id ?? 'unknown', 'malformed', `lists instance ${target.instance} but sends nothing`)
  )
}

/** Bytes of an instance within which its UIDs must have been found. */
const maxHeaderBytes = 1024 * 1024

async function identify(holder: Cluster, body: AsyncIterable<Uint8Array>, expected: Uid): Promise<InstanceUpload> {
  const upload = await sniffInstance(body, { maxHeaderBytes })
  if (upload.header.sopInstanceUID === expected) return upload
  throw new ClusterError(holder.id, 'malformed', `answered with another instance than ${expected}`)
}

/**
 * Reasons that asking again does not change: no such SOP class here (0122H, A8xxH), other content under the same UID
 * (0111H), not understood (Cxxx). Any other failure, out of resources above all, may pass and fails the run.
 */
const isPermanent = (reason: number) =>
  reason === 0x0111 || reason === 0x0122 || (reason & 0xf000) === 0xc000 || (reason & 0xff00) === 0xa800

function permanentRefusals(target: Cluster, results: readonly StoreResult[]) {
  const failed = results.flatMap(({ header, outcome }) =>
    outcome.status === 'failed' ? [{ instance: header.sopInstanceUID, reason: outcome.failureReason }] : [],
  )
  const passing = failed.find(({ reason }) => !isPermanent(reason))
  if (passing) {
    const code = passing.reason.toString(16).padStart(4, '0').toUpperCase()
    throw new ClusterError(
      target.id,
      'failed',
      `did not store ${failed.length} of ${results.length} instances (${code}H)`,
    )
  }
  return failed
}

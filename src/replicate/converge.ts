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
}

/**
 * Makes one cluster hold everything of one study that the sources hold: compares inventories and sends what is
 * missing, streamed from the best location, in the transfer syntax it is stored in. Running it again changes nothing.
 * A source that does not answer does not keep the others from being read. Throws `ClusterError` when it could not be
 * brought to its end, by that source too; what was sent until then counts next time.
 */
export async function converge(
  study: Uid,
  target: Cluster,
  options: ConvergeOptions,
  signal: AbortSignal,
): Promise<ConvergeResult> {
  const held = await takeInventory(target, { study }, signal)
  if (held.size === 0 && !options.startsStudies) return { sent: 0, refused: [] }
  const { holdings, failure } = await inventoriesOf(options.sources, study, signal)
  const missing = difference(holdings, held)
  const results = missing.length > 0 ? await target.store(uploads(study, missing, holdings, signal), signal) : []
  const refused = permanentRefusals(target, results)
  if (failure) throw failure
  return { sent: results.length - refused.length, refused }
}

interface Holding {
  readonly cluster: Cluster
  readonly inventory: Inventory
}

async function inventoriesOf(sources: readonly Cluster[], study: Uid, signal: AbortSignal) {
  const taken = await Promise.allSettled(sources.map((cluster) => takeInventory(cluster, { study }, signal)))
  const holdings = sources.flatMap((cluster, index): Holding[] => {
    const outcome = taken[index]
    return outcome?.status === 'fulfilled' ? [{ cluster, inventory: outcome.value }] : []
  })
  const failure: unknown = taken.find((outcome) => outcome.status === 'rejected')?.reason
  return { holdings, failure }
}

type Missing = readonly [instance: Uid, series: Uid]

function difference(holdings: readonly Holding[], held: Inventory): Missing[] {
  const union = new Map(holdings.flatMap(({ inventory }) => [...inventory]))
  return [...union].filter(([instance]) => !held.has(instance))
}

async function* uploads(
  study: Uid,
  missing: readonly Missing[],
  holdings: readonly Holding[],
  signal: AbortSignal,
): AsyncGenerator<InstanceUpload> {
  for (const [instance, series] of missing) {
    const holders = holdings.filter(({ inventory }) => inventory.has(instance)).map(({ cluster }) => cluster)
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
      const request = { kind: 'instances', target, transferSyntax: '*', patient: true } as const
      const parts = await holder.retrieve(request, signal)
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

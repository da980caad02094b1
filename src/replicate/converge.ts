import type { Cluster, StoreResult } from '../clusters/cluster.ts'
import type { ListedInstance } from '../clusters/inventory.ts'
import { failuresIn, notStored, type Refused } from '../clusters/refused.ts'
import type { ClusterError } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import { type Holdings, holdingsOf, whatLacks } from './holdings.ts'
import { type Holding, type Missing, readMissing } from './read-missing.ts'

export interface ConvergeResult {
  /** Instances the target acknowledged in this run. */
  readonly sent: number
  /** What the target refused in this run. */
  readonly refused: readonly Refused[]
  /** How many instances the target and each source that answered hold now, by cluster id. */
  readonly held: ReadonlyMap<string, number>
}

export interface RefusalsOfRun {
  /** What the target refused in earlier runs: not sent again, and not missed. */
  readonly before: ReadonlySet<Uid>
  /** Awaited with what it refuses in this one, also when the run fails of something else. */
  readonly note: (refused: readonly Refused[]) => Promise<void>
}

export interface ConvergeOptions {
  /** Where the study may be read, the best location first; the target is not among them. */
  readonly sources: readonly Cluster[]
  /** False: only a target that holds something of the study already gets the rest (`updates: holders`). */
  readonly startsStudies: boolean
  /**
   * What the target has already is sent too: it keeps what it has, and says so when that has other content. For sources
   * whose content is not to be let go before that is known.
   */
  readonly provesHeld?: boolean
  /** What does not travel is not sent, and not missed: the run succeeds without it. */
  readonly travels: Travels
  /** Absent: what the target refused before is sent again, as somebody asks for who wants to know. */
  readonly refusals?: RefusalsOfRun
  /** Bytes of an instance read whole before the target sees it, so that one that cannot be read does no harm. */
  readonly maxBufferedPartBytes: number
}

/**
 * Makes one cluster hold everything of one study that the sources hold: compares inventories and sends what is
 * missing, streamed from the best location, in the transfer syntax it is stored in. Running it again changes nothing.
 * A source that does not answer and an instance that cannot be read do not keep the others from being sent. Throws
 * `ClusterError` when it could not be brought to its end, by those too; what was sent until then counts next time.
 */
export async function converge(
  study: Uid,
  target: Cluster,
  options: ConvergeOptions,
  signal: AbortSignal,
): Promise<ConvergeResult> {
  const held = await holdingsOf(target, study, signal)
  if (held.size === 0 && !options.startsStudies) return { sent: 0, refused: [], held: new Map([[target.id, 0]]) }
  const failures: unknown[] = []
  const holdings = await inventoriesOf(options.sources, study, failures, signal)
  const missing = whatIsMissing(holdings, options.provesHeld ? new Map() : held, options)
  const reading = { ...options, holdings, failed: (failure: ClusterError) => failures.push(failure) }
  const uploads = readMissing(missing, reading, signal)
  const results = missing.length > 0 ? await target.store(uploads, signal) : []
  const refused = await refusedIn(results, failures, { target, options })
  const stored = results.filter(({ outcome }) => outcome.status === 'stored')
  const sent = stored.filter(({ header }) => !held.has(header.sopInstanceUID)).length
  const counts = holdings.map(({ cluster, inventory }) => [cluster.id, inventory.size] as const)
  return { sent, refused, held: new Map([...counts, [target.id, held.size + sent]]) }
}

/** Instances of a study at the same time: the target is sent them together. */
const broughtAtOnce = 4

/**
 * Brings instances that the sources are known to hold, without listing it there: each by a call of its own, several at
 * the same time. Otherwise as {@link converge}.
 */
export async function bring(
  instances: readonly ListedInstance[],
  target: Cluster,
  options: Omit<ConvergeOptions, 'startsStudies'>,
  signal: AbortSignal,
): Promise<Pick<ConvergeResult, 'sent' | 'refused'>> {
  const { sources: holders, travels, refusals } = options
  const wanted = instances.filter((it) => travels(it.sopClass) && !refusals?.before.has(it.instance))
  const failures: unknown[] = []
  const reading = { ...options, failed: (failure: ClusterError) => failures.push(failure) }
  const results: StoreResult[] = []
  const left = wanted.values()
  const work = async () => {
    for (const it of left) {
      const upload = readMissing([{ target: it, holders }], reading, signal)
      results.push(...(await target.store(upload, signal)))
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: broughtAtOnce }, work))
  const broken = ended.find((it) => it.status === 'rejected')
  if (broken) throw broken.reason
  const refused = await refusedIn(results, failures, { target, options })
  return { sent: results.length - refused.length, refused }
}

interface Sent {
  readonly target: Cluster
  readonly options: Pick<ConvergeOptions, 'refusals'>
}

/** What the target refused for good, when that is noted. Throws what else kept instances from being stored. */
async function refusedIn(
  results: readonly StoreResult[],
  failures: readonly unknown[],
  { target, options }: Sent,
): Promise<readonly Refused[]> {
  const { refused, passing } = failuresIn(results)
  if (refused.length > 0) await options.refusals?.note(refused)
  if (passing) throw notStored(target, passing, results)
  if (failures.length > 0) throw failures[0]
  return refused
}

async function inventoriesOf(
  sources: readonly Cluster[],
  study: Uid,
  failures: unknown[],
  signal: AbortSignal,
): Promise<Holding[]> {
  const taken = await Promise.allSettled(sources.map((cluster) => holdingsOf(cluster, study, signal)))
  failures.push(...taken.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : [])))
  return sources.flatMap((cluster, index): Holding[] => {
    const outcome = taken[index]
    return outcome?.status === 'fulfilled' ? [{ cluster, inventory: outcome.value }] : []
  })
}

function whatIsMissing(
  holdings: readonly Holding[],
  held: Holdings,
  { travels, refusals }: ConvergeOptions,
): Missing[] {
  const others = holdings.map(({ inventory }) => inventory)
  const wanted = whatLacks(held, others, travels).filter(({ instance }) => !refusals?.before.has(instance))
  return wanted.map((target) => {
    const holders = holdings.filter(({ inventory }) => inventory.has(target.instance)).map(({ cluster }) => cluster)
    return { target, holders }
  })
}

import type { Cluster, InstanceUpload, StoreResult } from '../clusters/cluster.ts'
import type { ListedInstance } from '../clusters/inventory.ts'
import { failuresIn, notStored, type Refused } from '../clusters/refused.ts'
import { sniffPart } from '../clusters/sniff.ts'
import { ClusterError } from '../core/outcome.ts'
import { holdBack } from '../dicom/hold-back.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import { type Holdings, holdingsOf, whatLacks } from './holdings.ts'

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
  const uploads = readAll(missing, options, failures, signal)
  const results = missing.length > 0 ? await target.store(uploads, signal) : []
  const refused = await refusedIn(results, failures, { target, options })
  const stored = results.filter(({ outcome }) => outcome.status === 'stored')
  const sent = stored.filter(({ header }) => !held.has(header.sopInstanceUID)).length
  const counts = holdings.map(({ cluster, inventory }) => [cluster.id, inventory.size] as const)
  return { sent, refused, held: new Map([...counts, [target.id, held.size + sent]]) }
}

/**
 * Brings instances that the sources are known to hold, without listing the study: each by a call of its own, since the
 * target is then asked for it alone. Otherwise as {@link converge}.
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
  const results: StoreResult[] = []
  for (const it of wanted) {
    const upload = readAll([{ target: it, holders }], options, failures, signal)
    results.push(...(await target.store(upload, signal)))
  }
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

interface Holding {
  readonly cluster: Cluster
  readonly inventory: Holdings
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

interface Missing {
  readonly target: ListedInstance
  readonly holders: readonly Cluster[]
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

/** What cannot be read is passed over and noted; what turns out not to travel is passed over. */
async function* readAll(
  missing: readonly Missing[],
  { travels, maxBufferedPartBytes }: Pick<ConvergeOptions, 'travels' | 'maxBufferedPartBytes'>,
  failures: unknown[],
  signal: AbortSignal,
): AsyncGenerator<InstanceUpload> {
  for (const { target, holders } of missing) {
    const opened = await openAtAny(holders, target, maxBufferedPartBytes, signal)
    if (opened instanceof ClusterError) {
      failures.push(opened)
      continue
    }
    try {
      if (travels(opened.upload.header.sopClassUID)) yield opened.upload
    } finally {
      await opened.close()
    }
  }
}

interface Opened {
  readonly upload: InstanceUpload
  close(): Promise<void>
}

/** The instance from the first holder that delivers it, or why the last one did not. */
async function openAtAny(
  holders: readonly Cluster[],
  target: ListedInstance,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Opened | ClusterError> {
  let failure = new ClusterError('any', 'not-found', `nobody holds instance ${target.instance}`)
  for (const holder of holders) {
    try {
      return await open(holder, target, maxBytes, signal)
    } catch (thrown) {
      if (!(thrown instanceof ClusterError)) throw thrown
      failure = thrown
    }
  }
  return failure
}

async function open(holder: Cluster, target: ListedInstance, maxBytes: number, signal: AbortSignal): Promise<Opened> {
  const request = { kind: 'instances', target, transferSyntax: '*', patient: true } as const
  const parts = (await holder.retrieve(request, signal))[Symbol.asyncIterator]()
  const close = async () => void (await parts.return?.())
  try {
    const first = await parts.next()
    if (first.done)
      throw new ClusterError(holder.id, 'malformed', `lists instance ${target.instance} but sends nothing`)
    const { header, body } = await sniffPart(holder, first.value)
    if (header.sopInstanceUID !== target.instance) {
      throw new ClusterError(holder.id, 'malformed', `answered with another instance than ${target.instance}`)
    }
    const whole = await holdBack({ ...first.value, body }, maxBytes)
    return { upload: { header, body: whole.body }, close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

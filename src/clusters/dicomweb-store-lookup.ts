import { inBatches } from '../core/batches.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { ClusterError } from '../core/outcome.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Target } from './cluster.ts'
import { untilAborted } from './fan-out.ts'
import type { Inventory, ListedInstance } from './inventory.ts'

/** UIDs in one question. */
const maxTogether = 50
/** Questions with a list in a row that did not find an instance the archive has, after which no more are asked. */
const maxDisproofs = 3

export interface LookupDeps {
  readonly cluster: string
  readonly clock: Clock
  /** For one question, in milliseconds. */
  readonly limitMs: number
  /** What there is below a target. */
  readonly inventoryOf: (target: Target, signal: AbortSignal) => Promise<Inventory>
  /** Which of these instances there are, in whatever study. */
  readonly listOf: (instances: readonly Uid[], signal: AbortSignal) => Promise<readonly ListedInstance[]>
}

/** The series an instance is in, if anywhere; or that this is to be asked for it alone. */
type Found = { readonly series: Uid | undefined } | 'alone'

/**
 * Whether an archive has an instance, asked by many calls that store one each: those that come while a question is on
 * its way are asked for together in the next one, which costs an archive what a question for one of them does.
 *
 * To an archive that does not know lists of UIDs, every instance in one would look absent. Lists are believed once
 * an instance that the archive has acknowledged was found in one.
 */
export class InstanceLookup {
  readonly #deps: LookupDeps
  readonly #together: (header: InstanceHeader) => Promise<Found>
  #isProven = false
  #disproofs = 0
  /** The archive has acknowledged it. */
  #witness: Uid | undefined

  constructor(deps: LookupDeps) {
    this.#deps = deps
    this.#together = inBatches((headers: readonly InstanceHeader[]) => this.#ask(headers), maxTogether)
  }

  acknowledged({ sopInstanceUID }: InstanceHeader): void {
    this.#witness = sopInstanceUID
  }

  /** The series of its study that the archive has an instance in. Throws `ClusterError`. */
  async seriesOf(header: InstanceHeader, signal: AbortSignal): Promise<Uid | undefined> {
    const found = await untilAborted(this.#together(header), signal)
    return found === 'alone' ? this.#alone(header, signal) : found.series
  }

  async #alone({ studyInstanceUID: study, sopInstanceUID: instance }: InstanceHeader, signal: AbortSignal) {
    return (await this.#deps.inventoryOf({ study, instance }, signal)).get(instance)
  }

  /** In no caller's time: the others wait for it as well. */
  async #ask(headers: readonly InstanceHeader[]): Promise<readonly Found[]> {
    const { clock, limitMs, cluster } = this.#deps
    using limit = deadline(clock, limitMs)
    try {
      return await untilAborted(this.#find(headers, limit.signal), limit.signal)
    } catch (thrown) {
      if (thrown !== limit.signal.reason) throw thrown
      throw new ClusterError(cluster, 'timed-out', `no answer within ${limitMs} ms`, { cause: thrown })
    }
  }

  async #find(headers: readonly InstanceHeader[], signal: AbortSignal): Promise<readonly Found[]> {
    const [first] = headers
    if (first && headers.length === 1) return [{ series: await this.#alone(first, signal) }]
    const listed = await this.#list(headers, signal)
    if (!listed) return headers.map(() => 'alone')
    return headers.map(({ studyInstanceUID, sopInstanceUID }) => {
      const it = listed.get(sopInstanceUID)
      // One that is in another study may be in this one as well.
      return it && it.study !== studyInstanceUID ? 'alone' : { series: it?.series }
    })
  }

  /** `undefined`: the archive is not known to answer such questions in full. */
  async #list(
    headers: readonly InstanceHeader[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<Uid, ListedInstance> | undefined> {
    const witness = this.#isProven ? undefined : this.#witness
    if (this.#disproofs >= maxDisproofs || (!this.#isProven && !witness)) return undefined
    const uids = headers.map(({ sopInstanceUID }) => sopInstanceUID)
    const listed = await this.#listOf(witness ? [...uids, witness] : uids, signal)
    if (witness) {
      this.#isProven = listed?.has(witness) === true
      this.#disproofs = this.#isProven ? 0 : this.#disproofs + 1
    }
    return this.#isProven ? listed : undefined
  }

  async #listOf(uids: readonly Uid[], signal: AbortSignal) {
    try {
      const listed = await this.#deps.listOf(uids, signal)
      return new Map(listed.map((it) => [it.instance, it]))
    } catch (thrown) {
      // It may still answer what it is asked for each.
      if (thrown instanceof ClusterError) return undefined
      throw thrown
    }
  }
}

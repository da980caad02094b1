import type { Cluster, InstanceUpload, StoreResult } from '../clusters/cluster.ts'
import type { Refused } from '../clusters/refused.ts'
import { ClusterError } from '../core/outcome.ts'
import { type Fetched, OtherContent } from './fetch.ts'

export interface TakeInOptions {
  readonly quarantine: (refused: Refused) => Promise<void>
  readonly failed: (failure: ClusterError) => void
}

/**
 * Stores what is fetched. What is not known to be whole is stored by a call of its own: when it breaks off on its way,
 * or is not what was promised, it alone is not stored. Throws what home throws.
 */
export const takeIn = (
  home: Cluster,
  fetched: AsyncGenerator<Fetched, void, undefined>,
  options: TakeInOptions,
  signal: AbortSignal,
): Promise<StoreResult[]> => new TakingIn(home, fetched, options, signal).toEnd()

class TakingIn {
  readonly #home: Cluster
  readonly #source: AsyncGenerator<Fetched, void, undefined>
  readonly #options: TakeInOptions
  readonly #signal: AbortSignal
  readonly #results: StoreResult[] = []
  #current: Fetched | undefined
  /** Home has begun to read the current one. */
  #isGiven = false

  constructor(
    home: Cluster,
    source: AsyncGenerator<Fetched, void, undefined>,
    options: TakeInOptions,
    signal: AbortSignal,
  ) {
    this.#home = home
    this.#source = source
    this.#options = options
    this.#signal = signal
  }

  async toEnd(): Promise<StoreResult[]> {
    try {
      await this.#advance()
      while (this.#current) await this.#store(this.#current)
      return this.#results
    } finally {
      await this.#source.return()
    }
  }

  async #advance(): Promise<void> {
    const next = await this.#source.next()
    this.#current = next.done ? undefined : next.value
    this.#isGiven = false
  }

  async #store(first: Fetched): Promise<void> {
    try {
      this.#results.push(...(await this.#home.store(this.#together(), this.#signal)))
    } catch (thrown) {
      this.#signal.throwIfAborted()
      await this.#passOver(first, thrown)
    }
    if (this.#isGiven) await this.#advance()
  }

  /** The current one, and those after it up to one that has to go alone. */
  async *#together(): AsyncGenerator<InstanceUpload, void, undefined> {
    for (let first = true; this.#current; first = false) {
      const { upload, isWhole } = this.#current
      if (!first && !isWhole) return
      this.#isGiven = true
      yield upload
      await this.#advance()
      if (!isWhole) return
    }
  }

  async #passOver({ failure }: Fetched, thrown: unknown): Promise<void> {
    if (failure instanceof OtherContent) await this.#options.quarantine(failure.refused)
    else if (failure instanceof ClusterError) this.#options.failed(failure)
    else throw thrown
  }
}

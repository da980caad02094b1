import type { Budget } from '../clusters/fan-out.ts'
import type { Ledger } from './ledger.ts'
import type { MergedRow } from './merge.ts'
import type { Walk } from './walk.ts'

/** Rows looked at in one go by a filter that can only be applied to whole rows. */
const siftedAtOnce = 200

/** Keeps the rows that match once all is known of them. */
export type Sift = (rows: readonly MergedRow[], budget: Budget) => Promise<MergedRow[]>

/**
 * One search as far as it has been walked: rows are only ever appended, so that pages of any size neither overlap nor
 * leave out. Kept for long as text, which takes a fifth of the memory.
 */
export class Snapshot {
  readonly ledger: Ledger
  readonly #walk: Walk
  readonly #sift: Sift | undefined
  readonly #rows: (MergedRow | string)[] = []
  /** Found in order, not yet sifted. */
  #waiting: MergedRow[] = []
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: { ledger: Ledger; walk: Walk; sift?: Sift | undefined }) {
    this.ledger = parts.ledger
    this.#walk = parts.walk
    this.#sift = parts.sift
  }

  /** Rows found so far. */
  get size(): number {
    return this.#rows.length
  }

  /** Rows found that have no place yet. */
  get pending(): number {
    return this.#walk.pending + this.#waiting.length
  }

  /** Whether there are no more rows than those found. */
  get done(): boolean {
    return this.#walk.done && this.#waiting.length === 0
  }

  /** Goes on until `to` rows are found or there are no more, for rows `from` on; one caller after the other. */
  extend(range: { readonly from: number; readonly to: number }, budget: Budget): Promise<void> {
    const own = this.#turn.then(() => this.#extend(range, budget))
    this.#turn = own.catch(() => undefined)
    return own
  }

  async #extend({ from, to }: { readonly from: number; readonly to: number }, budget: Budget): Promise<void> {
    while (this.#rows.length < to && !this.done) {
      budget.throwIfCallerLeft()
      if (this.#waiting.length === 0) this.#waiting = await this.#walk.next(to - this.#rows.length, budget)
      const next = this.#sift ? this.#waiting.slice(0, siftedAtOnce) : this.#waiting
      const kept = this.#sift ? await this.#sift(next, budget) : next
      this.#waiting = this.#waiting.slice(next.length)
      for (const row of kept) this.#rows.push(this.#rows.length < from ? JSON.stringify(row) : row)
      if (next.length === 0 && this.#walk.done) return
    }
  }

  /** Rows `from` up to `to`, the latter not included. */
  slice(from: number, to: number): MergedRow[] {
    return this.#rows.slice(from, to).map((row) => (typeof row === 'string' ? (JSON.parse(row) as MergedRow) : row))
  }

  /** To be called when it is put aside for long. */
  compact(): void {
    for (const [index, row] of this.#rows.entries()) {
      if (typeof row !== 'string') this.#rows[index] = JSON.stringify(row)
    }
  }
}

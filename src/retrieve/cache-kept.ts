import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import type { Uid } from '../dicom/uid.ts'
import type { InHand } from './in-hand.ts'

/**
 * How long an answer is given again without asking, in milliseconds. What is kept does not change by the rules of DICOM,
 * but archives correct the names of patients in it, and delete: that is to be seen soon. It is long enough for a study
 * to be opened by several, scrolled through and shown again.
 */
const keptMs = 5 * 60_000

/** About what an answer takes beside its bytes. */
const overheadBytes = 1024

interface Kept {
  readonly study: Uid
  readonly inHand: InHand
}

export interface KeptOptions {
  readonly maxBytes: number
  readonly clock: Clock
  /** Told of the bytes of all answers whenever they change. */
  readonly onChange: (bytes: number) => void
}

/** Answers in memory, the least used dropped for others. */
export class KeptAnswers {
  readonly #byKey: LRUCache<string, Kept>
  readonly #keysOf = new Map<Uid, Set<string>>()
  readonly #onChange: KeptOptions['onChange']

  constructor({ maxBytes, clock, onChange }: KeptOptions) {
    this.#onChange = onChange
    this.#byKey = new LRUCache<string, Kept>({
      maxSize: maxBytes,
      sizeCalculation: ({ inHand }, key) => inHand.length + key.length + overheadBytes * inHand.pieces.length,
      ttl: keptMs,
      ttlResolution: 0,
      perf: clock,
      dispose: ({ study, inHand }, key) => {
        this.#forgetKey(study, key)
        inHand.lending.dropped()
      },
    })
  }

  get(key: string): InHand | undefined {
    return this.#byKey.get(key)?.inHand
  }

  set(key: string, study: Uid, inHand: InHand): void {
    this.#byKey.set(key, { study, inHand })
    if (this.#byKey.has(key)) this.#keysOf.set(study, (this.#keysOf.get(study) ?? new Set()).add(key))
    this.#onChange(this.#byKey.calculatedSize)
  }

  forget(study: Uid): void {
    for (const key of this.#keysOf.get(study) ?? []) this.#byKey.delete(key)
    this.#onChange(this.#byKey.calculatedSize)
  }

  #forgetKey(study: Uid, key: string): void {
    const keys = this.#keysOf.get(study)
    keys?.delete(key)
    if (keys?.size === 0) this.#keysOf.delete(study)
  }
}

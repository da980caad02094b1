import { untilAborted } from '../clusters/fan-out.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Answer } from './cache-collect.ts'

/**
 * One fetch that all share who ask for the same while it is under way. It ends early when the last of them has left.
 * An answer that is not in memory can be read by one alone: it goes to the first who still waits.
 */
export class Flight<T> {
  readonly study: Uid
  /** In memory, or a stream that {@link join} gives to one. */
  readonly answer: Promise<Answer<T>>
  readonly #cancel = new AbortController()
  #waiting = 0
  /** Nothing of it is left to be cancelled when nobody waits. */
  #over = false

  constructor(study: Uid, fetch: (signal: AbortSignal) => Promise<Answer<T>>) {
    this.study = study
    // Lent to the flight itself until it is lent to those who wait, since it may be dropped before that.
    this.answer = fetch(this.#cancel.signal).then((answer) => {
      answer.inHand?.lending.given()
      return answer
    })
    this.answer.then(
      ({ inHand }) => {
        this.#over = inHand !== undefined
      },
      () => {
        this.#over = true
      },
    )
  }

  get isAbandoned(): boolean {
    return this.#cancel.signal.aborted
  }

  /**
   * Throws what the fetch throws. What is in memory has been lent. `undefined` when the answer is not in memory and
   * somebody else has it.
   */
  async join(signal: AbortSignal): Promise<Answer<T> | undefined> {
    this.#waiting++
    let own: Answer<T> | undefined
    try {
      const answer = await untilAborted(this.answer, signal)
      own = answer
      signal.throwIfAborted()
      answer.inHand?.lending.given()
      if (answer.inHand) return answer
      return this.#over ? undefined : this.#handOver(answer, signal)
    } finally {
      this.#waiting--
      if (this.#waiting === 0 && !this.#over) this.#cancel.abort(signal.reason)
      if (this.#waiting === 0) own?.inHand?.lending.done()
    }
  }

  #handOver(answer: Answer<T>, signal: AbortSignal): Answer<T> {
    this.#over = true
    signal.addEventListener('abort', () => this.#cancel.abort(signal.reason), { once: true })
    return answer
  }
}

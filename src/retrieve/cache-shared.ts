import { LRUCache } from 'lru-cache'
import type { CachedResource, CacheResult, Telemetry } from '../core/telemetry.ts'
import type { Uid } from '../dicom/uid.ts'
import { type Answer, type Collecting, collect, type Holding, inMemory, Room } from './cache-collect.ts'
import { Flight } from './cache-flight.ts'
import type { KeptAnswers } from './cache-kept.ts'
import type { InHand } from './in-hand.ts'
import type { Requester } from './service.ts'

/** What is asked for. */
export interface Asked {
  /** Differs whenever the answer may. */
  readonly key: string
  readonly resource: CachedResource
  readonly study: Uid
  /** Whether it can be given again later. */
  readonly isLasting: boolean
}

export interface SharedDependencies {
  readonly kept: KeptAnswers
  readonly collecting: Collecting
  readonly telemetry: Pick<Telemetry, 'cacheAsked'>
}

/** Gives the same answer to all who ask for the same, at the same time or, when it lasts, within minutes. */
export class Shared<T> {
  readonly #holding: Holding<T>
  readonly #deps: SharedDependencies
  readonly #flights = new Map<string, Flight<T>>()
  /** What turned out to be too large is asked for by each, at once and without being held. */
  readonly #tooLarge = new LRUCache<string, true>({ max: 10_000 })

  constructor(holding: Holding<T>, deps: SharedDependencies) {
    this.#holding = holding
    this.#deps = deps
  }

  async ask(asked: Asked, requester: Requester, fetch: (own: Requester) => Promise<Answer<T>>): Promise<Answer<T>> {
    const { key, resource } = asked
    const told = (result: CacheResult) => this.#deps.telemetry.cacheAsked(resource, result)
    const inHand = this.#hit(asked)
    if (inHand) return { status: 200, warnings: [], ...inMemory(inHand, this.#holding) }
    if (this.#tooLarge.has(key)) {
      told('too-large')
      return fetch(requester)
    }
    const known = this.#flights.get(key)
    const isOpen = known !== undefined && !known.isAbandoned
    told(isOpen ? 'coalesced' : 'miss')
    const flight = isOpen ? known : this.#depart(asked, (signal) => fetch({ ...requester, signal }))
    return (await flight.join(requester.signal)) ?? fetch(requester)
  }

  #hit({ key, resource }: Asked): InHand | undefined {
    const inHand = this.#deps.kept.get(key)
    if (!inHand) return undefined
    this.#deps.telemetry.cacheAsked(resource, 'hit')
    inHand.lending.given()
    return inHand
  }

  /** What is on its way is given to those who wait for it already, and to nobody else. */
  forget(study: Uid): void {
    for (const [key, flight] of this.#flights) if (flight.study === study) this.#flights.delete(key)
  }

  #depart(asked: Asked, fetch: Fetch<T>): Flight<T> {
    const flight = new Flight<T>(asked.study, (signal) => this.#collect(asked, fetch, signal))
    this.#flights.set(asked.key, flight)
    flight.answer.then(
      (answer) => this.#land(asked, flight, answer),
      () => this.#land(asked, flight),
    )
    return flight
  }

  async #collect({ key }: Asked, fetch: Fetch<T>, signal: AbortSignal): Promise<Answer<T>> {
    using room = new Room(this.#deps.collecting)
    const answer = await collect(await fetch(signal), this.#holding, room)
    if (room.isTooLarge) this.#tooLarge.set(key, true)
    return answer
  }

  #land(asked: Asked, flight: Flight<T>, answer?: Answer<T>): void {
    const { key, study, isLasting } = asked
    if (this.#flights.get(key) !== flight) return
    this.#flights.delete(key)
    if (isLasting && answer?.inHand && answer.status === 200 && answer.warnings.length === 0) {
      this.#deps.kept.set(key, study, { ...answer.inHand, again: () => this.#hit(asked) })
    }
  }
}

type Fetch<T> = (signal: AbortSignal) => Promise<Answer<T>>

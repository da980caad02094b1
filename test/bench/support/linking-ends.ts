import type { Version } from '../../../src/link/version.ts'
import { type Content, nothing, type Study } from './linked-load.ts'

/** How sites and lines between them are, beside what they have to tell. */
export interface Lines {
  readonly roundTripMs: number
  /** Of a site, each way, for all of its peers together; and of one pull at most. */
  readonly siteMbit: number
  readonly pullMbit: number
  /** An archive lists a study. */
  readonly inventoryMs: number
  /** An archive begins to answer a retrieval. */
  readonly retrieveMs: number
}

export interface Told {
  readonly content: Content
  readonly version: Version
}

export const nothingTold: Told = { content: nothing, version: {} }

/** Over how long what links that are not simulated do is evened out. */
const evenedMs = 600_000

interface Alike {
  /** Links over the same line that do the same at the same time, this one among them; and as much, at other times. */
  readonly together: number
  readonly apart: number
}

/** What one site has and does that others tell of studies. */
export class Receiver {
  readonly known = new Map<number, Told>()
  readonly #alike: Alike
  #active = 0
  #mean = 0
  #changedAt = 0

  constructor(alike: Alike) {
    this.#alike = alike
  }

  has(study: Study): Told {
    return this.known.get(study.id) ?? nothingTold
  }

  /** A pull begins or ends. */
  active(change: 1 | -1, now: number): void {
    this.#mean += (this.#active - this.#mean) * (1 - Math.exp((this.#changedAt - now) / evenedMs))
    this.#active += change
    this.#changedAt = now
  }

  /** Pulls that share the line now. */
  sharing(): number {
    return this.#active * this.#alike.together + this.#mean * this.#alike.apart
  }
}

export class Counts {
  runs = 0
  failedRuns = 0
  /** Studies that the peer was asked for whether it holds something. */
  asked = 0
  notices = 0
  noticeBytes = 0
  stale = 0
  /** Receipts asked for. */
  polls = 0
  retrievals = 0
  instances = 0
  bytes = 0
  /** Notices by hour. */
  readonly hours: number[] = []

  /** Of so many times as many links. */
  times(links: number): Counts {
    const scaled = new Counts()
    for (const [name, count] of Object.entries(this)) {
      if (typeof count === 'number') Object.assign(scaled, { [name]: count * links })
    }
    for (const [hour, count] of this.hours.entries()) scaled.hours[hour] = (count ?? 0) * links
    return scaled
  }
}

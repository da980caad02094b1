import type { SearchConstraint } from '../clusters/cluster.ts'
import { type DateRange, dateOf, dateOfDay, dayNumber, rangeKey } from '../dicom/dates.ts'
import { separable } from '../dicom/match.ts'
import { tag } from '../dicom/tags.ts'
import { parseRange } from '../dicom/temporal.ts'

/**
 * Archives do not sort, so the newest studies of a large one cannot be had by asking for its first rows. They are asked
 * for the last days instead, then for the days before, until there are enough; what has no date comes last.
 */

export type Window = { readonly kind: 'dates'; readonly range: DateRange } | { readonly kind: 'undated' }

/** How many rows there were in how many days: what the next window is sized by. */
export interface Density {
  readonly rows: number
  readonly days: number
}

/** Rows a window gets on top of what is needed, so that one of average density suffices. */
const margin = 1.25
/** How much longer or shorter than the one before it a window may be. */
const maxGrowth = 8
const firstDays = 2
const oldest = '19000101'

/** The dates a query is about: all, those of its key, or `undefined` when windows make no sense. */
export function boundsOf(constraints: readonly SearchConstraint[]): DateRange | undefined {
  const asked = separable(constraints)
  const about = (key: string) => asked.find(({ path, value }) => path[0] === key && value !== '')
  if (about(tag.StudyInstanceUID) || constraints.some(({ path, empty }) => path[0] === tag.StudyDate && empty)) {
    return undefined
  }
  const key = about(tag.StudyDate)
  if (!key) return {}
  const range = parseRange('DA', key.value)
  if (!range || range.single) return undefined
  const from = range.from && dateOf(range.from.at / 1000)
  return {
    // Below that a window that is open covers everything; rows are matched by the key itself anyway.
    ...(from !== undefined && from >= oldest && { from }),
    ...(range.to && { to: dateOf(range.to.at / 1000) }),
  }
}

/** Walks from the newest date to the oldest and on to what has none. */
export class Windows {
  readonly #bounds: DateRange
  /** The newest day not asked about yet; `undefined` for whatever the future holds. */
  #newest: string | undefined
  readonly #today: string
  #days: number
  /** The oldest day of a window that held too much. */
  #tooFar: string | undefined
  #state: 'dates' | 'undated' | 'done'
  /** The dates that have been asked about reach back to here; rows of this day and later are all known. */
  reached: string | undefined

  /** `first`: rows needed, and the density of the newest days when it is known. */
  constructor(
    bounds: DateRange,
    now: number,
    first: { readonly needed: number; readonly density?: Density | undefined },
  ) {
    this.#bounds = bounds
    this.#newest = bounds.to
    this.#today = dateOf(now)
    this.#days = first.density ? daysFor(first.needed, first.density) : firstDays
    this.#state = 'dates'
  }

  get done(): boolean {
    return this.#state === 'done'
  }

  /** The next window to ask for; the same again until {@link pass} or {@link narrow} is told how it went. */
  next(): Window {
    return this.#state === 'undated' ? { kind: 'undated' } : { kind: 'dates', range: this.#range() }
  }

  /** The window held this many rows, and this many more are needed. */
  pass(rows: number, needed: number): void {
    if (this.#state === 'undated') {
      this.#state = 'done'
      this.reached = ''
      return
    }
    const { from } = this.#range()
    if (from === undefined || (this.#bounds.from !== undefined && from <= this.#bounds.from)) {
      this.#state = this.#isBounded() ? 'done' : 'undated'
      this.reached = this.#isBounded() ? '' : (from ?? '0')
      return
    }
    this.reached = from
    this.#newest = addDays(from, -1)
    const longest = this.#days * maxGrowth
    const wanted = rows === 0 ? longest : daysFor(needed, { rows, days: this.#days })
    this.#days = Math.max(1, this.#cautious(Math.min(longest, wanted)))
  }

  /** The window held more than a cluster gives; `false` when it cannot be made smaller. */
  narrow(): boolean {
    const { from } = this.#range()
    const length = this.#lengthTo(from)
    if (this.#state !== 'dates' || length <= 1) return false
    this.#tooFar = from
    this.#days = Math.max(1, Math.floor(length / maxGrowth))
    return true
  }

  /** Days from the newest not asked about yet back to `from`. */
  #lengthTo(from: string | undefined): number {
    return from === undefined ? this.#days : daysBetween(from, this.#newest ?? this.#today)
  }

  /** Until what was too much is passed, windows go at most half-way to where it reached. */
  #cautious(days: number): number {
    if (this.#tooFar === undefined) return days
    const left = this.#lengthTo(this.#tooFar)
    if (left > 1) return Math.min(days, Math.ceil(left / 2))
    this.#tooFar = undefined
    return days
  }

  #range(): DateRange {
    const to = this.#newest
    const from = addDays(to ?? this.#today, 1 - this.#days)
    const { from: lowest } = this.#bounds
    if (lowest !== undefined && from <= lowest) return { from: lowest, ...(to !== undefined && { to }) }
    if (from < oldest && lowest === undefined) return to === undefined ? {} : { to }
    return { from, ...(to !== undefined && { to }) }
  }

  /** Who asks for dates does not ask for what has none. */
  #isBounded(): boolean {
    return this.#bounds.from !== undefined || this.#bounds.to !== undefined
  }
}

const daysFor = (needed: number, { rows, days }: Density): number =>
  rows === 0 ? days * maxGrowth : Math.max(1, Math.ceil((needed * margin * days) / rows))

/** The key for a window, in place of the query's own. */
export function withWindow(constraints: readonly SearchConstraint[], range: DateRange) {
  const others = constraints.filter(({ path }) => path[0] !== tag.StudyDate)
  if (range.from === undefined && range.to === undefined) return others
  return [...others, { path: [tag.StudyDate], value: rangeKey(range) }]
}

export const describeWindow = (window: Window): string =>
  window.kind === 'undated' ? 'undated' : `${window.range.from ?? ''}-${window.range.to ?? ''}`

/** Days from one date to another, both counted. */
export const daysBetween = (from: string, to: string): number => Math.max(1, dayNumber(to) - dayNumber(from) + 1)

const addDays = (date: string, days: number): string => dateOfDay(Math.max(dayNumber(date) + days, firstDay))

/** Four digits of a year are all there are. */
const firstDay = dayNumber('10000101')

import { badRequest } from '../core/errors.ts'

/* Members of JSON that others wrote. `name` says in errors which one it is; all of it throws `bad-request`. */

export type Members = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A value in an error, cut short; lists and objects, which may be deep, only by their kind. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (isObject(value)) return 'an object'
  if (typeof value !== 'string') return String(value)
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
}

export function oneOf<Word extends string>(name: string, words: readonly Word[], value: unknown): Word {
  const word = words.find((it) => it === value)
  if (word === undefined) throw badRequest(`${name}: ${show(value)} is none of ${words.join(', ')}`)
  return word
}

/** RFC 3339, with a zone: without one nobody knows when it was. */
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/

/** To the millisecond. */
export function timeOf(name: string, value: unknown): Date {
  const isTime = typeof value === 'string' && timePattern.test(value) && isDay(value.slice(0, 10))
  const time = isTime ? new Date(value) : undefined
  if (time === undefined || Number.isNaN(time.getTime())) {
    throw badRequest(`${name}: ${show(value)} is no time; expected one such as 2026-01-31T10:15:00Z`)
  }
  return time
}

/** The parser of dates takes the 30th of February for the 2nd of March. */
function isDay(text: string): boolean {
  const day = new Date(text)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)
}

/** Clocks of other systems run ahead by so much. */
const clockSkewMs = 300_000
/** Nothing was told to a PACS before. */
const earliest = Date.UTC(1970, 0, 1)

/** Throws for a time that has not come, by a clock that shows `now`, in milliseconds since the epoch. */
export function requirePast(name: string, time: Date, now: number): void {
  if (time.getTime() >= earliest && time.getTime() <= now + clockSkewMs) return
  throw badRequest(`${name}: lies in the future, or before 1970`)
}

/** Whether a text holds control characters other than line breaks and tabs, or half a character. */
export const isUnprintable = (text: string): boolean =>
  !text.isWellFormed() || /\p{Cc}/u.test(text.replaceAll(/[\n\t]/g, ''))

export function wholeNumber(name: string, { min, max }: { min: number; max: number }, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw badRequest(`${name}: ${show(value)} is no whole number from ${min} to ${max}`)
}

/** At most `max` items, each read under its name, such as `series[3]`. */
export function listOf<Item>(
  name: string,
  { value, max }: { value: unknown; max: number },
  read: (item: unknown, name: string) => Item,
): Item[] {
  if (!Array.isArray(value)) throw badRequest(`${name}: expected a list`)
  if (value.length > max) throw badRequest(`${name}: ${value.length} items; ${max} is the most there may be`)
  return value.map((item: unknown, index) => read(item, `${name}[${index}]`))
}

export function objectIn(name: string, value: unknown): Members {
  if (!isObject(value)) throw badRequest(`${name}: expected an object`)
  return value
}

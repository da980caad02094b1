/** Dates, times and date-times as spans of microseconds: what their precision leaves open is part of them. */

/** From `at` on for `span` microseconds: `2026` is a whole year, `1015` a minute of a day. */
export interface Moment {
  /** Microseconds since the epoch, of a TM since midnight, as read from a clock on the wall. */
  readonly at: number
  readonly span: number
  /** Offset from UTC in microseconds, of a DT that has one. */
  readonly offset?: number
}

/** A matching key of VR DA, TM or DT, PS3.4 C.2.2.2.5; both ends inclusive, an open end is absent. */
export interface TemporalRange {
  readonly from?: Moment
  readonly to?: Moment
  /** Written as one value rather than as a range. */
  readonly single: boolean
}

export type TemporalVr = 'DA' | 'TM' | 'DT'

export const isTemporal = (vr: string): vr is TemporalVr => vr === 'DA' || vr === 'TM' || vr === 'DT'

const second = 1_000_000
const minute = 60 * second
const hour = 60 * minute
export const day = 24 * hour

const parsers: Readonly<Record<TemporalVr, (text: string) => Moment | undefined>> = {
  DA: (text) => (text.length === 8 ? parseCalendar(text) : undefined),
  TM: parseClock,
  DT: parseDateTime,
}

/** A date as archives can be asked for it in ranges. */
export const isPlainDate = (text: string | undefined): boolean =>
  text !== undefined &&
  /^\d{8}$/.test(text) &&
  isDay(Number(text.slice(0, 4)), Number(text.slice(4, 6)), Number(text.slice(6)))

/** `YYYYMMDD` of a Study Date, also of the old form `YYYY.MM.DD`; empty for anything else, as of no date. */
export function plainDate(text: string | undefined): string {
  const digits = text?.trim().replace(/^(\d{4})[.-](\d\d)[.-](\d\d)$/, '$1$2$3')
  return digits !== undefined && isPlainDate(digits) ? digits : ''
}

/** A value of a dataset; takes the separators of old and of careless senders (`2026.01.31`, `10:15:00`). */
export function parseMoment(vr: TemporalVr, text: string): Moment | undefined {
  const bare = vr === 'DA' ? text.replaceAll(/[.-]/g, '') : vr === 'TM' ? text.replaceAll(':', '') : text
  return parsers[vr](bare.trim())
}

/** A matching key: one value, `from-to`, `from-` or `-to`. `undefined` when it is none of these. */
export function parseRange(vr: TemporalVr, text: string): TemporalRange | undefined {
  const key = text.trim()
  const one = parsers[vr](key)
  if (one !== undefined) return { from: one, to: one, single: true }
  // An offset from UTC may hold the same hyphen that separates: the first place that leaves two values is it.
  for (let at = key.indexOf('-'); at >= 0; at = key.indexOf('-', at + 1)) {
    const range = parseEnds(vr, key.slice(0, at).trim(), key.slice(at + 1).trim())
    if (range !== undefined) return range
  }
  return undefined
}

function parseEnds(vr: TemporalVr, first: string, last: string): TemporalRange | undefined {
  const from = parsers[vr](first)
  const to = parsers[vr](last)
  if ((from === undefined && first !== '') || (to === undefined && last !== '')) return undefined
  if (from === undefined && to === undefined) return undefined
  return { ...(from && { from }), ...(to && { to }), single: false }
}

/** Whether a value lies in the range. Offsets count when both have one; otherwise clocks on the wall are compared. */
export function inRange({ from, to }: TemporalRange, value: Moment): boolean {
  if (from !== undefined && distance(value, from) < 0) return false
  return to === undefined || distance(value, to) < to.span
}

/** From a bound to a value, in microseconds. */
export const distance = (value: Moment, bound: Moment): number =>
  value.at - bound.at - (value.offset === undefined || bound.offset === undefined ? 0 : value.offset - bound.offset)

/** A moment whose offset is `zone` unless it has one of its own. */
export const inZone = <M extends Moment | undefined>(moment: M, zone: number | undefined): M =>
  moment === undefined || moment.offset !== undefined || zone === undefined ? moment : { ...moment, offset: zone }

/** A range both ends of which are in a zone (`±HHMM`) unless they have one of their own. */
export function rangeInZone({ from, to, single }: TemporalRange, timezone: string | undefined): TemporalRange {
  const zone = timezone === undefined ? undefined : parseOffset(timezone)
  return { ...(from && { from: inZone(from, zone) }), ...(to && { to: inZone(to, zone) }), single }
}

/**
 * The date and the time of a key taken together, PS3.18 8.3.4.1.1 and PS3.4 C.2.2.2.5.4: only ranges of the same form
 * are one range, anything else is matched attribute by attribute (`undefined`).
 */
export function combine(date: TemporalRange, time: TemporalRange): TemporalRange | undefined {
  const from = combineEnds(date.from, time.from)
  const to = combineEnds(date.to, time.to)
  if (date.single || time.single || from === 'unlike' || to === 'unlike') return undefined
  return { ...(from && { from }), ...(to && { to }), single: false }
}

function combineEnds(date: Moment | undefined, time: Moment | undefined): Moment | undefined | 'unlike' {
  if (date === undefined && time === undefined) return undefined
  return date === undefined || time === undefined ? 'unlike' : atTime(date, time)
}

/** A time on a day. */
export const atTime = (date: Moment, time: Moment): Moment => ({ at: date.at + time.at, span: time.span })

/** YYYY, YYYYMM or YYYYMMDD. */
function parseCalendar(text: string): Moment | undefined {
  const match = /^(\d{4})(?:(\d{2})(\d{2})?)?$/.exec(text)
  if (match === null) return undefined
  const [year, month, date] = [Number(match[1]), Number(match[2] ?? 1), Number(match[3] ?? 1)]
  const at = dayOf(year, month, date)
  if (at === undefined) return undefined
  if (match[3] !== undefined) return { at, span: day }
  const next = match[2] === undefined || month === 12 ? dayOf(year + 1, 1, 1) : dayOf(year, month + 1, 1)
  return { at, span: (next ?? at) - at }
}

/** The days between the calendars of two places are two at most, from -1200 to +1400. */
const zoneDays = 2

/** A range of dates with the days that its ends may be in another time zone; an end that leaves the calendar is open. */
export function widenDates({ from, to }: TemporalRange): string {
  const first = from && dateText(from.at - zoneDays * day)
  const last = to && dateText(to.at + zoneDays * day)
  return first === undefined && last === undefined ? '' : `${first ?? ''}-${last ?? ''}`
}

/** YYYYMMDD; `undefined` outside the years 0000 to 9999. */
function dateText(at: number): string | undefined {
  const text = new Date(at / 1000).toISOString()
  return /^\d{4}-/.test(text) ? text.slice(0, 10).replaceAll('-', '') : undefined
}

/** Microseconds since the epoch; `undefined` for a day that is in no calendar. */
function dayOf(year: number, month: number, date: number): number | undefined {
  return isDay(year, month, date) ? new Date(0).setUTCFullYear(year, month - 1, date) * 1000 : undefined
}

/** HH, HHMM, HHMMSS or HHMMSS.F to HHMMSS.FFFFFF; a leap second is the sixtieth. */
function parseClock(text: string): Moment | undefined {
  const match = /^(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?$/.exec(text)
  if (match === null) return undefined
  const [, hours, minutes, seconds, fraction] = match
  if (Number(hours) > 23 || Number(minutes ?? 0) > 59 || Number(seconds ?? 0) > 60) return undefined
  const at =
    Number(hours) * hour +
    Number(minutes ?? 0) * minute +
    Number(seconds ?? 0) * second +
    Number((fraction ?? '').padEnd(6, '0'))
  if (fraction !== undefined) return { at, span: 10 ** (6 - fraction.length) }
  return { at, span: seconds !== undefined ? second : minutes !== undefined ? minute : hour }
}

/** YYYY[MM[DD[HH[MM[SS[.F]]]]]][±ZZXX]. */
function parseDateTime(text: string): Moment | undefined {
  const match = /^(\d{4,14})(\.\d{1,6})?([+-]\d{4})?$/.exec(text)
  if (match === null) return undefined
  const [, digits = '', fraction = '', zone] = match
  const offset = zone === undefined ? undefined : parseOffset(zone)
  const date = parseCalendar(digits.slice(0, 8))
  const clock = digits.slice(8) + fraction
  const time = clock === '' ? undefined : parseClock(clock)
  if (date === undefined || (zone !== undefined && offset === undefined)) return undefined
  if (time === undefined && clock !== '') return undefined
  return { ...(time === undefined ? date : atTime(date, time)), ...(offset === undefined ? {} : { offset }) }
}

/** `±HHMM` in microseconds, PS3.5 table 6.2-1: from -1200 to +1400; `undefined` for anything else. */
export function parseOffset(text: string): number | undefined {
  if (!/^[+-]\d{4}$/.test(text)) return undefined
  const [hours, minutes] = [Number(text.slice(1, 3)), Number(text.slice(3))]
  const offset = hours * hour + minutes * minute
  if (minutes > 59 || offset > (text.startsWith('-') ? 12 : 14) * hour) return undefined
  return text.startsWith('-') ? -offset : offset
}

/** Asked of every row: without the calendar of `Date`, which costs far more. */
const isDay = (year: number, month: number, date: number): boolean =>
  date >= 1 && date <= (month === 2 && isLeap(year) ? 29 : (daysIn[month] ?? 0))

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

/** By the number of the month, which begins with 1. */
const daysIn = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

import { type DateRange, dateOfDay, dayNumber } from '../dicom/dates.ts'

/** Before it digital archives hold little: one range for all of that. */
const firstYear = 1990

/** All dates there are, newest first: what is to come, each year back to 1990, and what was before. */
export function yearRanges(now: number): DateRange[] {
  const thisYear = new Date(now).getUTCFullYear()
  const years = Array.from({ length: thisYear - firstYear + 1 }, (_, ago) => thisYear - ago)
  return [
    { from: `${thisYear + 1}0101` },
    ...years.map((year) => ({ from: `${year}0101`, to: `${year}1231` })),
    { to: `${firstYear - 1}1231` },
  ]
}

/** What an open range is taken to reach to when it has to be split. */
const [oldest, newest] = ['10000101', '99991231']
const [longestYear, longestMonth] = [366, 31]

/**
 * A range in parts that are the same together, newest first: centuries in halves, a year in months, a month in days.
 * Nothing when it is a single day.
 */
export function splitRange(range: DateRange): DateRange[] {
  const [from, to] = [dayNumber(range.from ?? oldest), dayNumber(range.to ?? newest)]
  const days = to - from + 1
  if (days <= 1) return []
  const ends = days > longestYear ? [from + Math.floor(days / 2) - 1] : endsWithin(from, to, days <= longestMonth)
  const starts = [from, ...ends.map((end) => end + 1)]
  const parts = starts.map((start, at) => ({ from: dateOfDay(start), to: dateOfDay(ends[at] ?? to) }))
  return parts.map((part, at) => keepOpen(range, part, { first: at === 0, last: at === ends.length })).toReversed()
}

/** The days, of all but the last, on which a month or a day ends. */
function endsWithin(from: number, to: number, daily: boolean): number[] {
  const all = Array.from({ length: to - from }, (_, at) => from + at)
  return daily ? all : all.filter((day) => dateOfDay(day + 1).endsWith('01'))
}

const keepOpen = (whole: DateRange, part: Required<DateRange>, at: { first: boolean; last: boolean }): DateRange => ({
  ...((!at.first || whole.from !== undefined) && { from: part.from }),
  ...((!at.last || whole.to !== undefined) && { to: part.to }),
})

/** What two ranges have in common, if anything. */
export function overlapOf(a: DateRange, b: DateRange): DateRange | undefined {
  const from = [a.from ?? '', b.from ?? ''].sort().at(-1) ?? ''
  const to = [a.to ?? '99999999', b.to ?? '99999999'].sort()[0] ?? ''
  if (from > to) return undefined
  return { ...(from !== '' && { from }), ...(to !== '99999999' && { to }) }
}

/** Whether a date, `YYYYMMDD`, lies in a range. */
export const isWithin = (date: string, { from = '', to = '99999999' }: DateRange): boolean => date >= from && date <= to

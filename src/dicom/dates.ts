/** Study dates as they are written, `YYYYMMDD`, for walks through all there are. */

/** From and to, both inclusive; open where absent. */
export interface DateRange {
  readonly from?: string
  readonly to?: string
}

const dayMs = 86_400_000

/** Days since the epoch; before it they are negative. */
export function dayNumber(date: string): number {
  const midnight = new Date(0)
  midnight.setUTCFullYear(Number(date.slice(0, 4)), Number(date.slice(4, 6)) - 1, Number(date.slice(6, 8)))
  return midnight.getTime() / dayMs
}

/** The date of a number of days since the epoch. */
export const dateOfDay = (day: number): string => dateOf(day * dayMs)

/** The date, in UTC, of a moment in milliseconds since the epoch. */
export const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')

/** As the value of a matching key, PS3.4 C.2.2.2.5; `-` alone when both ends are open. */
export const rangeKey = ({ from = '', to = '' }: DateRange): string =>
  from === to && from !== '' ? from : `${from}-${to}`

import { type Attribute, type Dataset, strings, type Tag } from './dataset.ts'
import { keywordOf, tagOf, vrOf } from './dictionary.ts'
import { compileFuzzyName } from './names.ts'
import type { Constraint } from './query.ts'
import { tag as tags } from './tags.ts'
import {
  atTime,
  combine,
  day,
  distance,
  inRange,
  inZone,
  type Moment,
  parseMoment,
  parseOffset,
  parseRange,
  rangeInZone,
  type TemporalRange,
  widenDates,
} from './temporal.ts'
import { compileValue, invalidValue, isUniversal, type ValueTest } from './values.ts'

/**
 * What a dataset says to a key: it meets it, it does not, or it has no value for the attribute, so that nothing can
 * be said. A key without a value is met by every dataset.
 */
export type Verdict = 'match' | 'no-match' | 'absent'

export interface CompiledConstraint {
  /** The attributes it looks at: one, or the two of a date and a time matched together. */
  readonly paths: readonly (readonly Tag[])[]
  readonly judge: (dataset: Dataset) => Verdict
}

/** Prepares a key for matching by PS3.4 C.2.2.2. Throws `bad-request` when its value is none for its VR. */
export function compileConstraint({ path, value, fuzzy, empty, timezone }: Constraint): CompiledConstraint {
  const vr = vrOf(path.at(-1) ?? '')
  if (empty) return { paths: [path], judge: (dataset) => (isEmptyAt(dataset, path) ? 'match' : 'no-match') }
  if (isUniversal(vr, value)) return { paths: [], judge: () => 'match' }
  const test = fuzzy ? compileFuzzyName(value) : compileValue(vr, value, timezone)
  if (test === undefined) throw invalidValue(path.join('.'), path, vr, value)
  const judgeLast = vr === 'UN' ? judgeByOwnVr(value, timezone) : judgeValues(test)
  return { paths: [path], judge: (dataset) => judgePath(dataset, path, judgeLast) }
}

/** As {@link compileConstraint}, and takes ranges of a date and its time together (PS3.18 8.3.4.1.1). */
export function compileConstraints(constraints: readonly Constraint[]): CompiledConstraint[] {
  const together = datesAndTimes(constraints)
  const taken = new Set(together.flatMap(({ date, time }) => [date, time]))
  const others = constraints.filter((constraint) => !taken.has(constraint))
  return [...others.map(compileConstraint), ...together.map(compileDateAndTime)]
}

/**
 * What to ask somebody for who may match attribute by attribute: of a date and a time that are one range only the date,
 * since alone the time would exclude rows of other days; and in a time zone the days that its ends may be in others.
 * It asks for more than the keys themselves, never for less.
 */
export function separable<C extends Constraint>(constraints: readonly C[]): C[] {
  const together = datesAndTimes(constraints)
  const times = new Set<Constraint>(together.map(({ time }) => time))
  const zoned = new Map<Constraint, string>(
    together.flatMap(({ date, range }) => (date.timezone === undefined ? [] : [[date, widenDates(range)] as const])),
  )
  return constraints
    .filter((constraint) => !times.has(constraint))
    .map((constraint) => ({ ...constraint, value: zoned.get(constraint) ?? constraint.value }))
}

export const matchConstraint = (dataset: Dataset, compiled: CompiledConstraint): Verdict => compiled.judge(dataset)

/** For archives of our own, where an attribute that is not there is known not to be there. */
export const matchesAll = (dataset: Dataset, compiled: readonly CompiledConstraint[]): boolean =>
  compiled.every(({ judge }) => judge(dataset) === 'match')

/** `zone` is the offset from UTC that the dataset, or one around it, gives for its dates and times. */
type Judge = (dataset: Dataset, tag: Tag, zone: number | undefined) => Verdict

/** Follows a path into sequences, PS3.4 C.2.2.2.6: one item that matches is enough. */
function judgePath(dataset: Dataset, path: readonly Tag[], judgeLast: Judge, outerZone?: number): Verdict {
  const [tag = '', ...rest] = path
  const zone = zoneOf(dataset) ?? outerZone
  if (rest.length === 0) return judgeLast(dataset, tag, zone)
  const verdicts = itemsOf(dataset[tag]).map((item) => judgePath(item, rest, judgeLast, zone))
  if (verdicts.includes('match')) return 'match'
  return verdicts.includes('no-match') ? 'no-match' : 'absent'
}

function zoneOf(dataset: Dataset): number | undefined {
  const [text] = strings(dataset, tags.TimezoneOffsetFromUTC)
  return text === undefined ? undefined : parseOffset(text.trim())
}

/** Whether an attribute has no value, PS3.4 C.2.2.2.7; in a sequence, of one item at least, or of none there are. */
function isEmptyAt(dataset: Dataset, path: readonly Tag[]): boolean {
  const [tag = '', ...rest] = path
  const attribute = dataset[tag]
  const items = itemsOf(attribute)
  if (rest.length > 0) return items.length === 0 || items.some((item) => isEmptyAt(item, rest))
  if (attribute?.BulkDataURI !== undefined || (attribute?.InlineBinary ?? '') !== '') return false
  const isSequence = attribute?.vr === 'SQ' && items.length > 0
  return !isSequence && strings(dataset, tag).every((text) => text.trim() === '')
}

const itemsOf = (sequence: Attribute | undefined): Dataset[] => (sequence?.Value ?? []).filter(isItem)

const isItem = (value: unknown): value is Dataset => typeof value === 'object' && value !== null

/** Of an attribute with several values, one that matches is enough. */
const judgeValues =
  (test: ValueTest): Judge =>
  (dataset, tag, zone) => {
    const values = strings(dataset, tag)
    if (values.length === 0) return 'absent'
    return values.some((value) => test(value, zone)) ? 'match' : 'no-match'
  }

/** A private attribute is not in the dictionary: what it is, is known from the dataset that has it. */
function judgeByOwnVr(value: string, timezone: string | undefined): Judge {
  const judges = new Map<string, Judge>()
  return (dataset, tag, zone) => {
    const vr = dataset[tag]?.vr ?? 'UN'
    const judge = judges.get(vr) ?? judgeValues(compileValue(vr, value, timezone) ?? (() => false))
    judges.set(vr, judge)
    return judge(dataset, tag, zone)
  }
}

/** Study Date is the date of Study Time: the keywords say so. */
function isDateOf(date: readonly Tag[], time: readonly Tag[]): boolean {
  const keyword = keywordOf(time.at(-1) ?? '')
  if (date.length !== time.length || !keyword?.endsWith('Time')) return false
  const partner = tagOf(keyword.replace(/Time$/, 'Date'))
  return date.every((tag, at) => tag === (at === time.length - 1 ? partner : time[at]))
}

interface DateAndTime {
  readonly date: Constraint
  readonly time: Constraint
  readonly range: TemporalRange
}

/** The pairs of keys that are one range. */
function datesAndTimes(constraints: readonly Constraint[]): DateAndTime[] {
  return constraints.flatMap((time) => {
    const date = constraints.find((other) => isDateOf(other.path, time.path))
    const range = date && combinedRange(date, time)
    return range ? [{ date, time, range }] : []
  })
}

function combinedRange(date: Constraint, time: Constraint): TemporalRange | undefined {
  if (vrOf(date.path.at(-1) ?? '') !== 'DA' || vrOf(time.path.at(-1) ?? '') !== 'TM') return undefined
  const [dates, times] = [parseRange('DA', date.value), parseRange('TM', time.value)]
  const range = dates && times && combine(dates, times)
  return range && rangeInZone(range, date.timezone)
}

function compileDateAndTime({ date, time, range }: DateAndTime): CompiledConstraint {
  const [dateTag = '', timeTag = ''] = [date.path.at(-1), time.path.at(-1)]
  const judge: Judge = (dataset, _, zone) => {
    const [dateText, timeText] = [strings(dataset, dateTag)[0], strings(dataset, timeTag)[0]]
    return dateText === undefined ? 'absent' : judgeDateAndTime(range, dateText, timeText, zone)
  }
  return { paths: [date.path, time.path], judge: (dataset) => judgePath(dataset, date.path, judge) }
}

/** Without its time, a day matches when all of it does, and says nothing when only a part of it does. */
function judgeDateAndTime(
  range: TemporalRange,
  dateText: string,
  timeText: string | undefined,
  zone: number | undefined,
): Verdict {
  const date = inZone(parseMoment('DA', dateText), zone)
  const time = timeText === undefined ? undefined : parseMoment('TM', timeText)
  if (date === undefined || (timeText !== undefined && time === undefined)) return 'no-match'
  if (time !== undefined) return inRange(range, inZone(atTime(date, time), zone)) ? 'match' : 'no-match'
  return judgeDay(range, date)
}

function judgeDay(range: TemporalRange, date: Moment): Verdict {
  const [begin, end] = [inRange(range, date), inRange(range, { ...date, at: date.at + day - 1 })]
  if (begin && end) return 'match'
  const bounds = [range.from, range.to].flatMap((bound) => (bound ? [-distance(date, bound)] : []))
  return bounds.some((at) => at >= 0 && at < day) ? 'absent' : 'no-match'
}

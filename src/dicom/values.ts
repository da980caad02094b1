import { badRequest, type LinkError } from '../core/errors.ts'
import type { Tag } from './dataset.ts'
import { compileGlob } from './glob.ts'
import { compileName } from './names.ts'
import { shownValue } from './query-parameters.ts'
import {
  inRange,
  inZone,
  isTemporal,
  type Moment,
  parseMoment,
  parseRange,
  rangeInZone,
  type TemporalRange,
  type TemporalVr,
} from './temporal.ts'
import { isUid } from './uid.ts'

/**
 * Whether one value of an attribute, as text, is what a key asks for. `zone` is the offset from UTC that its dataset
 * gives for its dates and times, in microseconds.
 */
export type ValueTest = (value: string, zone?: number) => boolean

/** At most so many UIDs in one key. */
const maxUids = 1_000

/** VRs that may be matched with `*` and `?`, PS3.4 C.2.2.2.4. */
const wildcardVrs: ReadonlySet<string> = new Set(['AE', 'CS', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT'])
const numberVrs: ReadonlySet<string> = new Set(['IS', 'DS', 'US', 'SS', 'UL', 'SL', 'UV', 'SV', 'FL', 'FD'])
/** Binary data and sequences themselves: no key can be written for them. */
const unmatchable: ReadonlySet<string> = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ'])

export const takesWildcards = (vr: string): boolean => wildcardVrs.has(vr)

/** Values of these may be spelled in several ways that mean the same: `7` and `007`, `045Y` and `045y`. */
export const hasSpellings = (vr: string): boolean => numberVrs.has(vr) || vr === 'AS' || vr === 'AT'

/** The alternatives of a key that is a list: of UIDs (PS3.4 C.2.2.2.2) or of codes, with commas or backslashes. */
export const listOf = (value: string): string[] =>
  value
    .split(/[,\\]/)
    .map((item) => item.trim())
    .filter((item) => item !== '')

/** Universal matching, PS3.4 C.2.2.2.3: a key without a value, or of asterisks alone, matches everything. */
export function isUniversal(vr: string, value: string): boolean {
  const key = value.trim()
  if (key === '' || (vr === 'CS' && listOf(key).length === 0)) return true
  return !isStrict(vr) && /^\*+$/.test(key)
}

const isStrict = (vr: string): boolean => vr === 'UI' || isTemporal(vr) || numberVrs.has(vr) || unmatchable.has(vr)

/**
 * What a key of this VR accepts, PS3.4 C.2.2.2; `undefined` when `value` is none for it. What has no known VR is
 * matched as text with wildcards. `timezone` (`±HHMM`) is that of a date-time without one of its own.
 */
export function compileValue(vr: string, value: string, timezone?: string): ValueTest | undefined {
  if (isUniversal(vr, value)) return () => true
  if (unmatchable.has(vr)) return undefined
  if (vr === 'UI') return compileUids(value)
  if (isTemporal(vr)) return compileTemporal(vr, value, timezone)
  if (numberVrs.has(vr)) return compileNumber(value)
  if (vr === 'PN') return compileName(value)
  if (vr === 'CS') return anyOf(listOf(value).map(compileText))
  return vr === 'AS' || vr === 'AT'
    ? (text) => text.trim().toUpperCase() === value.trim().toUpperCase()
    : compileText(value)
}

const anyOf =
  (tests: readonly ValueTest[]): ValueTest =>
  (value) =>
    tests.some((test) => test(value))

function compileUids(value: string): ValueTest | undefined {
  const uids = listOf(value)
  if (uids.length === 0 || uids.length > maxUids || !uids.every(isUid)) return undefined
  const wanted: ReadonlySet<string> = new Set(uids)
  return (text) => wanted.has(text.trim())
}

function compileTemporal(vr: TemporalVr, value: string, timezone: string | undefined): ValueTest | undefined {
  const wanted = parseRange(vr, value)
  if (wanted === undefined) return undefined
  if (vr !== 'DT') return (text) => isIn(wanted, parseMoment(vr, text))
  const range = rangeInZone(wanted, timezone)
  return (text, zone) => isIn(range, inZone(parseMoment(vr, text), zone))
}

const isIn = (range: TemporalRange, moment: Moment | undefined): boolean =>
  moment !== undefined && inRange(range, moment)

/** Numbers are compared as numbers: `1` is `1.0`, and the last digits are noise that archives add to decimals. */
function compileNumber(value: string): ValueTest | undefined {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value.trim())) return undefined
  const wanted = Number(value)
  return (text) => text.trim() !== '' && Math.abs(Number(text) - wanted) <= Math.abs(wanted) * 1e-9
}

function compileText(value: string): ValueTest {
  const matches = compileGlob(value.trim())
  return (text) => matches(text.trim())
}

const allowed: Readonly<Record<string, string>> = {
  UI: `UIDs separated by commas, at most ${maxUids}`,
  DA: 'a date YYYYMMDD or a range YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD',
  TM: 'a time HHMMSS.FFFFFF or its beginning, or a range of two joined by a hyphen',
  DT: 'a date and time YYYYMMDDHHMMSS.FFFFFF&ZZXX or its beginning, or a range of two joined by a hyphen',
  SQ: 'no value; a sequence is matched by its attributes, as in 00400275.00400009',
}

/** What is wrong with the value of a key. Values about patients are not repeated: the text may reach a log. */
export function invalidValue(key: string, path: readonly Tag[], vr: string, value: string): LinkError {
  const secret = path.some((tag) => tag.startsWith('0010'))
  const shown = secret ? 'the value' : shownValue(value)
  const expected = allowed[vr] ?? (numberVrs.has(vr) ? 'a number' : 'no value; it cannot be matched')
  return badRequest(`${key}: ${shown} is not valid; expected ${expected}`)
}

import { badRequest, type LinkError } from '../core/errors.ts'
import type { Tag } from './dataset.ts'
import { compileGlob, hasWildcard } from './glob.ts'
import { inRange, isTemporal, parseMoment, parseRange, type TemporalVr } from './temporal.ts'
import { isUid } from './uid.ts'

/** Whether one value of an attribute, as text, is what a key asks for. */
export type ValueTest = (value: string) => boolean

/** At most so many UIDs in one key. */
const maxUids = 1_000

/** VRs that may be matched with `*` and `?`, PS3.4 C.2.2.2.4. */
const wildcardVrs: ReadonlySet<string> = new Set(['AE', 'CS', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT'])
const numberVrs: ReadonlySet<string> = new Set(['IS', 'DS', 'US', 'SS', 'UL', 'SL', 'UV', 'SV', 'FL', 'FD'])
/** Binary data and sequences themselves: no key can be written for them. */
const unmatchable: ReadonlySet<string> = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ'])

export const takesWildcards = (vr: string): boolean => wildcardVrs.has(vr)

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
 * matched as text with wildcards.
 */
export function compileValue(vr: string, value: string): ValueTest | undefined {
  if (isUniversal(vr, value)) return () => true
  if (unmatchable.has(vr)) return undefined
  if (vr === 'UI') return compileUids(value)
  if (isTemporal(vr)) return compileTemporal(vr, value)
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

function compileTemporal(vr: TemporalVr, value: string): ValueTest | undefined {
  const range = parseRange(vr, value)
  if (range === undefined) return undefined
  return (text) => {
    const moment = parseMoment(vr, text)
    return moment !== undefined && inRange(range, moment)
  }
}

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

/**
 * A key for a person name, matched in any case, accents as they are. It may be met by any one component group
 * (alphabetic, ideographic, phonetic); when it names groups itself (`=`), each by the group in its place.
 */
function compileName(value: string): ValueTest {
  const groups = value.split('=').map((group) => (group.trim() === '' ? undefined : compileNameGroup(group)))
  if (groups.length === 1) return (text) => text.split('=').some(groups[0] ?? (() => true))
  return (text) => {
    const given = text.split('=')
    return groups.every((test, at) => test === undefined || test(given[at] ?? ''))
  }
}

function compileNameGroup(value: string): ValueTest {
  const pattern = nameForm(value)
  const matches = compileGlob(pattern)
  // Empty components at the end may be written or left out: a key with wildcards may ask for them either way.
  if (!(hasWildcard(pattern) && pattern.includes('^'))) return (text) => matches(nameForm(text))
  return (text) => {
    const name = nameForm(text)
    return matches(name) || matches(name + '^'.repeat(Math.max(0, 4 - (name.split('^').length - 1))))
  }
}

const nameForm = (text: string): string =>
  text
    .normalize('NFC')
    .toLowerCase()
    .replace(/[\s^]+$/, '')
    .trimStart()

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
  const shown = secret ? 'the value' : JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  const expected = allowed[vr] ?? (numberVrs.has(vr) ? 'a number' : 'no value; it cannot be matched')
  return badRequest(`${key}: ${shown} is not valid; expected ${expected}`)
}

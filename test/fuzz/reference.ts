import type { Constraint } from '../../src/dicom/query.ts'

/**
 * PS3.4 C.2.2.2 once more, as plainly as it can be said and with nothing of the product in it: dates are compared as
 * strings, wildcards by trying everything.
 */

export type Verdict = 'match' | 'no-match' | 'absent'

/** A dataset for the reference: values by tag. */
export type Plain = Readonly<Record<string, Attribute | undefined>>

interface Attribute {
  readonly vr: string
  readonly Value?: readonly unknown[]
}

type VrOf = (tag: string) => string

/** What the standard, and the choices of the conformance statement, say of one key. */
export function judge(dataset: Plain, { path, value, ...how }: Constraint, vrOf: VrOf): Verdict {
  if (how.empty) return isEmptyAt(dataset, path) ? 'match' : 'no-match'
  const vr = vrOf(path.at(-1) ?? '')
  if (isUniversal(vr, value)) return 'match'
  const found = valuesAt(dataset, path)
  if (found.length === 0) return 'absent'
  const meets = (one: string) =>
    how.fuzzy ? fuzzy(value, one) : meetsKey(vr, value, one, { key: how.timezone, row: rowZone(dataset) })
  return found.some(meets) ? 'match' : 'no-match'
}

/** A range of study dates and one of study times as one range; the same ends of both are given. */
export function judgeTogether(
  dataset: Plain,
  key: { readonly dates: string; readonly times: string; readonly timezone?: string },
): Verdict {
  const [date, time] = ['00080020', '00080030'].map((tag) => valuesAt(dataset, [tag])[0])
  if (date === undefined) return 'absent'
  const [from, to] = ends(key.dates).map((day, at) => (day === '' ? '' : day + (ends(key.times)[at] ?? '')))
  const zones = { key: key.timezone, row: rowZone(dataset) }
  const isWithin = (instant: string) =>
    (!from || compare(lowest, instant, lowest, from, zones) >= 0) &&
    (!to || compare(lowest, instant, highest, to, zones) <= 0)
  if (time !== undefined) return isWithin(date + time) ? 'match' : 'no-match'
  const [first, last] = [isWithin(date), isWithin(date + nines.slice(8))]
  if (first && last) return 'match'
  const isOfDay = (fill: typeof lowest, end: string) =>
    compare(fill, end, lowest, date, swapped(zones)) >= 0 && compare(fill, end, highest, date, swapped(zones)) <= 0
  return first || last || (from && isOfDay(lowest, from)) || (to && isOfDay(highest, to)) ? 'absent' : 'no-match'
}

const swapped = (zones: { key: string | undefined; row: string }) => ({
  key: zones.row || undefined,
  row: zones.key ?? '',
})

const rowZone = (dataset: Plain): string => strip(text(dataset['00080201']?.Value?.[0]))

function isEmptyAt(dataset: Plain, [tag = '', ...rest]: readonly string[]): boolean {
  const values = (dataset[tag]?.Value ?? []).filter((one) => one !== null)
  if (rest.length > 0) return values.length === 0 || values.some((item) => isEmptyAt(item as Plain, rest))
  return dataset[tag]?.vr === 'SQ' ? values.length === 0 : values.every((one) => strip(text(one)) === '')
}

function valuesAt(dataset: Plain, [tag = '', ...rest]: readonly string[]): string[] {
  const values = (dataset[tag]?.Value ?? []).filter((one) => one !== null)
  if (rest.length > 0) return values.flatMap((item) => valuesAt(item as Plain, rest))
  return values.map(text).filter((one) => one !== '')
}

function text(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value !== 'object') return `${value}`
  const name = value as { Alphabetic?: string; Ideographic?: string; Phonetic?: string }
  const all = `${name.Alphabetic ?? ''}=${name.Ideographic ?? ''}=${name.Phonetic ?? ''}`
  return all.replace(/=+$/, '')
}

const strip = (one: string): string => one.replace(/^\s+/, '').replace(/\s+$/, '')

const wildcardVrs = ['AE', 'CS', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT']

function isUniversal(vr: string, key: string): boolean {
  if (strip(key) === '' || (vr === 'CS' && list(key).length === 0)) return true
  return wildcardVrs.includes(vr) && /^\*+$/.test(strip(key))
}

const list = (key: string): string[] => key.split(/[\\,]/).map(strip).filter(Boolean)

function meetsKey(vr: string, key: string, value: string, zones: { key: string | undefined; row: string }): boolean {
  switch (vr) {
    case 'UI':
      return list(key).includes(strip(value))
    case 'CS':
      return list(key).some((one) => glob([...one], [...strip(value)]))
    case 'PN':
      return name(key, value)
    case 'DA':
    case 'TM':
      return between(key, strip(value))
    case 'DT':
      return zoned(key, strip(value), zones)
    case 'AS':
    case 'AT':
      return strip(key).toLowerCase() === strip(value).toLowerCase()
    case 'IS':
    case 'DS':
      return strip(value) !== '' && Math.abs(Number(value) - Number(key)) <= Math.abs(Number(key)) * 1e-9
    default:
      return glob([...strip(key)], [...strip(value)])
  }
}

/** All ways in which a star can be read are tried. */
export function glob(pattern: readonly string[], value: readonly string[], same = exactly): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return value.length === 0
  if (first === '*')
    return value.length === 0 ? glob(rest, value, same) : glob(rest, value, same) || glob(pattern, value.slice(1), same)
  const [head, ...tail] = value
  return head !== undefined && (first === '?' || same(first, head)) && glob(rest, tail, same)
}

const exactly = (a: string, b: string): boolean => a === b

export const inAnyCase = (a: string, b: string): boolean => a.toUpperCase() === b.toUpperCase()

function name(key: string, value: string): boolean {
  const wanted = key.split('=')
  const given = value.split('=')
  if (wanted.length === 1) return given.some((group) => nameGroup(key, group))
  return wanted.every((group, at) => strip(group) === '' || nameGroup(group, given[at] ?? ''))
}

function nameGroup(key: string, group: string): boolean {
  const pattern = trimName(key)
  const given = trimName(group)
  const carets = given.filter((one) => one === '^').length
  const padded = [...given, ...Array.from({ length: Math.max(0, 4 - carets) }, () => '^')]
  const mayPad = pattern.includes('^') && (pattern.includes('*') || pattern.includes('?'))
  return glob(pattern, given, inAnyCase) || (mayPad && glob(pattern, padded, inAnyCase))
}

function trimName(group: string): string[] {
  const all = [...group.normalize('NFC')]
  while (/^[\s^]$/.test(all.at(-1) ?? '')) all.pop()
  while (/^\s$/.test(all[0] ?? '')) all.shift()
  return all
}

/** The letters of the fuzz, without their accents, and as German and Danish write them without. */
const bases: Readonly<Record<string, readonly [string, string]>> = {
  ü: ['u', 'ue'],
  ö: ['o', 'oe'],
  ä: ['a', 'ae'],
  å: ['a', 'aa'],
  ø: ['o', 'oe'],
  é: ['e', 'e'],
  ß: ['ss', 'ss'],
  æ: ['ae', 'ae'],
  ł: ['l', 'l'],
  ά: ['α', 'α'],
  ё: ['е', 'е'],
}

function fuzzy(key: string, value: string): boolean {
  const words = key.split(/[\s,^=]/).filter(Boolean)
  const groups = value.split('=').map((group) => group.split('^'))
  const begins = (component: string, word: string): boolean =>
    [0, 1].some((way) => {
      const [parts, start] = [plain(component, way), plain(word, way)]
      return [...parts].some(
        (_, at) => (at === 0 || /[\s-]/.test(parts[at - 1] ?? '')) && parts.slice(at).startsWith(start),
      )
    })
  return words.every((word, at) =>
    groups.some((components) =>
      (at === 0 ? components.slice(0, 1) : components).some((component) => begins(component, word)),
    ),
  )
}

const plain = (word: string, way: number): string =>
  [...word.normalize('NFC').toLowerCase()].map((letter) => bases[letter]?.[way] ?? letter).join('')

/** From and to; a single value is both. An offset before a hyphen belongs to its value. */
function ends(key: string): readonly [string, string] {
  const bare = key.replaceAll(' ', '')
  const range = /^(\d*(?:\.\d+)?(?:\+\d{4})?)-(\d*(?:\.\d+)?(?:[+-]\d{4})?)$/.exec(bare)
  return range ? [range[1] ?? '', range[2] ?? ''] : [bare, bare]
}

const zeros = '00000101000000.000000'
const nines = '99991231235959.999999'

/** A partial date-time filled up to its first and its last microsecond: no month has more than 31 days to sort by. */
const lowest = (one: string): string => one + zeros.slice(one.length)
const highest = (one: string): string => one + nines.slice(one.length)

function between(key: string, value: string): boolean {
  const [from, to] = ends(key)
  const isTime = !/^\d{8}$/.test(value)
  const [before, after] = isTime ? ['000000.000000', '235959.999999'] : ['', '']
  const instant = value + before.slice(value.length)
  return (
    (from === '' || instant >= from + before.slice(from.length)) &&
    (to === '' || instant <= to + after.slice(to.length))
  )
}

function zoned(key: string, value: string, zones: { key: string | undefined; row: string }): boolean {
  const [from, to] = ends(key)
  const isAfter = (one: string, other: string) => compare(lowest, one, lowest, other, zones)
  return (from === '' || isAfter(value, from) >= 0) && (to === '' || compare(lowest, value, highest, to, zones) <= 0)
}

/** In UTC when both say where they are, else as read from the wall. */
function compare(
  fillValue: (one: string) => string,
  value: string,
  fillKey: (one: string) => string,
  key: string,
  zones: { key: string | undefined; row: string },
): number {
  const [bareValue, ownZone] = split(value)
  const [bareKey, keyZone] = split(key)
  const [rowZone, wantedZone] = [ownZone || zones.row, keyZone || zones.key]
  const [a, b] = [fillValue(bareValue), fillKey(bareKey)]
  if (!rowZone || !wantedZone) return a < b ? -1 : a > b ? 1 : 0
  const difference = micros(a) - minutes(rowZone) * 60_000_000n - (micros(b) - minutes(wantedZone) * 60_000_000n)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

const split = (one: string): [string, string | undefined] => [
  one.replace(/[+-]\d{4}$/, ''),
  /[+-]\d{4}$/.exec(one)?.[0],
]

const minutes = (zone: string): bigint =>
  BigInt(`${zone[0] === '-' ? -1 : 1}`) * (BigInt(zone.slice(1, 3)) * 60n + BigInt(zone.slice(3)))

/** Of a date-time that is filled up; the last day of a month as its last that there is. */
function micros(filled: string): bigint {
  const [year, month, date] = [filled.slice(0, 4), filled.slice(4, 6), filled.slice(6, 8)].map(Number)
  const last = new Date(Date.UTC(year ?? 0, month ?? 0, 0)).getUTCDate()
  const midnight = Date.UTC(year ?? 0, (month ?? 1) - 1, Math.min(date ?? 1, last))
  const [hours, minute, second] = [filled.slice(8, 10), filled.slice(10, 12), filled.slice(12, 14)].map(Number)
  const seconds = ((hours ?? 0) * 60 + (minute ?? 0)) * 60 + (second ?? 0)
  return BigInt(midnight) * 1000n + BigInt(seconds) * 1_000_000n + BigInt(filled.slice(15))
}

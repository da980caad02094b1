import fc from 'fast-check'
import { expect } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { vrOf } from '../../src/dicom/dictionary.ts'
import type { Constraint } from '../../src/dicom/query.ts'

export const runs = { seed: 20_260_103, numRuns: 10_000 }

/** Checks a property of a key and a row, and that both kinds of verdict were seen often. */
export function check<Case>(cases: fc.Arbitrary<Case>, agree: (one: Case) => string): void {
  const seen: Record<string, number> = {}
  const property = fc.property(cases, (one) => {
    const verdict = agree(one)
    seen[verdict] = (seen[verdict] ?? 0) + 1
  })
  fc.assert(property, runs)
  for (const verdict of ['match', 'no-match']) expect(seen[verdict] ?? 0, verdict).toBeGreaterThan(100)
}

export const word = (letters: readonly string[], maxLength = 6) =>
  fc.array(fc.constantFrom(...letters), { maxLength }).map((all) => all.join(''))

/** Composed and decomposed, of several scripts, and beyond the basic plane. */
const letters = ['a', 'A', 'ü', 'u\u0308', 'Ü', 'σ', 'Σ', 'ς', 'ж', 'Ж', '山', 'が', '𝄞', '😀', ' ']

const texts = {
  tags: ['00081030', '00080050', '00080081', '00104000', '00771007'],
  key: word([...letters, '*', '?']),
  value: word(letters),
}
const codes = {
  tags: ['00080061'],
  key: word(['A', 'B', 'a', ',', '\\', '*', '?', ' ']),
  value: word(['A', 'B', 'a', ' '], 3),
}
const nameLetters = [...letters, '^', '^', '=']
const groups = fc.record(
  {
    Alphabetic: word(nameLetters.slice(0, -1)),
    Ideographic: word(['山', '田', '^']),
    Phonetic: word(['や', 'ま', '^']),
  },
  { requiredKeys: [] },
)
const names = {
  tags: ['00100010', '00080090'],
  key: word([...nameLetters, '山', 'や', '*', '*', '?']),
  value: fc.oneof(groups, word(nameLetters)),
}
const uid = fc.constantFrom('1.2', '1.2.3', '1.23', '2.25.9', '1.2.30')
const uids = {
  tags: ['0020000D', '00080016'],
  key: fc
    .array(uid, { minLength: 1, maxLength: 3 })
    .chain((all) => fc.constantFrom(all.join(','), all.join('\\'), all.join(', '))),
  value: uid,
}
const number = fc.constantFrom(
  '7',
  '007',
  '+7',
  '7.0',
  '70',
  '-7',
  '0',
  '0.5',
  '.5',
  '5e-1',
  '661468e-6',
  '0.66146799999999994',
  '0.661468',
)
const numbers = { tags: ['00201208', '00101030'], key: number, value: fc.oneof(number, number.map(Number)) }
const ages = {
  tags: ['00101010'],
  key: fc.constantFrom('045Y', '045y', '045M'),
  value: fc.constantFrom('045Y', '045M', ' 045y'),
}

const digits = (least: number, most: number) =>
  fc.integer({ min: least, max: most }).map((n) => String(n).padStart(2, '0'))
const day = fc.tuple(fc.constantFrom('2023', '2024'), digits(1, 12), digits(1, 28)).map((all) => all.join(''))
const time = fc
  .tuple(digits(0, 23), digits(0, 59), digits(0, 59), fc.constantFrom('', '.5', '.123456'))
  .chain(([h, m, s, f]) => fc.constantFrom(h, h + m, h + m + s, h + m + s + f))
const rangeOf = (one: fc.Arbitrary<string>) =>
  fc.tuple(one, one).chain(([a, b]) => fc.constantFrom(a, `${a}-`, `-${b}`, `${a}-${b}`, `${a} - ${b}`))
const dates = { tags: ['00080020', '00100030'], key: rangeOf(day), value: day }
const times = { tags: ['00080030'], key: rangeOf(time), value: time }
const zone = fc.constantFrom('+0100', '-0500', '+0000', '+1400', '-1200', '+0530')
const instant = fc
  .tuple(day, fc.oneof(time, fc.constant('')), fc.constantFrom(4, 6, 99))
  .map(([date, clock, length]) => (date + clock).slice(0, length === 99 || clock === '' ? length : 99))
const dateTime = fc.tuple(instant, fc.oneof(fc.constant(''), zone)).map(([one, offset]) => one + offset)
const dateTimes = {
  tags: ['0040A13A', '0008002A'],
  key: fc.oneof(
    dateTime.map((one) => one.replace('-', '+')),
    rangeOf(instant),
  ),
  value: dateTime,
}

export interface Kind {
  readonly tags: readonly string[]
  readonly key: fc.Arbitrary<string>
  readonly value: fc.Arbitrary<unknown>
}

export const kinds: Readonly<Record<string, Kind>> = {
  texts,
  codes,
  names,
  uids,
  numbers,
  ages,
  dates,
  times,
  'date-times': dateTimes,
}

const sequence = '00400275'

/** A key and a row of one kind: alone or in a sequence, with no, one or several values, in a zone or nowhere. */
export function casesOf({ tags, key, value }: Kind): fc.Arbitrary<{ constraint: Constraint; row: Dataset }> {
  const values = fc.array(
    fc.oneof({ weight: 9, arbitrary: value }, { weight: 1, arbitrary: fc.constantFrom('', null) }),
    { maxLength: 3 },
  )
  return fc
    .tuple(fc.constantFrom(...tags), fc.boolean(), fc.option(zone), fc.option(zone))
    .chain(([tag, deep, keyZone, rowZone]) => {
      const zones = rowZone === null ? {} : { '00080201': { vr: 'SH', Value: [rowZone] } }
      const attribute = values.map((Value): Dataset => ({ [tag]: { vr: vrOf(tag), Value } }))
      const row = deep
        ? fc.array(attribute, { maxLength: 2 }).map((Value): Dataset => ({ [sequence]: { vr: 'SQ', Value } }))
        : attribute
      const path = deep ? [sequence, tag] : [tag]
      const timezone = keyZone === null ? {} : { timezone: keyZone }
      return fc.record({
        constraint: key.map((text): Constraint => ({ path, value: text, ...timezone })),
        row: row.map((one): Dataset => ({ ...one, ...zones })),
      })
    })
}

/** Around the end of a month, so that days meet. */
const closeDay = fc.constantFrom('20240226', '20240227', '20240228', '20240229', '20240301', '20240302')

/** Around midnight, where zones that are far apart are two days apart. */
const lateOrEarly = fc.oneof(time, fc.constantFrom('00', '0130', '2230', '23'))

/** A date and a time that are one range, and a row with both, one or none. */
export const datesAndTimes = fc
  .record({
    ends: fc.constantFrom('from', 'to', 'both'),
    days: fc.tuple(closeDay, closeDay),
    clocks: fc.tuple(lateOrEarly, lateOrEarly),
    date: fc.option(closeDay),
    time: fc.option(lateOrEarly),
    keyZone: fc.option(zone),
    rowZone: fc.option(zone),
  })
  .map(({ ends, days, clocks, keyZone, ...row }) => {
    const write = ([from, to]: readonly [string, string]) =>
      ends === 'both' ? `${from}-${to}` : ends === 'from' ? `${from}-` : `-${to}`
    return {
      dates: write(days),
      times: write(clocks),
      keyZone,
      row: {
        ...(row.date !== null && { '00080020': { vr: 'DA', Value: [row.date] } }),
        ...(row.time !== null && { '00080030': { vr: 'TM', Value: [row.time] } }),
        ...(row.rowZone !== null && { '00080201': { vr: 'SH', Value: [row.rowZone] } }),
      } satisfies Dataset as Dataset,
    }
  })

const fuzzyLetters = [
  'a',
  'u',
  'e',
  'o',
  's',
  'l',
  'ü',
  'u\u0308',
  'ö',
  'Ø',
  'å',
  'ä',
  'é',
  'ß',
  'æ',
  'ł',
  'ά',
  'α',
  'ё',
  'е',
  '山',
  'M',
  'x',
]
const component = fc
  .array(word(fuzzyLetters), { minLength: 1, maxLength: 2 })
  .chain((all) => fc.constantFrom(all.join(' '), all.join('-')))
const anyName = fc.array(component, { minLength: 1, maxLength: 4 }).map((all) => all.join('^'))

/** Keys of one to three words, and names of two groups. */
export const fuzzyNames = fc
  .record({
    value: fc
      .array(word(fuzzyLetters, 3), { minLength: 1, maxLength: 3 })
      .chain((all) => fc.constantFrom(all.join(' '), all.join('^'), all.join(', ')))
      .filter((text) => /[^\s,^]/.test(text)),
    Alphabetic: anyName,
    Ideographic: fc.oneof(fc.constant(''), anyName),
  })
  .map(({ value, ...groups }) => ({
    constraint: { path: ['00100010'], value, fuzzy: true } satisfies Constraint as Constraint,
    row: { '00100010': { vr: 'PN', Value: [groups] } } satisfies Dataset as Dataset,
  }))

/**
 * Studies by number: whoever speaks of study 17, archive, generator of instances or judge of an answer, means the same
 * one, so that archives overlap where their numbers do.
 */
export interface Study {
  readonly uid: string
  /** `YYYYMMDD`; empty of the few that have none. */
  readonly date: string
  readonly time: string
  readonly patientId: string
  readonly patientName: string
  readonly accessionNumber: string
  readonly description: string
  readonly modality: string
}

/** The worklist's first day is today. */
export const days = 5 * 365
const undatedShare = 1 / 200
const dayMs = 86_400_000

const uidRoot = '1.2.826.0.1.3680043.8.498'
const families = 'Abel Berg Castro Dubois Eriksen Farkas Grau Horvat Ito Jansen Kowalski Lindqvist Moreau Novak'.split(
  ' ',
)
const given = 'Ada Bruno Clara David Elena Felix Greta Hugo Ines Jonas Klara Leo Mira Nils Olga Paul Rosa Sven'.split(
  ' ',
)
const descriptions = 'CT CHEST|MR BRAIN W/O CONTRAST|XR HAND LEFT|US ABDOMEN|CT ABDOMEN AND PELVIS|MR KNEE RIGHT'.split(
  '|',
)
const modalities = ['CT', 'MR', 'DX', 'US']

/** A number between 0 and 1 that depends on nothing but its arguments (mulberry32). */
export function chance(seed: number, salt = 0): number {
  let state = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(salt + 1, 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 15), state | 1)
  state ^= state + Math.imul(state ^ (state >>> 7), state | 61)
  return ((state ^ (state >>> 14)) >>> 0) / 2 ** 32
}

const pick = (list: readonly string[], number: number, salt: number): string =>
  list[Math.floor(chance(number, salt) * list.length)] ?? ''

const twoDigits = (value: number): string => String(Math.floor(value)).padStart(2, '0')

/** `YYYYMMDD` of so many days before today. */
export const daysAgo = (count: number): string =>
  new Date(Date.now() - count * dayMs).toISOString().slice(0, 10).replaceAll('-', '')

export function studyOf(number: number): Study {
  const seconds = chance(number, 1) * 86_400
  const isDated = chance(number, 2) >= undatedShare
  const patient = Math.floor(number / 2)
  return {
    uid: `${uidRoot}.${10_000_000 + number}.${Math.floor(chance(number, 3) * 1e9)}`,
    date: isDated ? daysAgo(Math.floor(chance(number, 4) * days)) : '',
    time: isDated ? `${twoDigits(seconds / 3600)}${twoDigits((seconds / 60) % 60)}${twoDigits(seconds % 60)}` : '',
    patientId: `P${1_000_000 + patient}`,
    patientName: `${pick(families, patient, 5)}^${pick(given, patient, 6)}`,
    accessionNumber: `A${2_000_000 + number}`,
    description: pick(descriptions, number, 7),
    modality: pick(modalities, number, 8),
  }
}

/** Numbers `from` to `from + count - 1`. */
export const studiesFrom = (from: number, count: number): Study[] =>
  Array.from({ length: count }, (_, index) => studyOf(from + index))

/** The order of the answers wanted: newest first, undated last, then by UID. */
export const newestFirst = (a: Study, b: Study): number =>
  compare(b.date, a.date) || compare(b.time, a.time) || compare(a.uid, b.uid)

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** In an order that has nothing to do with anything, the same for the same seed. */
export const shuffled = <T>(list: readonly T[], seed: number): T[] =>
  list
    .map((value, index) => ({ value, key: chance(index, 1000 + seed) }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ value }) => value)

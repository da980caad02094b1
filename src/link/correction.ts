import { badRequest } from '../core/errors.ts'
import { isPlainDate, parseMoment } from '../dicom/temporal.ts'
import { isUnprintable, type Members } from './members.ts'
import type { Said } from './said.ts'

/** Attributes of patients and studies that may be corrected, by their keywords in PS3.6, and their VRs. */
const vrs = {
  PatientName: 'PN',
  PatientID: 'LO',
  IssuerOfPatientID: 'LO',
  PatientBirthDate: 'DA',
  PatientSex: 'CS',
  CurrentPatientLocation: 'LO',
  AccessionNumber: 'SH',
  ReferringPhysicianName: 'PN',
  StudyID: 'SH',
  StudyDescription: 'LO',
  StudyDate: 'DA',
  StudyTime: 'TM',
} as const satisfies Readonly<Record<string, string>>

export type CorrectedKeyword = keyof typeof vrs

export const correctedKeywords = Object.keys(vrs).filter(isCorrected)

/**
 * What an attribute of a study or its patient should be. It is a proposal: no row of a query and no instance is changed
 * by it, and neither is whom a study belongs to.
 */
export interface Correction {
  readonly keyword: CorrectedKeyword
  /** As in DICOM JSON; the groups of a name are separated by `=`. */
  readonly value: string
  /** The system that knows it, such as `RIS`. */
  readonly source: string
}

export interface SaidCorrection extends Correction, Said {
  /** Name of the principal who told it. */
  readonly author: string
}

function isCorrected(keyword: string): keyword is CorrectedKeyword {
  return Object.hasOwn(vrs, keyword)
}

/** The keyword of a correction that others wrote; `undefined` for one of an attribute that is not corrected. */
export function keywordIn(name: string, { keyword }: Members): CorrectedKeyword | undefined {
  if (typeof keyword !== 'string') throw badRequest(`${name}.keyword: expected a text`)
  return isCorrected(keyword) ? keyword : undefined
}

/** The rest of a correction. Throws `bad-request` that never quotes it: it is about a patient. */
export function correctionOf(name: string, keyword: CorrectedKeyword, { value, source }: Members): Correction {
  return {
    keyword,
    value: validated(`${name}.value`, rules[vrs[keyword]], value),
    source: validated(`${name}.source`, rules.LO, source),
  }
}

interface Rule {
  readonly holds: (text: string) => boolean
  readonly expected: string
}

const upTo = (max: number): Rule => ({ holds: (text) => text.length <= max, expected: `at most ${max} characters` })

/** One value of a VR, PS3.5 6.2; Patient's Sex, the only CS among them, has terms of its own. */
const rules = {
  PN: { holds: isName, expected: 'up to three groups of at most 64 characters and five components' },
  LO: upTo(64),
  SH: upTo(16),
  CS: { holds: (text) => ['M', 'F', 'O'].includes(text), expected: 'M, F or O' },
  DA: { holds: isPlainDate, expected: 'a date as YYYYMMDD' },
  TM: { holds: (text) => /^[\d.]+$/.test(text) && parseMoment('TM', text) !== undefined, expected: 'a time as HHMMSS' },
} satisfies Readonly<Record<string, Rule>>

function isName(text: string): boolean {
  const groups = text.split('=')
  const areGroups = groups.length <= 3 && groups.every((group) => group.length <= 64 && group.split('^').length <= 5)
  return areGroups && /[^=^ ]/.test(text)
}

/** Without blanks around it, which mean nothing in any of the VRs. */
function validated(name: string, { holds, expected }: Rule, value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : ''
  if (text !== '' && !/[\n\t\\]/.test(text) && !isUnprintable(text) && holds(text)) return text
  throw badRequest(`${name}: expected one value: ${expected}, without control characters and backslashes`)
}

import { badRequest, LinkError } from '../core/errors.ts'
import { type Correction, correctedKeywords, correctionOf, keywordIn } from './correction.ts'
import { isObject, isUnprintable, listOf, type Members, objectIn, oneOf, requirePast, show, timeOf } from './members.ts'
import {
  type LinkRecord,
  type ReportStatus,
  reportStatuses,
  type StudyStatus,
  studyStatuses,
  type VerifiedStatus,
  verifiedStatuses,
} from './record.ts'

/** What somebody tells about a study; what is absent stays as it is. */
export interface LinkChange {
  readonly reportStatus?: ReportStatus
  readonly studyStatus?: StudyStatus
  readonly verified?: VerifiedStatus
  /** Only with `verified: 'VERIFIED'`; absent: the time of the change. */
  readonly verifiedAt?: Date
  /** To be added, in this order. */
  readonly comments?: readonly { readonly text: string }[]
  /** One an attribute. */
  readonly corrections?: readonly Correction[]
  /** Lets report and study status go back. */
  readonly force?: boolean
}

export const linkFields = ['reportStatus', 'studyStatus', 'verified', 'verifiedAt', 'comments', 'corrections'] as const
export type LinkField = (typeof linkFields)[number]

/** What a change comes to, for the record as it is: `undefined` when it already says all of it. */
export interface ChangePlan {
  readonly reportStatus?: ReportStatus
  readonly studyStatus?: StudyStatus
  readonly verified?: VerifiedStatus
  /** `now`: the time of the change; `null`: it is not told any more. */
  readonly verifiedAt?: Date | 'now' | null
  readonly comments: readonly string[]
  readonly corrections: readonly Correction[]
  /** Statuses that go back. */
  readonly forced: readonly OrderedField[]
}

/** Comments of one study at most, and characters in all of them: queries read and match them whole. */
export const maxComments = 1_000
export const maxCommentCharacters = 102_400
/** Of one comment: as many as Study Comments (VR LT, PS3.5 6.2) takes. */
export const maxCommentLength = 10_240

/**
 * What is left of a change once the record is known. Throws `conflict` when a status would go back without `force`, and
 * when the study has all the comments it may have.
 */
export function planChange(current: LinkRecord, change: LinkChange): ChangePlan | undefined {
  const { reportStatus, studyStatus, comments = [], corrections = [] } = change
  const forced = takenBack(current, change)
  const statuses = {
    ...(reportStatus !== undefined && reportStatus !== current.reportStatus && { reportStatus }),
    ...(studyStatus !== undefined && studyStatus !== current.studyStatus && { studyStatus }),
    ...verifiedStep(current, change),
  }
  const texts = comments.map(({ text }) => text)
  boundComments(current, texts)
  const news = corrections.filter((correction) => !current.corrections.some((known) => isSame(known, correction)))
  if (Object.keys(statuses).length + texts.length + news.length === 0) return undefined
  return { ...statuses, comments: texts, corrections: news, forced }
}

const orderedFields = ['reportStatus', 'studyStatus'] as const
export type OrderedField = (typeof orderedFields)[number]

const orders = { reportStatus: reportStatuses, studyStatus: studyStatuses } satisfies Record<
  OrderedField,
  readonly string[]
>

/** The statuses that the change takes back, as it may only by force; one that is not of the order is before all of it. */
function takenBack(current: LinkRecord, change: LinkChange): OrderedField[] {
  const back = orderedFields.filter((field) => isBefore(orders[field], change[field], current[field]))
  const [field] = back
  if (field === undefined || change.force) return back
  const [from, to] = [current[field], change[field]]
  throw new LinkError('conflict', `${field}: ${to} does not follow ${from}; add "force": true to go back`)
}

const isBefore = (order: readonly string[], to: string | undefined, from: string | undefined): boolean =>
  to !== undefined && from !== undefined && order.indexOf(to) < order.indexOf(from)

const isSame = (a: Correction, b: Correction): boolean =>
  a.keyword === b.keyword && a.value === b.value && a.source === b.source

/** A time is that of a verification: it goes when the study is not verified any more. */
function verifiedStep(current: LinkRecord, { verified, verifiedAt }: LinkChange) {
  if (verified === undefined) return {}
  const step = verified === current.verified ? {} : { verified }
  if (verified !== 'VERIFIED') return current.verifiedAt ? { ...step, verifiedAt: null } : step
  if (verifiedAt === undefined) return current.verified === 'VERIFIED' ? step : { ...step, verifiedAt: 'now' as const }
  return verifiedAt.getTime() === current.verifiedAt?.getTime() ? step : { ...step, verifiedAt }
}

function boundComments({ comments }: LinkRecord, added: readonly string[]): void {
  if (added.length === 0) return
  if (comments.length + added.length > maxComments) {
    throw new LinkError(
      'conflict',
      `comments: the study has ${comments.length}; ${maxComments} is the most it may have`,
    )
  }
  const length = [...comments.map(({ text }) => text), ...added].reduce((sum, text) => sum + text.length, 0)
  if (length > maxCommentCharacters) {
    throw new LinkError('conflict', `comments: together they are longer than ${maxCommentCharacters} characters`)
  }
}

const parsers = {
  reportStatus: (value: unknown) => oneOf('reportStatus', reportStatuses, value),
  studyStatus: (value: unknown) => oneOf('studyStatus', studyStatuses, value),
  verified: (value: unknown) => oneOf('verified', verifiedStatuses, value),
  verifiedAt: (value: unknown) => timeOf('verifiedAt', value),
  comments: parseComments,
  corrections: parseCorrections,
  force: parseFlag,
} satisfies { readonly [Member in keyof Required<LinkChange>]: (value: unknown) => LinkChange[Member] }

const members = Object.keys(parsers)
const isMember = (name: string): name is keyof typeof parsers => members.includes(name)

/**
 * A change as a client wrote it, JSON already parsed. `now`: milliseconds since the epoch.
 *
 * Throws `bad-request` that names the member: one that is unknown, one of a wrong value, or that there is none.
 */
export function parseChange(body: unknown, now: number): LinkChange {
  if (!isObject(body)) throw badRequest('body: expected a JSON object such as {"reportStatus": "APPROVED"}')
  const unknown = Object.keys(body).filter((name) => !isMember(name))
  if (unknown.length > 0) throw badRequest(`${listed(unknown)}: not known; expected ${members.join(', ')}`)
  const given = members.filter((name) => Object.hasOwn(body, name)).filter(isMember)
  const change: LinkChange = Object.fromEntries(given.map((name) => [name, parsers[name](body[name])]))
  refuseNothing(change)
  refuseStrayTime(change, now)
  return change
}

function refuseNothing({ force: _, comments = [], corrections = [], ...rest }: LinkChange): void {
  if (Object.keys(rest).length + comments.length + corrections.length > 0) return
  throw badRequest(`body: nothing to change; expected at least one of ${linkFields.join(', ')}`)
}

function refuseStrayTime({ verified, verifiedAt }: LinkChange, now: number): void {
  if (verifiedAt === undefined) return
  if (verified !== 'VERIFIED') throw badRequest('verifiedAt: given without "verified": "VERIFIED"')
  requirePast('verifiedAt', verifiedAt, now)
}

function parseFlag(value: unknown): boolean {
  if (typeof value !== 'boolean') throw badRequest(`force: ${show(value)} is not true or false`)
  return value
}

function parseComments(value: unknown): { text: string }[] {
  if (!Array.isArray(value)) throw badRequest('comments: expected a list such as [{"text": "…"}]')
  return value.map((item: unknown, index) => ({ text: parseComment(item, `comments[${index}]`) }))
}

/** Its text is never repeated: it may name a patient. */
function parseComment(item: unknown, name: string): string {
  if (!isObject(item)) throw badRequest(`${name}: expected an object such as {"text": "…"}`)
  refuseOthers(name, item, ['text'])
  if (typeof item.text !== 'string') throw badRequest(`${name}.text: expected a text`)
  const text = item.text.replaceAll('\r\n', '\n').trim()
  if (text === '') throw badRequest(`${name}.text: is empty`)
  if (text.length > maxCommentLength) throw badRequest(`${name}.text: longer than ${maxCommentLength} characters`)
  if (isUnprintable(text)) {
    throw badRequest(`${name}.text: holds control characters other than line breaks and tabs, or half a character`)
  }
  return text
}

function parseCorrections(value: unknown): Correction[] {
  const corrections = listOf('corrections', { value, max: correctedKeywords.length }, parseCorrection)
  if (new Set(corrections.map(({ keyword }) => keyword)).size === corrections.length) return corrections
  throw badRequest('corrections: an attribute is in it twice')
}

function parseCorrection(item: unknown, name: string): Correction {
  const correction = objectIn(name, item)
  refuseOthers(name, correction, ['keyword', 'value', 'source'])
  const keyword = keywordIn(name, correction)
  if (keyword === undefined) throw badRequest(`${name}.keyword: is none of ${correctedKeywords.join(', ')}`)
  return correctionOf(name, keyword, correction)
}

function refuseOthers(name: string, item: Members, known: readonly string[]): void {
  const unknown = Object.keys(item).filter((member) => !known.includes(member))
  if (unknown.length > 0) throw badRequest(`${name}: ${listed(unknown)} is not known; expected ${known.join(', ')}`)
}

const listed = (names: readonly string[]): string => names.slice(0, 5).map(show).join(', ')

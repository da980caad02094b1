import { badRequest } from '../core/errors.ts'
import { maxCommentLength } from './change.ts'
import { correctionOf, keywordIn, type SaidCorrection } from './correction.ts'
import { isUnprintable, listOf, objectIn, oneOf, requirePast, show, timeOf, wholeNumber } from './members.ts'
import { mergeSnapshots, registerOf } from './merge.ts'
import { reportStatuses, verifiedStatuses } from './record.ts'
import type { Said } from './said.ts'
import {
  emptySnapshot,
  type LinkSnapshot,
  maxSaidComments,
  type SaidComment,
  type SaidReport,
  type SaidStudyStatus,
  type SaidVerification,
} from './snapshot.ts'
import { maxSites, siteOf } from './version.ts'

const maxAuthorLength = 512
/** Also of attributes that are not known. */
const maxSaidCorrections = 10_000
/** What the database counts comments with. */
const maxCommentNumber = 2 ** 31 - 1

/** The member `attributes` of a notice; lists that are absent are empty. Throws `bad-request` that names the member. */
export function parseSnapshot(value: unknown, now: number): LinkSnapshot {
  const attributes = objectIn('attributes', value)
  const { homeSite, reportStatus = [], studyStatus = [], verified = [], comments = [], corrections = [] } = attributes
  const told: LinkSnapshot = {
    ...(homeSite !== undefined && { homeSite: saidIn(homeSite, 'attributes.homeSite', now) }),
    reportStatus: wordsIn('attributes.reportStatus', reportStatus, (item, name) => reportIn(item, name, now)),
    studyStatus: wordsIn('attributes.studyStatus', studyStatus, (item, name) => studyStatusIn(item, name, now)),
    verified: wordsIn('attributes.verified', verified, (item, name) => verificationIn(item, name, now)),
    comments: listOf('attributes.comments', { value: comments, max: maxSaidComments }, (item, name) =>
      commentIn(item, name, now),
    ),
    corrections: correctionsIn('attributes.corrections', corrections, now),
  }
  // In the order that the rest of the program relies on.
  return mergeSnapshots(emptySnapshot, told)
}

function saidIn(value: unknown, name: string, now: number): Said {
  const said = objectIn(name, value)
  const site = siteOf(`${name}.site`, said.site)
  return { site, at: pastIn(`${name}.at`, said.at, now) }
}

function pastIn(name: string, value: unknown, now: number): Date {
  const time = timeOf(name, value)
  requirePast(name, time, now)
  return time
}

/** Of each site one. */
function wordsIn<Word extends Said>(name: string, value: unknown, read: (item: unknown, name: string) => Word): Word[] {
  const words = listOf(name, { value, max: maxSites }, read)
  const sites = new Set(words.map(({ site }) => site))
  if (sites.size < words.length) throw badRequest(`${name}: a site is in it twice`)
  return words
}

function reportIn(item: unknown, name: string, now: number): SaidReport {
  const said = saidIn(item, name, now)
  return { value: oneOf(`${name}.value`, reportStatuses, objectIn(name, item).value), ...said }
}

/** Whatever a site keeps as its status is kept as it came. */
function studyStatusIn(item: unknown, name: string, now: number): SaidStudyStatus {
  const said = saidIn(item, name, now)
  const { value } = objectIn(name, item)
  if (typeof value === 'string' && isCodeString(value)) return { value, ...said }
  throw badRequest(`${name}.value: ${show(value)} is no CS; expected capitals, digits, blanks and _, at most 16`)
}

/** PS3.5 6.2, without blanks around it. */
const isCodeString = (text: string): boolean => /^[A-Z0-9_ ]{1,16}$/.test(text) && text === text.trim()

function verificationIn(item: unknown, name: string, now: number): SaidVerification {
  const said = saidIn(item, name, now)
  const { value: status, verifiedAt: time } = objectIn(name, item)
  const value = oneOf(`${name}.value`, verifiedStatuses, status)
  if (time === undefined) return { value, ...said }
  if (value !== 'VERIFIED') throw badRequest(`${name}.verifiedAt: given without "value": "VERIFIED"`)
  return { value, verifiedAt: pastIn(`${name}.verifiedAt`, time, now), ...said }
}

function commentIn(item: unknown, name: string, now: number): SaidComment {
  const said = saidIn(item, name, now)
  const comment = objectIn(name, item)
  return {
    ...said,
    number: wholeNumber(`${name}.number`, { min: 1, max: maxCommentNumber }, comment.number),
    text: textIn(`${name}.text`, comment.text, maxCommentLength),
    author: textIn(`${name}.author`, comment.author, maxAuthorLength),
  }
}

/** Of each attribute one of each site; those of attributes that are not known are passed over. */
function correctionsIn(name: string, value: unknown, now: number): SaidCorrection[] {
  const read = (item: unknown, at: string) => correctionIn(item, at, now)
  const known = listOf(name, { value, max: maxSaidCorrections }, read).filter((it) => it !== undefined)
  if (new Set(known.map(registerOf)).size === known.length) return known
  throw badRequest(`${name}: a site is in it twice with one attribute`)
}

function correctionIn(item: unknown, name: string, now: number): SaidCorrection | undefined {
  const said = saidIn(item, name, now)
  const correction = objectIn(name, item)
  const keyword = keywordIn(name, correction)
  const author = textIn(`${name}.author`, correction.author, maxAuthorLength)
  return keyword && { ...correctionOf(name, keyword, correction), author, ...said }
}

/** It is never repeated: it may name a patient. */
function textIn(name: string, value: unknown, maxLength: number): string {
  if (typeof value !== 'string' || value === '') throw badRequest(`${name}: expected a text`)
  if (value.length > maxLength) throw badRequest(`${name}: longer than ${maxLength} characters`)
  if (!isUnprintable(value)) return value
  throw badRequest(`${name}: holds control characters other than line breaks and tabs, or half a character`)
}

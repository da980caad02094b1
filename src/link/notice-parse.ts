import { badRequest } from '../core/errors.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { listOf, type Members, objectIn, oneOf, requirePast, show, timeOf, wholeNumber } from './members.ts'
import { type NoticedInstance, type NoticedSeries, type StudyUpdateNotice, triggers } from './notice.ts'
import { parseSnapshot } from './snapshot-parse.ts'
import { maxChanges, maxSites, siteOf, type Version } from './version.ts'

/** Bounds on what one notice may say. */
const maxHops = 64
const maxSeries = 10_000
const maxInstances = 100_000
const maxModalityLength = 64

/**
 * A notice as another site sent it: JSON in UTF-8. Members that are not known are passed over, so that later versions
 * may say more. `now`: milliseconds since the epoch.
 *
 * Throws `bad-request` that names the first member that is wrong; comments are never quoted.
 */
export function parseNotice(body: Uint8Array, now: number): StudyUpdateNotice {
  const notice = objectIn('body', parseJson(body))
  const origin = siteOf('origin', notice.origin)
  return {
    noticeId: noticeIdOf(notice.noticeId),
    origin,
    hops: hopsOf(notice.hops, origin),
    maxHops: wholeNumber('maxHops', { min: 1, max: 16 }, notice.maxHops),
    issuedAt: issuedAtOf(notice.issuedAt, now),
    trigger: oneOf('trigger', triggers, notice.trigger),
    study: uidOf('studyInstanceUID', notice.studyInstanceUID),
    version: versionIn(notice.version),
    attributes: parseSnapshot(notice.attributes, now),
    series: manifestIn(notice.series),
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    // What the parser says quotes the text.
    throw badRequest('body: is no JSON in UTF-8')
  }
}

const noticeIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function noticeIdOf(value: unknown): string {
  if (typeof value === 'string' && noticeIdPattern.test(value)) return value
  throw badRequest(`noticeId: ${show(value)} is no UUID in lower case`)
}

function hopsOf(value: unknown, origin: string): string[] {
  const hops = listOf('hops', { value, max: maxHops }, (item, name) => siteOf(name, item))
  if (hops[0] !== origin) throw badRequest(`hops: do not begin with the origin, ${origin}`)
  return hops
}

function issuedAtOf(value: unknown, now: number): Date {
  const time = timeOf('issuedAt', value)
  requirePast('issuedAt', time, now)
  return time
}

function versionIn(value: unknown): Version {
  const counters = Object.entries(objectIn('version', value))
  if (counters.length > maxSites) {
    throw badRequest(`version: ${counters.length} sites; ${maxSites} is the most there may be`)
  }
  const range = { min: 1, max: maxChanges }
  return Object.fromEntries(
    counters.map(([key, counter]) => {
      const site = siteOf('version', key)
      return [site, wholeNumber(`version.${site}`, range, counter)]
    }),
  )
}

/** No series and no instance is in it twice. */
function manifestIn(value: unknown): NoticedSeries[] {
  const [seen, instances] = [new Set<Uid>(), new Set<Uid>()]
  return listOf('series', { value, max: maxSeries }, (item, name) => {
    const series = objectIn(name, item)
    const seriesInstanceUID = newUid(`${name}.seriesInstanceUID`, series.seriesInstanceUID, seen)
    return {
      seriesInstanceUID,
      ...modalityIn(`${name}.modality`, series),
      instances: instancesIn(`${name}.instances`, series.instances, instances),
    }
  })
}

/** `seen`: of the series before. */
function instancesIn(name: string, value: unknown, seen: Set<Uid>): NoticedInstance[] {
  const left = maxInstances - seen.size
  if (Array.isArray(value) && value.length > left) {
    throw badRequest(`${name}: the manifest lists more than ${maxInstances} instances`)
  }
  return listOf(name, { value, max: left }, (item, at) => {
    const instance = objectIn(at, item)
    return {
      sopInstanceUID: newUid(`${at}.sopInstanceUID`, instance.sopInstanceUID, seen),
      ...(instance.sopClassUID !== undefined && { sopClassUID: uidOf(`${at}.sopClassUID`, instance.sopClassUID) }),
      ...(instance.digest !== undefined && { digest: digestOf(`${at}.digest`, instance.digest) }),
    }
  })
}

function newUid(name: string, value: unknown, seen: Set<Uid>): Uid {
  const uid = uidOf(name, value)
  if (seen.has(uid)) throw badRequest(`${name}: ${uid} is in the manifest twice`)
  seen.add(uid)
  return uid
}

function uidOf(name: string, value: unknown): Uid {
  if (isUid(value)) return value
  throw badRequest(`${name}: ${show(value)} is no DICOM UID; expected digits and dots, at most 64 characters`)
}

function modalityIn(name: string, { modality }: Members) {
  if (modality === undefined) return {}
  if (typeof modality === 'string' && modality.length <= maxModalityLength) return { modality }
  throw badRequest(`${name}: ${show(modality)} is no text of at most ${maxModalityLength} characters`)
}

function digestOf(name: string, value: unknown): string {
  const digest = objectIn(name, value)
  oneOf(`${name}.alg`, ['sha-256'], digest.alg)
  oneOf(`${name}.scope`, ['dataset'], digest.scope)
  if (typeof digest.value === 'string' && /^[0-9a-f]{64}$/.test(digest.value)) return digest.value
  throw badRequest(`${name}.value: ${show(digest.value)} is no SHA-256 in lower-case hex`)
}

import { badRequest } from '../core/errors.ts'
import type { Tag } from './dataset.ts'
import { keywordOf, vrOf } from './dictionary.ts'
import { hasWildcard } from './glob.ts'
import { fuzzyWords } from './names.ts'
import { isPrivateCreator, linkBlock, linkTag, linkTerms } from './private-dictionary.ts'
import { type IncludedFields, includedFields } from './query-fields.ts'
import { type Creators, creatorsIn, type Name, resolveName } from './query-names.ts'
import { choiceOf, countOf, flagOf, type Parameter, readParameters, shownName, shownValue } from './query-parameters.ts'
import { tag } from './tags.ts'
import { isTemporal, parseOffset } from './temporal.ts'
import { compileValue, invalidValue, isUniversal, listOf } from './values.ts'

/** A matching key as the client wrote it, decoded: the path into sequences and the raw value. */
export interface Constraint {
  readonly path: readonly Tag[]
  readonly value: string
  /** Of a person name: words are beginnings of its components, see `names.ts`. */
  readonly fuzzy?: boolean
  /** Matches what has no value, PS3.4 C.2.2.2.7; `value` is then two quotation marks. */
  readonly empty?: boolean
  /** `±HHMM`: the zone in which the key's dates and times are, when the query names one. */
  readonly timezone?: string
}

/** The parsed query part of a QIDO-RS URL, PS3.18 8.3.4. */
export interface Query {
  readonly constraints: readonly Constraint[]
  /**
   * Keys about link attributes, private ones as tags of block 10, and the standard attributes that are filled from
   * them (Interpretation Status ID, Study Verified Date and Time, Study Comments): they are matched on the merged row.
   */
  readonly linkConstraints: readonly Constraint[]
  /** Tags asked for with `includefield`, link attributes as tags of block 10, or `all`, which includes those. */
  readonly includeFields: readonly Tag[] | 'all'
  readonly limit: number | undefined
  readonly offset: number
  /** Asked for; the keys it can be done for say so by `fuzzy`. */
  readonly fuzzyMatching: boolean
  /** Asked for, PS3.18 8.3.4.6; no key says so: several values of one are alternatives. */
  readonly multipleValueMatching: boolean
  /** `partial=abort` or `partial=warn`; absent when the client does not say. */
  readonly partial?: 'abort' | 'warn'
  /** Names of keys that rows of this level cannot be matched by and that were left out; absent when none were. */
  readonly ignored?: readonly string[]
}

export type QueryLevel = 'study' | 'series' | 'instance'

const maxConstraints = 100
/** Of one value other than a list of UIDs, in characters. */
const maxValueLength = 1_024

/** Set by whoever answers, or about the request rather than about the object: PS3.4 C.4.1.1.3, C.2.2.2. */
const neverMatched: readonly Tag[] = [
  tag.SpecificCharacterSet,
  tag.RetrieveAETitle,
  tag.InstanceAvailability,
  tag.RetrieveURL,
]
const ofInstances: readonly Tag[] = [tag.SOPClassUID, tag.SOPInstanceUID, tag.InstanceNumber]
const ofSeries: readonly Tag[] = [tag.Modality, tag.SeriesInstanceUID, tag.SeriesNumber]

/** Keys without effect, by level of the rows: an object has no one value for what its parts have each. */
const unsupported: Readonly<Record<QueryLevel, ReadonlySet<Tag>>> = {
  study: new Set([...neverMatched, ...ofInstances, ...ofSeries]),
  series: new Set([...neverMatched, ...ofInstances]),
  instance: new Set(neverMatched),
}

/** Standard attributes that are filled from link attributes. */
const aliases: ReadonlySet<Tag> = new Set<Tag>([
  tag.InterpretationStatusID,
  tag.StudyStatusID,
  tag.StudyVerifiedDate,
  tag.StudyVerifiedTime,
  tag.StudyComments,
])

/**
 * Parses the query part of a QIDO-RS URL (PS3.18 8.3.4 and 10.6.1), without its question mark. Keys are tags or
 * keywords, dotted into sequences, or `link.<name>`; private tags go by the creator that the query names. What is
 * neither an attribute nor a parameter known here is ignored. A plus sign is a space except before an offset from UTC,
 * where no space can be.
 *
 * Throws `bad-request` for a wrong value of something supported, an attribute given twice, a name that is meant to be
 * an attribute and is none, broken percent-encoding, and anything beyond the limits above; its text begins with the
 * name of the parameter as it was written.
 */
export function parseQuery(level: QueryLevel, search: string): Query {
  const parameters = readParameters(search)
  const creators = creatorsIn(parameters)
  const fields = includedFields(parameters, creators)
  const given = givenKeys(parameters, creators)
  const keys = given.filter((key) => !isTimezone(key) && !isOnlyCreator(key, given, fields))
  const ignored = keys.filter((key) => isUnsupported(level, key))
  const timezone = timezoneOf(given)
  const fuzzy = flagOf(parameters, 'fuzzymatching')
  const empty = flagOf(parameters, 'emptyvaluematching')
  const partial = choiceOf(parameters, 'partial', ['abort', 'warn'])
  const constraintsOf = (some: readonly Key[]) => some.map((key) => checked(key, { fuzzy, empty, timezone }))
  const honoured = Map.groupBy(
    keys.filter((key) => !ignored.includes(key)),
    isLinkKey,
  )
  return {
    constraints: constraintsOf(honoured.get(false) ?? []),
    linkConstraints: constraintsOf(honoured.get(true) ?? []),
    includeFields: withTimezone(fields.tags, timezone),
    limit: countOf(parameters, 'limit'),
    offset: countOf(parameters, 'offset') ?? 0,
    fuzzyMatching: fuzzy,
    multipleValueMatching: flagOf(parameters, 'multiplevaluematching'),
    ...(partial && { partial }),
    ...(ignored.length > 0 && { ignored: ignored.map(titleOf) }),
  }
}

/** A key that names an attribute, with its name as the client wrote it. */
interface Key extends Name {
  readonly key: string
  readonly value: string
}

interface MatchingOptions {
  readonly fuzzy: boolean
  readonly empty: boolean
  readonly timezone: string | undefined
}

function givenKeys(parameters: readonly Parameter[], creators: Creators): Key[] {
  const keys = parameters.flatMap(([key, value]) => namedKey(key, value, creators))
  const tooMany = keys[maxConstraints]
  if (tooMany) throw badRequest(`${shownName(tooMany.key)}: more than ${maxConstraints} matching keys`)
  refuseRepeated(keys)
  return keys
}

function namedKey(key: string, value: string, creators: Creators): Key[] {
  const name = resolveName(key, creators)
  if (name === undefined) return []
  if ('problem' in name) throw badRequest(`${shownName(key)}: ${name.problem}`)
  return [{ key, ...name, value: restorePlus(name.path, value) }]
}

function restorePlus(path: readonly Tag[], value: string): string {
  if (path.at(-1) === tag.TimezoneOffsetFromUTC) return value.replace(/^ (?=\d{4}\s*$)/, '+')
  return vrOf(path.at(-1) ?? '') === 'DT' ? value.replaceAll(/(\d) (?=\d{4}(-|$))/g, '$1+') : value
}

function refuseRepeated(keys: readonly Key[]): void {
  const seen = new Set<string>()
  for (const { key, path, link } of keys) {
    const name = `${link ? 'link ' : ''}${path.join('.')}`
    if (seen.has(name))
      throw badRequest(`${shownName(key)}: given twice; an attribute may be given once (PS3.18 8.3.4.1)`)
    seen.add(name)
  }
}

const isTimezone = ({ path }: Key): boolean => path.length === 1 && path[0] === tag.TimezoneOffsetFromUTC

/** `±HHMM`, PS3.4 C.5.1.1.1.4: not matched, it says in which zone the dates and times of the other keys are. */
function timezoneOf(keys: readonly Key[]): string | undefined {
  const given = keys.find(isTimezone)
  const value = given?.value.trim() ?? ''
  if (given === undefined || value === '' || parseOffset(value) !== undefined) return value || undefined
  throw badRequest(
    `${shownName(given.key)}: ${shownValue(value)} is not valid; expected an offset from UTC such as +0100`,
  )
}

/** What rows say of their own zone is needed to compare with them, and keys are returned anyway. */
const withTimezone = (tags: IncludedFields['tags'], timezone: string | undefined): readonly Tag[] | 'all' =>
  tags === 'all' || timezone === undefined ? tags : [...new Set([...tags, tag.TimezoneOffsetFromUTC])]

/**
 * A creator only says whose the private tags are. That of the link attributes is never a key. Another one is: archives
 * that know neither it nor its tags then return neither, and their rows are left out instead of being all taken for
 * matches; but not when only `includefield` goes by it.
 */
function isOnlyCreator({ path, value }: Key, keys: readonly Key[], fields: IncludedFields): boolean {
  const last = path.at(-1) ?? ''
  if (!isPrivateCreator(last)) return false
  if (last.startsWith(linkBlock.group) && value.trim() === linkBlock.creator) return true
  const name = path.join('.')
  return fields.creators.has(name) && !keys.some(({ creators }) => creators.includes(name))
}

const isLinkKey = ({ link, path }: Key): boolean => link || (path.length === 1 && aliases.has(path[0] ?? ''))

/** Link attributes are those of studies; which keys a cluster could not honour is an answer and no question. */
function isUnsupported(level: QueryLevel, key: Key): boolean {
  if (isLinkKey(key)) return level !== 'study' || key.path[0] === linkTag.unhonoured
  return key.path.length === 1 && key.path.some((step) => unsupported[level].has(step))
}

function checked({ key, path, value, link }: Key, { fuzzy, empty, timezone }: MatchingOptions): Constraint {
  const vr = vrOf(path.at(-1) ?? '')
  if (vr !== 'UI' && value.length > maxValueLength) {
    throw badRequest(`${shownName(key)}: the value is longer than ${maxValueLength} characters`)
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(value)) throw badRequest(`${shownName(key)}: the value holds control characters`)
  if (empty && value.trim() === '""') return { path, value, empty }
  if (compileValue(vr, value) === undefined) throw invalidValue(shownName(key), path, vr, value)
  if (link) checkTerms(key, path.at(-1) ?? '', value)
  const isFuzzy = fuzzy && vr === 'PN' && !hasWildcard(value) && fuzzyWords(value).length > 0
  const isTimed = timezone !== undefined && isTemporal(vr) && !isUniversal(vr, value)
  return { path, value, ...(isFuzzy && { fuzzy }), ...(isTimed && { timezone }) }
}

/** Throws `bad-request` for what no study can have. */
function checkTerms(key: string, last: Tag, value: string): void {
  const terms = linkTerms[last]
  const wrong = terms && listOf(value).find((item) => !hasWildcard(item) && !terms.includes(item))
  if (wrong === undefined) return
  throw badRequest(`${shownName(key)}: ${shownValue(wrong)} is not valid; expected ${terms?.join(', ')}`)
}

/** Keywords where there are some: who reads warnings may not have written the query. */
const titleOf = ({ key, path, link }: Key): string =>
  link ? shownName(key) : path.map((step) => keywordOf(step) ?? step).join('.')

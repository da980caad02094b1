import { badRequest } from '../core/errors.ts'
import type { Tag } from './dataset.ts'
import { keywordOf, tagOf, vrOf } from './dictionary.ts'
import { tag } from './tags.ts'
import { compileValue, invalidValue } from './values.ts'

/** A matching key as the client wrote it, decoded: the path into sequences and the raw value. */
export interface Constraint {
  readonly path: readonly Tag[]
  readonly value: string
  /** Of a person name: words are beginnings of its components, see `values.ts`. */
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
  /** `partial=abort` or `partial=warn`; absent when the client does not say. */
  readonly partial?: 'abort' | 'warn'
  /** Keywords of keys that rows of this level cannot be matched by and that were left out; absent when none were. */
  readonly ignored?: readonly string[]
}

export type QueryLevel = 'study' | 'series' | 'instance'

const maxLength = 128 * 1024
const maxParameters = 1_000
const maxConstraints = 100
const maxIncludeFields = 1_000
const maxPathLength = 8
/** Of one value other than a list of UIDs, in characters. */
const maxValueLength = 1_024

/** Set by whoever answers, or about the request rather than about the object: PS3.4 C.4.1.1.3, C.2.2.2. */
const neverMatched: readonly Tag[] = [
  tag.SpecificCharacterSet,
  tag.RetrieveAETitle,
  tag.InstanceAvailability,
  tag.TimezoneOffsetFromUTC,
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

/**
 * Parses the query part of a QIDO-RS URL (PS3.18 8.3.4 and 10.6.1), without its question mark. Keys are tags or
 * keywords, dotted into sequences; what is neither an attribute nor a parameter known here is ignored. A plus sign is
 * a space, as URLSearchParams and the form encoders of most languages write it, except before the offset of a
 * date-time, where no space can be.
 *
 * Throws `bad-request` for a wrong value of something supported, an attribute given twice, broken percent-encoding,
 * and anything beyond the limits above.
 */
export function parseQuery(level: QueryLevel, search: string): Query {
  const parameters = decode(search)
  const attributes = parameters.flatMap(([key, value]) => attributeOf(key, value))
  refuseRepeated(attributes)
  if (attributes.length > maxConstraints) throw badRequest(`query: more than ${maxConstraints} matching keys`)
  const ignored = attributes.filter((attribute) => isUnsupported(level, attribute))
  const constraints = attributes.filter((attribute) => !ignored.includes(attribute))
  return {
    constraints: constraints.map(checked),
    linkConstraints: [],
    includeFields: includeFieldsOf(parameters),
    limit: countOf(parameters, 'limit'),
    offset: countOf(parameters, 'offset') ?? 0,
    fuzzyMatching: flagOf(parameters, 'fuzzymatching'),
    ...(ignored.length > 0 && { ignored: ignored.map(({ path }) => path.map(nameOf).join('.')) }),
  }
}

type Parameter = readonly [key: string, value: string]

/** A key that names an attribute, with its name as the client wrote it. */
interface NamedConstraint extends Constraint {
  readonly key: string
}

function decode(search: string): Parameter[] {
  if (search.length > maxLength) throw badRequest(`query: longer than ${maxLength} characters`)
  const pairs = search.split('&').filter((pair) => pair !== '')
  if (pairs.length > maxParameters) throw badRequest(`query: more than ${maxParameters} parameters`)
  return pairs.map((pair) => {
    const equals = pair.indexOf('=')
    if (equals < 0) return [decodeText(pair), '']
    return [decodeText(pair.slice(0, equals)), decodeText(pair.slice(equals + 1))]
  })
}

function decodeText(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw badRequest('query: its percent-encoding is broken; expected UTF-8 as %XX')
  }
}

function attributeOf(key: string, value: string): NamedConstraint[] {
  const path = pathOf(key)
  return path === undefined ? [] : [{ key, path, value: restorePlus(path, value) }]
}

function pathOf(key: string): Tag[] | undefined {
  const path = key.split('.').map(tagOf)
  if (!path.every((step) => step !== undefined)) return undefined
  if (path.length > maxPathLength) throw badRequest(`query: a key leads deeper than ${maxPathLength} levels`)
  const parent = path.slice(0, -1).find((step) => vrOf(step) !== 'SQ' && vrOf(step) !== 'UN')
  if (parent !== undefined) throw badRequest(`${key}: ${nameOf(parent)} is no sequence; only sequences have attributes`)
  return path
}

const restorePlus = (path: readonly Tag[], value: string): string =>
  vrOf(path.at(-1) ?? '') === 'DT' ? value.replaceAll(/(\d) (?=\d{4}(-|$))/g, '$1+') : value

function refuseRepeated(attributes: readonly NamedConstraint[]): void {
  const seen = new Set<string>()
  for (const { key, path } of attributes) {
    const name = path.join('.')
    if (seen.has(name)) throw badRequest(`${key}: given twice; an attribute may be given once (PS3.18 8.3.4.1)`)
    seen.add(name)
  }
}

const isUnsupported = (level: QueryLevel, { path }: Constraint): boolean =>
  path.length === 1 && path.some((step) => unsupported[level].has(step))

function checked({ key, path, value }: NamedConstraint): Constraint {
  const vr = vrOf(path.at(-1) ?? '')
  if (vr !== 'UI' && value.length > maxValueLength) {
    throw badRequest(`${key}: the value is longer than ${maxValueLength} characters`)
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(value)) throw badRequest(`${key}: the value holds control characters`)
  if (compileValue(vr, value) === undefined) throw invalidValue(key, path, vr, value)
  return { path, value }
}

/** Of a path into a sequence the whole sequence. */
function includeFieldsOf(parameters: readonly Parameter[]): readonly Tag[] | 'all' {
  const fields = valuesOf(parameters, 'includefield').flatMap((value) => value.split(',').map((field) => field.trim()))
  if (fields.length > maxIncludeFields) throw badRequest(`includefield: more than ${maxIncludeFields} attributes`)
  if (fields.includes('all')) return 'all'
  return [...new Set(fields.flatMap((field) => pathOf(field)?.slice(0, 1) ?? []))]
}

function countOf(parameters: readonly Parameter[], key: string): number | undefined {
  const value = single(parameters, key)
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value)
  throw badRequest(`${key}: ${JSON.stringify(value.slice(0, 80))} is not valid; expected 0 or a positive whole number`)
}

function flagOf(parameters: readonly Parameter[], key: string): boolean {
  const value = single(parameters, key)?.toLowerCase() ?? 'false'
  if (value === 'true' || value === 'false') return value === 'true'
  throw badRequest(`${key}: ${JSON.stringify(value.slice(0, 80))} is not valid; expected true or false`)
}

function single(parameters: readonly Parameter[], key: string): string | undefined {
  const values = valuesOf(parameters, key)
  if (values.length > 1) throw badRequest(`${key}: given twice; it may be given once`)
  return values[0]
}

const valuesOf = (parameters: readonly Parameter[], key: string): string[] =>
  parameters.filter(([name]) => name === key).map(([, value]) => value)

const nameOf = (step: Tag): string => keywordOf(step) ?? step

import { badRequest } from '../core/errors.ts'

const maxLength = 128 * 1024
const maxParameters = 1_000
const maxShownLength = 80

/** One `name=value` of a query, decoded; a plus sign was a space. */
export type Parameter = readonly [key: string, value: string]

/**
 * The parameters of a query part, PS3.18 8.3.1. A plus sign is a space, as URLSearchParams and the form encoders of most
 * languages write it. Throws `bad-request` for broken percent-encoding and for more than anybody asks for.
 */
export function readParameters(search: string): Parameter[] {
  if (search.length > maxLength) throw badRequest(`query: longer than ${maxLength} characters`)
  const pairs = search.split('&').filter((pair) => pair !== '')
  if (pairs.length > maxParameters) throw badRequest(`query: more than ${maxParameters} parameters`)
  return pairs.map((pair) => {
    const [written = '', ...value] = pair.split('=')
    const key = decodeText(written, written)
    return [key, decodeText(value.join('='), key)]
  })
}

function decodeText(text: string, name: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw badRequest(`${shownName(name)}: its percent-encoding is broken; expected UTF-8 as %XX`)
  }
}

/** The name of a parameter as the client wrote it, as the texts of errors begin with it. */
export const shownName = (name: string): string =>
  name.length > maxShownLength ? `${name.slice(0, maxShownLength)}…` : name

/** A value as the texts of errors show it; never of an attribute about a patient. */
export const shownValue = (value: string): string =>
  JSON.stringify(value.length > maxShownLength ? `${value.slice(0, maxShownLength)}…` : value)

/** A count, or `undefined` when it is not given. Throws `bad-request`. */
export function countOf(parameters: readonly Parameter[], key: string): number | undefined {
  const value = single(parameters, key)
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value)
  throw badRequest(`${key}: ${shownValue(value)} is not valid; expected 0 or a positive whole number`)
}

/** `true` or `false`, which is also what is not given. Throws `bad-request`. */
export const flagOf = (parameters: readonly Parameter[], key: string): boolean =>
  choiceOf(parameters, key, ['true', 'false']) === 'true'

/** One of some words, in any case, or `undefined` when it is not given. Throws `bad-request`. */
export function choiceOf<Word extends string>(
  parameters: readonly Parameter[],
  key: string,
  words: readonly Word[],
): Word | undefined {
  const value = single(parameters, key)
  if (value === undefined) return undefined
  const word = words.find((each) => each === value.toLowerCase())
  if (word !== undefined) return word
  throw badRequest(`${key}: ${shownValue(value)} is not valid; expected ${words.join(' or ')}`)
}

function single(parameters: readonly Parameter[], key: string): string | undefined {
  const values = valuesOf(parameters, key)
  if (values.length > 1) throw badRequest(`${key}: given twice; it may be given once`)
  return values[0]
}

/** The values of all parameters of one name. */
export const valuesOf = (parameters: readonly Parameter[], key: string): string[] =>
  parameters.filter(([name]) => name === key).map(([, value]) => value)

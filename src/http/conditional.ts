import type { Context } from 'hono'
import { badRequest, LinkError } from '../core/errors.ts'
import type { Env } from './context.ts'

/** Entity tags, RFC 9110 8.8.3, weak and strong, in a list. */
const entityTag = String.raw`(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"`
const tagList = new RegExp(String.raw`^${entityTag}(?:\s*,\s*${entityTag})*$`)

/** The entity tags that `If-Match` names, RFC 9110 13.1.1; `*` for any. Throws `bad-request` for what is neither. */
export function tagsToMatch(header: string): readonly string[] | '*' {
  const text = header.trim()
  if (text === '*') return text
  if (!tagList.test(text)) throw badRequest('If-Match: expected * or entity tags such as "3", with their quotes')
  return tagsIn(text)
}

/** Whether `If-None-Match` names an entity tag, compared weakly, RFC 9110 13.1.2; one that is none is passed over. */
export function isKnown(header: string | undefined, tag: string): boolean {
  const text = header?.trim()
  if (text === undefined) return false
  return text === '*' || tagsIn(text).some((known) => opaque(known) === opaque(tag))
}

const tagsIn = (text: string): readonly string[] => text.match(new RegExp(entityTag, 'g')) ?? []

const opaque = (tag: string) => tag.replace(/^W\//, '')

/**
 * Names of patients must not stay behind on the disks of shared workstations: browsers may keep pixels, and nothing else.
 * Studies are for those who may see them, and may be taken away from them: a copy is used only after this service was
 * asked whether it is the same, which tells as well whether the caller still may have it.
 */
export const cacheControlOf = (contentType: string): string =>
  /^(multipart\/related; type=")?(image\/|video\/|application\/octet-stream)/.test(contentType)
    ? 'private, no-cache'
    : 'no-store'

/**
 * Gives an answer its entity tag, and evaluates the preconditions of the request, RFC 9110 13.2.2: an answer when the
 * client has it already. Throws `precondition-failed` when it insists on another one.
 */
export function answerIfKnown(c: Context<Env>, tag: string, contentType: string): Response | undefined {
  const wanted = c.req.header('if-match')
  if (wanted !== undefined && !isMatched(tagsToMatch(wanted), tag)) {
    throw new LinkError('precondition-failed', 'If-Match: what there is now is not what it names')
  }
  c.header('ETag', tag)
  c.header('Cache-Control', cacheControlOf(contentType))
  return isKnown(c.req.header('if-none-match'), tag) ? c.body(null, 304) : undefined
}

/** Compared strongly: a weak tag matches nothing. */
const isMatched = (wanted: readonly string[] | '*', tag: string) =>
  wanted === '*' || (!tag.startsWith('W/') && wanted.includes(tag))

import type { Tag } from './dataset.ts'
import { keywordOf, tagOf, vrOf } from './dictionary.ts'
import {
  creatorTagOf,
  isOddGroup,
  isPrivateCreator,
  isPrivateElement,
  linkBlock,
  linkFields,
  linkKeys,
  linkTag,
} from './private-dictionary.ts'
import type { Parameter } from './query-parameters.ts'

/** What the name of a key or of an included field leads to. */
export interface Name {
  /** Of a link attribute as tags of block 10, wherever the query put its block. */
  readonly path: readonly Tag[]
  /** Whether it is a link attribute. */
  readonly link: boolean
  /** The paths of the creator elements that its private tags go by, joined with points. */
  readonly creators: readonly string[]
}

/** A name that is meant to be an attribute and is none; the text goes after the name. */
export interface NameProblem {
  readonly problem: string
}

/** Private creators by the path of their element, joined with points: what a query says of its private tags. */
export type Creators = ReadonlyMap<string, string>

const maxPathLength = 8

/** Somebody meant a tag: four digits and more, perhaps as printed in the standard. */
const tagLike = /^\(?(?:0x)?\d[0-9a-f]{3}[-, ]?[0-9a-f]{1,5}\)?$/i

/** The creators that a query names, PS3.5 7.8.1: the values of its keys of elements 0010–00FF of odd groups. */
export function creatorsIn(parameters: readonly Parameter[]): Creators {
  const creators = parameters.flatMap(([key, value]) => {
    const path = key.split('.').map(tagOf)
    return isPrivateCreator(path.at(-1) ?? '') && value.trim() !== '' ? [[path.join('.'), value.trim()] as const] : []
  })
  return new Map(creators)
}

/**
 * The attribute of a name: `link.<name>`, keywords and tags, dotted into sequences. `undefined` for what looks like none
 * of these: other parameters may have such names.
 */
export function resolveName(name: string, creators: Creators): Name | NameProblem | undefined {
  if (name.startsWith('link.')) return linkName(name)
  const steps = name.split('.')
  const path = steps.flatMap((step) => tagOf(step) ?? [])
  if (path.length < steps.length) return isMeantAsAttribute(steps) ? { problem: malformed } : undefined
  if (path.length > maxPathLength) return { problem: `leads deeper than ${maxPathLength} levels` }
  const parent = path.slice(0, -1).find((step) => vrOf(step) !== 'SQ' && vrOf(step) !== 'UN')
  if (parent !== undefined && !isPrivateElement(parent)) {
    return { problem: `${keywordOf(parent) ?? parent} is no sequence; only sequences have attributes` }
  }
  return path.some(isOddGroup) ? privateName(path, creators) : { path, link: false, creators: [] }
}

const malformed = 'is no attribute; expected a keyword of PS3.6 or eight hexadecimal digits, dotted into sequences'

const isMeantAsAttribute = ([first = '']: readonly string[]): boolean =>
  tagOf(first) !== undefined || tagLike.test(first)

function linkName(name: string): Name | NameProblem {
  const path = linkKeys.get(name)
  if (path !== undefined) return { path, link: true, creators: [] }
  return { problem: `is no link attribute; known are ${[...linkKeys.keys()].join(', ')}` }
}

/** A private tag means what its creator says: every one in the path has to have its creator in the query. */
function privateName(path: readonly Tag[], creators: Creators): Name | NameProblem {
  const used: string[] = []
  let link = false
  const normalised: Tag[] = []
  for (const [at, tag] of path.entries()) {
    normalised.push(tag)
    if (!isOddGroup(tag) || isPrivateCreator(tag)) continue
    if (!isPrivateElement(tag)) return { problem: 'is no attribute; private ones are the elements 1000–FFFF' }
    const creator = creatorPathOf(path.slice(0, at), tag, creators)
    if (creator === undefined) return { problem: missingCreator(tag) }
    used.push(creator)
    const isLink = tag.startsWith(linkBlock.group) && creators.get(creator) === linkBlock.creator
    if (at === 0) link = isLink
    if (isLink && link) normalised[at] = `${linkBlock.group}10${tag.slice(6)}`
  }
  const problem = link ? linkProblem(normalised) : undefined
  return problem === undefined ? { path: link ? normalised : path, link, creators: used } : { problem }
}

/** The creator is in the same item, or, for less to write, in one around it. */
function creatorPathOf(parents: readonly Tag[], tag: Tag, creators: Creators): string | undefined {
  const candidates = parents.map((_, at) => [...parents.slice(0, parents.length - at), creatorTagOf(tag)].join('.'))
  return [...candidates, creatorTagOf(tag)].find((path) => creators.has(path))
}

function missingCreator(tag: Tag): string {
  const creator = tag.startsWith(linkBlock.group) ? linkBlock.creator : '<its private creator>'
  return `is a private attribute without its creator; add ${creatorTagOf(tag)}=${creator}`
}

const topLevel: ReadonlySet<Tag> = new Set(linkFields.values())
const ofItems: ReadonlySet<Tag> = new Set([linkTag.cluster, linkTag.role])

function linkProblem([first = '', second, ...rest]: readonly Tag[]): string | undefined {
  if (ofItems.has(first)) return `belongs to the items of ${linkTag.sources}`
  if (!topLevel.has(first)) return `is no attribute of the private block ${linkBlock.creator}`
  if (second === undefined) return undefined
  if (first !== linkTag.sources) return 'is no sequence; only sequences have attributes'
  const isUnknown = second.startsWith(linkBlock.group) && !ofItems.has(second) && !isPrivateCreator(second)
  return isUnknown || rest.length > 0 ? `is no attribute of the items of ${linkTag.sources}` : undefined
}

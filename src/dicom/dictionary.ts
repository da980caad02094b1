import { data, log } from 'dcmjs'
import type { Tag } from './dataset.ts'
import { isPrivateCreator, linkVr } from './private-dictionary.ts'

// dcmjs reports oddities of datasets on the console, values included; a server must not.
for (const logger of [log, ...Object.values(log.getLoggers())]) logger.setLevel('silent')

const { dictionary, nameMap } = data.DicomMetaDictionary
const hexTag = /^[0-9a-f]{8}$/i
const retiredPrefix = /^RETIRED_/

/** VRs that depend on other attributes of the dataset, by the code of the dictionary: the commonest one. */
const ambiguous: Readonly<Record<string, string>> = { ox: 'OW', xs: 'US', lt: 'OW', up: 'UL', na: 'UN' }

let keywords: ReadonlyMap<string, Tag> | undefined

/**
 * The tag of a keyword of PS3.6 (`StudyDate`; retired ones too: `StudyComments`) or of eight hexadecimal digits in
 * any case, whether the dictionary knows them or not. `undefined` for anything else.
 */
export function tagOf(keywordOrTag: string): Tag | undefined {
  if (hexTag.test(keywordOrTag)) return keywordOrTag.toUpperCase()
  keywords ??= indexKeywords()
  return keywords.get(keywordOrTag)
}

/** The keyword of a tag in PS3.6, or `undefined` when it has none. */
export function keywordOf(tag: Tag): string | undefined {
  return dictionary[tag]?.name.replace(retiredPrefix, '')
}

/**
 * The value representation of a tag in PS3.6, or of a link attribute as a tag of block 10; of several possible ones the
 * commonest; `UN` when unknown.
 */
export function vrOf(tag: Tag): string {
  const known = dictionary[tag]?.vr
  if (known !== undefined) return ambiguous[known] ?? known
  return isPrivateCreator(tag) ? 'LO' : (linkVr[tag] ?? 'UN')
}

/** Keywords to tags; a current attribute wins over a retired one of the same keyword. */
function indexKeywords(): ReadonlyMap<string, Tag> {
  const current = new Map<string, Tag>()
  const retired = new Map<string, Tag>()
  for (const { name, tag } of Object.values(nameMap)) {
    const target = retiredPrefix.test(name) ? retired : current
    target.set(name.replace(retiredPrefix, ''), tag.slice(1, 5) + tag.slice(6, 10))
  }
  return new Map([...retired, ...current])
}

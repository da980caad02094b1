import type { Attribute, Dataset, Tag } from './dataset.ts'

/**
 * Private blocks this product knows. A block is found by its creator, PS3.5 7.8.1, never by its number: which of the
 * blocks 10–FF of the group it has is up to whoever wrote the dataset. Here its elements are named as if it were 10.
 */
export interface PrivateBlock {
  readonly creator: string
  /** Four hexadecimal digits. */
  readonly group: string
}

/** The link attributes, read and written. */
export const linkBlock: PrivateBlock = { creator: 'DICOMWEB LINK 1.0', group: '0077' }

/** Blocks of older systems, read and never written. */
export const mitraBlock: PrivateBlock = { creator: 'MITRA LINKED ATTRIBUTES 1.0', group: '0031' }
export const mirroringBlock: PrivateBlock = { creator: 'AGFA PACS Archive Mirroring 1.0', group: '0031' }

/** Link attributes by name, as tags of block 10. */
export const linkTag = {
  reportStatus: '00771001',
  location: '00771002',
  specialty: '00771003',
  bodyPart: '00771004',
  verified: '00771005',
  verifiedAt: '00771006',
  comments: '00771007',
  sources: '00771010',
  /** Of an item of `sources`. */
  cluster: '00771011',
  /** Of an item of `sources`. */
  role: '00771012',
  home: '00771013',
  gpi: '00771015',
  residence: '00771016',
  unhonoured: '00771017',
} as const satisfies Readonly<Record<string, Tag>>

/** Their value representations. */
export const linkVr: Readonly<Record<Tag, string>> = {
  [linkTag.reportStatus]: 'CS',
  [linkTag.location]: 'CS',
  [linkTag.specialty]: 'LO',
  [linkTag.bodyPart]: 'CS',
  [linkTag.verified]: 'CS',
  [linkTag.verifiedAt]: 'DT',
  [linkTag.comments]: 'UT',
  [linkTag.sources]: 'SQ',
  [linkTag.cluster]: 'LO',
  [linkTag.role]: 'CS',
  [linkTag.home]: 'LO',
  [linkTag.gpi]: 'LO',
  [linkTag.residence]: 'CS',
  [linkTag.unhonoured]: 'LO',
}

/** What those that are closed lists may be, in the order of their table. */
export const linkTerms: Readonly<Record<Tag, readonly string[]>> = {
  [linkTag.reportStatus]: ['NEW', 'DICTATED', 'TRANSCRIBED', 'APPROVED', 'UNKNOWN'],
  [linkTag.location]: ['CACHE', 'NONCACHE'],
  [linkTag.verified]: ['VERIFIED', 'UNVERIFIED', 'FAILED'],
  [linkTag.residence]: ['RESIDENT', 'VISITOR'],
}

/** The creator element of block 10: present wherever one of its elements is, in sequence items too. */
export const linkCreatorTag: Tag = '00770010'

/** `link.reportStatus` and the like in a query; `link.cluster` is about the items of the sources. */
export const linkKeys: ReadonlyMap<string, readonly Tag[]> = new Map<string, readonly Tag[]>([
  ['link.reportStatus', [linkTag.reportStatus]],
  ['link.location', [linkTag.location]],
  ['link.specialty', [linkTag.specialty]],
  ['link.bodyPart', [linkTag.bodyPart]],
  ['link.verified', [linkTag.verified]],
  ['link.verifiedAt', [linkTag.verifiedAt]],
  ['link.comments', [linkTag.comments]],
  ['link.gpi', [linkTag.gpi]],
  ['link.home', [linkTag.home]],
  ['link.residence', [linkTag.residence]],
  ['link.cluster', [linkTag.sources, linkTag.cluster]],
])

/** Link attributes of a study by name, as `includefield` takes them. */
export const linkFields: ReadonlyMap<string, Tag> = new Map(
  Object.entries(linkTag)
    .filter(([, tag]) => tag !== linkTag.cluster && tag !== linkTag.role)
    .map(([name, tag]) => [`link.${name}`, tag]),
)

/** PS3.5 7.8.1: elements 0010–00FF of an odd group reserve its blocks. */
export const isPrivateCreator = (tag: Tag): boolean => /^[0-9A-F]{3}[13579BDF]00[1-9A-F][0-9A-F]$/.test(tag)

/** Elements 1000–FFFF of an odd group. */
export const isPrivateElement = (tag: Tag): boolean => /^[0-9A-F]{3}[13579BDF][1-9A-F]/.test(tag)

export const isOddGroup = (tag: Tag): boolean => /^[0-9A-F]{3}[13579BDF]/.test(tag)

/** The element that reserves the block of a private element. */
export const creatorTagOf = (tag: Tag): Tag => `${tag.slice(0, 4)}00${tag.slice(4, 6)}`

/** The element `NN` of a block in a dataset, wherever the block is. `element`: two hexadecimal digits. */
export function privateAttribute(dataset: Dataset, block: PrivateBlock, element: string): Attribute | undefined {
  const reserved = `${block.group}00`
  // One creator may reserve several blocks, each with some of its elements.
  for (const key of Object.keys(dataset)
    .filter((it) => it.startsWith(reserved) && it >= `${reserved}10`)
    .sort()) {
    const creator = dataset[key]?.Value?.[0]
    const found = dataset[block.group + key.slice(6) + element]
    if (found && typeof creator === 'string' && creator.trim() === block.creator) return found
  }
  return undefined
}

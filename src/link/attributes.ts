import { availabilities } from '../dicom/availability.ts'
import { type Attribute, type Dataset, firstNumber, type MutableDataset, type Tag } from '../dicom/dataset.ts'
import {
  linkBlock,
  linkCreatorTag,
  linkTag,
  linkVr,
  mirroringBlock,
  privateAttribute,
} from '../dicom/private-dictionary.ts'
import { tag } from '../dicom/tags.ts'
import { asLongText, commentsOf, studyCommentsTag } from './comments.ts'
import { globalIdOf, otherPatientIdsTag } from './global-id.ts'
import type { LinkRecord } from './record.ts'
import { interpretationOf, interpretationStatusTag, reportStatusOf } from './report.ts'
import { firstTold, type LinkSource, ownTexts, sortedOnce, textsOf, wordIn } from './told.ts'
import { verificationOf, verifiedDateAndTime, verifiedDateTag, verifiedTimeTag } from './verification.ts'

export type { LinkSource } from './told.ts'

export interface LinkInput {
  /** The merged row of the study. */
  readonly merged: Dataset
  /** The most believed first. */
  readonly copies: readonly LinkSource[]
  /** What this site was told. */
  readonly record?: LinkRecord | undefined
  /** By the mapping tables. */
  readonly mapped: { readonly specialty: readonly string[]; readonly bodyPart: readonly string[] }
  /** Id of the home cluster. */
  readonly home: string
  /** All that home has of the study came from other sites. */
  readonly visiting: boolean
  /** Constraints of the query that a cluster of the study could not honour. */
  readonly unhonoured: readonly string[]
}

/** Standard attributes that archives have to be asked for so that link attributes can be told from their rows. */
export const linkSourceFields: readonly Tag[] = [
  tag.InstanceAvailability,
  tag.TimezoneOffsetFromUTC,
  otherPatientIdsTag,
  tag.NumberOfStudyRelatedInstances,
  tag.StudyStatusID,
  verifiedDateTag,
  verifiedTimeTag,
  studyCommentsTag,
  interpretationStatusTag,
]

/** Of an item of the sources only. */
const ofItems: readonly Tag[] = [linkTag.cluster, linkTag.role]

/** Private attributes that {@link linkAttributes} gives, as tags of block 10, and their creator. */
export const linkTags: ReadonlySet<Tag> = new Set<Tag>([
  linkCreatorTag,
  ...Object.values(linkTag).filter((key) => !ofItems.includes(key)),
])

/** Standard attributes that {@link linkAttributes} fills from them. */
export const linkAliases: ReadonlySet<Tag> = new Set<Tag>([
  tag.StudyStatusID,
  verifiedDateTag,
  verifiedTimeTag,
  studyCommentsTag,
  interpretationStatusTag,
])

/**
 * Every link attribute of a study, the creator element beside them, and the standard attributes filled from them. What
 * nobody says is there without a value, so that no key matches it; only residence and constraints that were not honoured
 * are left out.
 */
export function linkAttributes(input: LinkInput): MutableDataset {
  const { merged, copies, record, mapped, home, unhonoured } = input
  const status = reportStatusOf(copies, record)
  const verification = verificationOf(copies, record)
  const comments = commentsOf(copies, record)
  return {
    [linkCreatorTag]: { vr: 'LO', Value: [linkBlock.creator] },
    ...linked(linkTag.reportStatus, status),
    ...linked(linkTag.location, locationOf(copies)),
    ...linked(linkTag.specialty, ...union(mapped.specialty, copies, linkTag.specialty)),
    ...linked(linkTag.bodyPart, ...union(mapped.bodyPart, copies, linkTag.bodyPart)),
    ...linked(linkTag.verified, verification.status),
    ...linked(linkTag.verifiedAt, verification.at),
    ...linked(linkTag.comments, comments),
    ...linked(linkTag.sources, ...copies.map(sourceOf)),
    ...linked(linkTag.home, home),
    ...linked(linkTag.gpi, globalIdOf(copies)),
    ...onlyTold(linkTag.residence, residenceOf(input)),
    ...onlyTold(linkTag.unhonoured, ...sortedOnce(unhonoured)),
    [tag.StudyStatusID]: valued('CS', [studyStatusOf(input)]),
    ...verifiedDateAndTime(merged, verification),
    [studyCommentsTag]: valued('LT', [asLongText(comments)]),
    [interpretationStatusTag]: valued('CS', [interpretationOf(status)]),
  }
}

/** An attribute of the block, without a value when there is none. */
const linked = (key: Tag, ...values: readonly unknown[]): MutableDataset => ({
  [key]: valued(linkVr[key] ?? 'UN', values),
})

const onlyTold = (key: Tag, ...values: readonly unknown[]): MutableDataset =>
  values.some((value) => value !== undefined) ? linked(key, ...values) : {}

function valued(vr: string, values: readonly unknown[]): Attribute {
  const Value = values.filter((value) => value !== undefined && value !== '')
  return Value.length > 0 ? { vr, Value } : { vr }
}

const locations = ['CACHE', 'NONCACHE'] as const

/** By Instance Availability, PS3.3 C.4.23.1.1; what is unavailable is nowhere. */
const locationBy: Readonly<Record<string, (typeof locations)[number]>> = {
  ONLINE: 'CACHE',
  NEARLINE: 'NONCACHE',
  OFFLINE: 'NONCACHE',
}

/** The best of where the copies are. */
function locationOf(copies: readonly LinkSource[]): string | undefined {
  const found = copies.flatMap(({ row }) => [
    wordIn(locations, ownTexts(row, linkTag.location)),
    locationBy[availabilityOf(row) ?? ''],
  ])
  return locations.find((location) => found.includes(location))
}

const availabilityOf = (row: Dataset) => wordIn(availabilities, textsOf(row[tag.InstanceAvailability]))

/** As computed here, and as other proxies computed it. */
const union = (mapped: readonly string[], copies: readonly LinkSource[], key: Tag): string[] =>
  sortedOnce([...mapped, ...copies.flatMap(({ row }) => ownTexts(row, key))])

/** An item of the sources. */
function sourceOf({ cluster, role, row }: LinkSource): Dataset {
  const availability = availabilityOf(row)
  const instances = firstNumber(row, tag.NumberOfStudyRelatedInstances)
  return {
    ...(availability && { [tag.InstanceAvailability]: { vr: 'CS', Value: [availability] } }),
    ...(instances !== undefined &&
      Number.isInteger(instances) &&
      instances >= 0 && { [tag.NumberOfStudyRelatedInstances]: { vr: 'IS', Value: [instances] } }),
    [linkCreatorTag]: { vr: 'LO', Value: [linkBlock.creator] },
    ...linked(linkTag.cluster, cluster),
    ...linked(linkTag.role, role.toUpperCase()),
  }
}

/** Whether the study belongs to the home cluster or came there from another one. */
function residenceOf({ copies, home, visiting }: LinkInput): string | undefined {
  const copy = copies.find(({ cluster }) => cluster === home)
  const otherwise = visiting ? 'VISITOR' : 'RESIDENT'
  return copy && (wordIn(['RESIDENT', 'VISITOR'], ownTexts(copy.row, linkTag.residence)) ?? otherwise)
}

/** As this site was told, else as archives keep it, else as one tells it that another one is mirrored to. */
function studyStatusOf({ merged, copies, record }: LinkInput): string | undefined {
  const mirrored = (row: Dataset) => textsOf(privateAttribute(row, mirroringBlock, '00'))[0]
  return record?.studyStatus ?? textsOf(merged[tag.StudyStatusID])[0] ?? firstTold(copies, mirrored)
}

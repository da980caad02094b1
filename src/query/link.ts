import { type Dataset, firstNumber, type Tag } from '../dicom/dataset.ts'
import { type CompiledConstraint, compileConstraint, compileConstraints, matchConstraint } from '../dicom/match.ts'
import { linkBlock, linkCreatorTag } from '../dicom/private-dictionary.ts'
import type { Query } from '../dicom/query.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { linkAliases, linkAttributes } from '../link/attributes.ts'
import { factsOf, type Mappings, mapStudy } from '../link/mappings.ts'
import type { LinkRecord } from '../link/record.ts'
import type { SeriesFacts } from './facts.ts'
import type { MergedRow } from './merge.ts'
import { isEither, isGpi, isPatientID } from './plan.ts'

/** Where link attributes come from beside the clusters' own rows. */
export interface LinkKnowledge {
  /** What this site has been told of these studies. */
  readonly records: (studies: readonly Uid[]) => Promise<ReadonlyMap<string, LinkRecord>>
  /** How many instances of these studies home has from other sites; those of which it has none may be left out. */
  readonly visitors: (studies: readonly Uid[]) => Promise<ReadonlyMap<string, number>>
  readonly mappings: () => Mappings
}

/** Rows of studies with all their link attributes; `facts` of their copies are known as far as they can be. */
export async function withLinkAttributes(
  rows: readonly MergedRow[],
  knowledge: LinkKnowledge,
  told: {
    readonly facts: SeriesFacts
    readonly roleOf: (cluster: string) => string
    readonly home: string
    readonly unhonouredBy: (clusters: readonly string[]) => readonly string[]
  },
): Promise<MergedRow[]> {
  const studies = rows.flatMap(({ uid }) => (isUid(uid) ? [uid] : []))
  const [records, visitors] = await Promise.all([knowledge.records(studies), knowledge.visitors(studies)])
  const mappings = knowledge.mappings()
  return rows.map((row) => {
    const series = row.copies.flatMap((copy) => told.facts.of(copy)?.rows ?? [])
    const { specialty, bodyPart } = mapStudy(mappings, factsOf(row.dataset, series))
    const attributes = linkAttributes({
      merged: row.dataset,
      copies: row.copies.map((copy) => ({ ...copy, role: told.roleOf(copy.cluster) })),
      record: records.get(row.uid),
      mapped: { specialty: specialty.values, bodyPart: bodyPart.values },
      home: told.home,
      visiting: isVisiting(row, visitors.get(row.uid) ?? 0, told),
      unhonoured: told.unhonouredBy(row.copies.map(({ cluster }) => cluster)),
    })
    return { ...row, dataset: { ...withoutLinkBlock(row.dataset), ...attributes } }
  })
}

/** Whether all that home counts came from elsewhere; what it does not count may be its own. */
function isVisiting(
  { copies }: MergedRow,
  visitors: number,
  { facts, home }: { readonly facts: SeriesFacts; readonly home: string },
): boolean {
  const copy = copies.find(({ cluster }) => cluster === home)
  if (!copy || visitors === 0) return false
  const series = [...(facts.of(copy)?.series.values() ?? [])]
  const counted = series.reduce<number>((sum, instances = Number.NaN) => sum + instances, 0)
  const instances = firstNumber(copy.row, tag.NumberOfStudyRelatedInstances) ?? counted
  return instances > 0 && visitors >= instances
}

/** Which rows, with their link attributes, a query asks for. */
export function linkFilter(query: Query): (row: MergedRow) => boolean {
  if (!isEither(query)) {
    const constraints = compileConstraints(query.linkConstraints)
    return ({ dataset }) => constraints.every((constraint) => meets(dataset, constraint))
  }
  const gpi = query.linkConstraints.filter(isGpi).map(compileConstraint)
  const others = compileConstraints(query.linkConstraints.filter((constraint) => !isGpi(constraint)))
  const patient = query.constraints.filter(isPatientID).map(compileConstraint)
  return ({ dataset, copies }) =>
    others.every((constraint) => meets(dataset, constraint)) &&
    (gpi.every((constraint) => meets(dataset, constraint)) ||
      copies.some(({ row }) => patient.every((constraint) => meets(row, constraint))))
}

/** Keys that every copy is matched by itself: of a patient ID and a GPI either will do, which only the whole row tells. */
export const copyConstraints = (query: Query): Query['constraints'] =>
  isEither(query) ? query.constraints.filter((constraint) => !isPatientID(constraint)) : query.constraints

/** What peers wrote, in whatever block: it has gone into our own. */
const withoutLinkBlock = (row: Dataset): Dataset =>
  Object.fromEntries(Object.entries(row).filter(([key]) => !key.startsWith(linkBlock.group)))

/** Without the link attributes that the client did not ask for. */
export function shownOf(row: Dataset, columns: ReadonlySet<Tag>): Dataset {
  const isPrivate = (key: Tag) => key.startsWith(linkBlock.group)
  const hasPrivate = [...columns].some(isPrivate)
  const isShown = (key: Tag) =>
    key === linkCreatorTag ? hasPrivate : columns.has(key) || !(isPrivate(key) || linkAliases.has(key))
  return Object.fromEntries(Object.entries(row).filter(([key]) => isShown(key)))
}

const meets = (dataset: Dataset, constraint: CompiledConstraint): boolean =>
  matchConstraint(dataset, constraint) === 'match'

import type { Cluster, SearchConstraint, SearchRequest } from '../clusters/cluster.ts'
import type { Tag } from '../dicom/dataset.ts'
import { tagOf } from '../dicom/dictionary.ts'
import { defaultReturned, tag } from '../dicom/tags.ts'
import type { QueryRequest } from './service.ts'

/** What each cluster is asked, and which are left out and why. */
export interface QueryPlan {
  readonly request: SearchRequest
  readonly ask: readonly Cluster[]
  readonly skipped: readonly { readonly cluster: string; readonly why: string }[]
}

export interface PlanRules {
  /** Ids of clusters that are asked only with a key that narrows to a patient, an order or a study. */
  readonly constrained: ReadonlySet<string>
  /** Rows taken from one cluster at most. */
  readonly maxRowsPerCluster: number
}

/**
 * Every cluster gets the same request: all keys, no paging. Archives do not sort, so a page of the merged answer
 * cannot be had from pages of theirs.
 */
export function planQuery(request: QueryRequest, clusters: readonly Cluster[], rules: PlanRules): QueryPlan {
  const narrow = narrowsDown(request)
  const isLeftOut = (cluster: Cluster) => rules.constrained.has(cluster.id) && !narrow
  return {
    request: {
      level: request.level,
      ...(request.study && { study: request.study }),
      ...(request.series && { series: request.series }),
      constraints: request.query.constraints,
      includeFields: fieldsToAskFor(request),
      limit: rules.maxRowsPerCluster,
    },
    ask: clusters.filter((cluster) => !isLeftOut(cluster)),
    skipped: clusters.filter(isLeftOut).map(({ id }) => ({
      cluster: id,
      why: 'is asked only with a patient ID, an accession number, a study UID or three letters of a name',
    })),
  }
}

/** What merging, ordering and checking need beside what the client wants to see. */
function fieldsToAskFor({ level, query }: QueryRequest): Tag[] {
  const wanted = query.includeFields === 'all' ? optionalFields[level] : query.includeFields
  const checked = query.constraints.flatMap(({ path }) => path.slice(0, 1))
  return [...new Set([...checked, ...needed[level], ...wanted])]
}

const needed = {
  study: [tag.StudyDate, tag.StudyTime, tag.ModalitiesInStudy],
  series: [tag.StudyDate, tag.StudyTime, tag.SeriesNumber],
  instance: [tag.StudyDate, tag.StudyTime, tag.SeriesNumber, tag.InstanceNumber],
} as const satisfies Record<QueryRequest['level'], readonly Tag[]>

/** Asked for by name for `includefield=all`: archives differ in what they take `all` to be. */
const optionalFields: Readonly<Record<QueryRequest['level'], readonly Tag[]>> = {
  study: [
    ...defaultReturned.study,
    ...tagsOf('StudyDescription IssuerOfPatientID PatientAge PatientSize PatientWeight PatientComments'),
    ...tagsOf('NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription SOPClassesInStudy InstitutionName'),
  ],
  series: [
    ...defaultReturned.series,
    ...tagsOf('SeriesDate SeriesTime BodyPartExamined ProtocolName PerformingPhysicianName OperatorsName'),
    ...tagsOf('StationName InstitutionName Manufacturer ManufacturerModelName FrameOfReferenceUID Laterality'),
  ],
  instance: [
    ...defaultReturned.instance,
    ...tagsOf('ContentDate ContentTime AcquisitionNumber AcquisitionDate ImageType PhotometricInterpretation'),
  ],
}

function tagsOf(keywords: string): Tag[] {
  return keywords.split(' ').flatMap((keyword) => tagOf(keyword) ?? [])
}

/** Keys by which a constrained location lets itself be asked; a study UID is narrower than any of them. */
function narrowsDown({ study, query }: QueryRequest): boolean {
  return study !== undefined || query.constraints.some(isNarrow)
}

function isNarrow({ path, value }: SearchConstraint): boolean {
  if (path.length !== 1) return false
  const literal = value.replace(/[*?]/g, '')
  switch (path[0]) {
    case tag.PatientID:
    case tag.AccessionNumber:
    case tag.StudyInstanceUID:
      return literal !== ''
    case tag.PatientName:
      return (literal.match(/\p{L}/gu)?.length ?? 0) >= 3
    default:
      return false
  }
}

import type { Tag } from '../dicom/dataset.ts'
import { tagOf } from '../dicom/dictionary.ts'
import { defaultReturned, tag } from '../dicom/tags.ts'
import { linkAliases, linkSourceFields, linkTags } from '../link/attributes.ts'
import { mappingFields } from '../link/mappings.ts'
import type { QueryRequest } from './service.ts'

/** Which attributes clusters are asked for and which the client sees. */

/** What merging, ordering and telling link attributes need beside what the client wants to see. */
export function fieldsToAskFor(request: QueryRequest): Tag[] {
  const { level, query } = request
  const wanted = query.includeFields === 'all' ? optionalFields[level] : query.includeFields
  const told = needsLinkAttributes(request) ? [...linkSourceFields, ...mappingFields] : []
  return [...new Set([...needed[level], ...told, ...wanted.filter((key) => !linkTags.has(key))])]
}

/** Link attributes the client sees: a plain query gets none, so that viewers stay lean. */
export function linkColumns({ level, query }: QueryRequest): ReadonlySet<Tag> {
  if (level !== 'study') return new Set()
  if (query.includeFields === 'all') return new Set([...linkTags, ...linkAliases])
  return new Set(query.includeFields.filter((key) => linkTags.has(key) || linkAliases.has(key)))
}

export const needsLinkAttributes = (request: QueryRequest): boolean =>
  request.level === 'study' && (linkColumns(request).size > 0 || request.query.linkConstraints.length > 0)

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

/** Keys every origin server takes, PS3.18 tables 10.6.1-5 to -7, and the UIDs, by which copies are found. */
const requiredKeys: ReadonlySet<Tag> = new Set([
  ...tagsOf('StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName PatientName PatientID'),
  ...tagsOf('StudyInstanceUID StudyID Modality SeriesInstanceUID SeriesNumber PerformedProcedureStepStartDate'),
  ...tagsOf('PerformedProcedureStepStartTime RequestAttributesSequence SOPClassUID SOPInstanceUID InstanceNumber'),
])

export const isRequiredKey = (key: Tag): boolean => requiredKeys.has(key)

function tagsOf(keywords: string): Tag[] {
  return keywords.split(' ').flatMap((keyword) => tagOf(keyword) ?? [])
}

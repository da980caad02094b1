import type { SearchRequest } from '../clusters/cluster.ts'
import type { Dataset } from '../dicom/dataset.ts'
import { isBlank } from '../dicom/patient.ts'
import { tag } from '../dicom/tags.ts'
import type { SeriesFacts } from './facts.ts'
import type { Copy } from './merge.ts'

/**
 * Study Description is optional in every object (type 3, PS3.3 C.7.2.1), and viewers leave it out of the reports they
 * save. Archives that describe a study by one of its objects, as Orthanc does by the newest, match by the description
 * and then answer without it. It is had from the study's series, which are described by objects of their own.
 */
export function withDescription(
  row: Dataset,
  copies: readonly Pick<Copy, 'cluster' | 'row'>[],
  facts: SeriesFacts,
): Dataset {
  if (!isBlank(row[tag.StudyDescription])) return row
  const description = copies.map((copy) => facts.of(copy)?.description).find((it) => it)
  return description ? { ...row, [tag.StudyDescription]: description } : row
}

/** Whether a client asks by the description, so that rows without it have to get it before they are checked. */
export const asksByDescription = ({ level, constraints }: Pick<SearchRequest, 'level' | 'constraints'>): boolean =>
  level === 'study' && constraints.some(({ path, value }) => path[0] === tag.StudyDescription && value !== '')

export const lacksDescription = (row: Dataset): boolean => isBlank(row[tag.StudyDescription])

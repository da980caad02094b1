import { type Dataset, strings, type Tag } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'

/** What rules look at of a study. Texts are as an archive gives them; what it does not give is empty. */
export interface StudyFacts {
  readonly studyDescription: string
  /** Code Values of Procedure Code Sequence (0008,1032). */
  readonly procedureCodes: readonly string[]
  readonly modalities: readonly string[]
  /** Body Part Examined (0018,0015) of any series. */
  readonly bodyParts: readonly string[]
  /** Institution Name (0008,0080) of the study or of any series. */
  readonly institutions: readonly string[]
}

/** The keys a rule may have conditions for, in the order in which they are told. */
export const conditionKeys = [
  'StudyDescription',
  'ProcedureCode',
  'Modality',
  'BodyPartExamined',
  'InstitutionName',
] as const
export type ConditionKey = (typeof conditionKeys)[number]

const codeValues: readonly Tag[] = ['00080100', '00080119', '00080120']
const institutionName: Tag = '00080080'
const procedureCodeSequence: Tag = '00081032'

/** Study-level attributes an archive must be asked for, so that {@link factsOf} has what it needs. */
export const mappingFields: readonly Tag[] = [
  tag.StudyDescription,
  procedureCodeSequence,
  tag.ModalitiesInStudy,
  institutionName,
]

/** As {@link mappingFields}, of the series of a study. */
export const seriesMappingFields: readonly Tag[] = [tag.Modality, tag.BodyPartExamined, institutionName]

/**
 * Gathers the facts from a study's row and, where they are at hand, from the rows of its series: an archive that
 * describes a study by one of its objects may give the description with another.
 */
export function factsOf(study: Dataset, series: readonly Dataset[] = []): StudyFacts {
  const all = [study, ...series]
  const distinct = (tags: readonly Tag[]) => [...new Set(all.flatMap((row) => tags.flatMap((it) => strings(row, it))))]
  return {
    studyDescription: all.flatMap((row) => strings(row, tag.StudyDescription))[0] ?? '',
    procedureCodes: [...new Set(all.flatMap(procedureCodesOf))],
    modalities: distinct([tag.ModalitiesInStudy, tag.Modality]),
    bodyParts: distinct([tag.BodyPartExamined]),
    institutions: distinct([institutionName]),
  }
}

/** Code Value, or what stands in its place when the code does not fit into it (PS3.3 8.1). */
const procedureCodesOf = (row: Dataset): string[] =>
  (row[procedureCodeSequence]?.Value ?? [])
    .filter((item): item is Dataset => typeof item === 'object' && item !== null)
    .flatMap((item) => codeValues.flatMap((key) => strings(item, key)).slice(0, 1))

/** Facts of several copies or of several series as one: the first description there is, and all of everything else. */
export function joinFacts(all: readonly StudyFacts[]): StudyFacts {
  const distinct = (pick: (facts: StudyFacts) => readonly string[]) => [...new Set(all.flatMap(pick))]
  return {
    studyDescription: all.find(({ studyDescription }) => studyDescription !== '')?.studyDescription ?? '',
    procedureCodes: distinct((facts) => facts.procedureCodes),
    modalities: distinct((facts) => facts.modalities),
    bodyParts: distinct((facts) => facts.bodyParts),
    institutions: distinct((facts) => facts.institutions),
  }
}

/** The texts by the key of the conditions that look at them. */
export type Texts = Readonly<Record<ConditionKey, readonly string[]>>

/** More than DICOM allows, so that a table costs the same whatever an archive sends. */
const maxTexts = 256
const maxTextLength = 1024

/**
 * Facts made ready for matching: without the spaces DICOM pads with, in one Unicode form. What is absent counts as an
 * empty text, so that `%` alone is met by every study.
 */
export function textsOf(facts: StudyFacts): Texts {
  return {
    StudyDescription: ready([facts.studyDescription]),
    ProcedureCode: ready(facts.procedureCodes),
    Modality: ready(facts.modalities),
    BodyPartExamined: ready(facts.bodyParts),
    InstitutionName: ready(facts.institutions),
  }
}

const ready = (texts: readonly string[]): string[] =>
  texts.length === 0
    ? ['']
    : texts.slice(0, maxTexts).map((text) => text.slice(0, maxTextLength).trim().normalize('NFC'))

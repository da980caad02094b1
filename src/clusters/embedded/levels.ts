import type { LevelRules, NewInstance } from '../../db/embedded-store.ts'
import type { Dataset, MutableDataset, Tag } from '../../dicom/dataset.ts'
import { firstNumber, firstString } from '../../dicom/dataset.ts'
import { isBlank, mergePatient, patientTags } from '../../dicom/patient.ts'
import { defaultReturned, tag } from '../../dicom/tags.ts'
import { plainDate } from '../../dicom/temporal.ts'

/** Which level of the information model an attribute describes, PS3.3 A.1.2. */
export type Level = 'study' | 'series' | 'instance'

/** Attributes of the Patient, Clinical Trial, Patient Study, General Study and Visit modules, and what is computed. */
export const levelOf = (key: Tag): Level =>
  studyGroups.test(key) || studyTags.has(key) ? 'study' : seriesTags.has(key) ? 'series' : 'instance'

/** Patient and patient history; requested procedure; visit. */
const studyGroups = /^(0010|0032|0038)/

const studyTags: ReadonlySet<Tag> = new Set([
  tag.StudyDate,
  tag.StudyTime,
  tag.AccessionNumber,
  '00080051', // Issuer of Accession Number Sequence
  tag.InstanceAvailability,
  tag.ModalitiesInStudy,
  tag.SOPClassesInStudy,
  tag.AnatomicRegionsInStudyCodeSequence,
  tag.ReferringPhysicianName,
  '00080096', // Referring Physician Identification Sequence
  '0008009C', // Consulting Physician's Name
  tag.TimezoneOffsetFromUTC,
  tag.StudyDescription,
  '00081032', // Procedure Code Sequence
  '00081048', // Physician(s) of Record
  '00081060', // Name of Physician(s) Reading Study
  '00081080', // Admitting Diagnoses Description
  '00081084', // Admitting Diagnoses Code Sequence
  '00081110', // Referenced Study Sequence
  tag.StudyInstanceUID,
  tag.StudyID,
  tag.NumberOfStudyRelatedSeries,
  tag.NumberOfStudyRelatedInstances,
])

/** Of the General Series, General Equipment and Frame of Reference modules, and what is computed. */
const seriesTags: ReadonlySet<Tag> = new Set([
  tag.SeriesDate,
  tag.SeriesTime,
  tag.Modality,
  '00080070', // Manufacturer
  '00080080', // Institution Name
  '00081010', // Station Name
  '00081040', // Institutional Department Name
  tag.SeriesDescription,
  '0008103F', // Series Description Code Sequence
  '00081050', // Performing Physician's Name
  '00081070', // Operators' Name
  '00081090', // Manufacturer's Model Name
  tag.BodyPartExamined,
  '00181000', // Device Serial Number
  '00181020', // Software Versions
  '00181030', // Protocol Name
  '00185100', // Patient Position
  tag.SeriesInstanceUID,
  tag.SeriesNumber,
  '00200052', // Frame of Reference UID
  '00200060', // Laterality
  tag.NumberOfSeriesRelatedInstances,
  tag.PerformedProcedureStepStartDate,
  tag.PerformedProcedureStepStartTime,
  '00400250', // Performed Procedure Step End Date
  '00400251', // Performed Procedure Step End Time
  '00400253', // Performed Procedure Step ID
  '00400254', // Performed Procedure Step Description
  '00400260', // Performed Protocol Code Sequence
  tag.RequestAttributesSequence,
])

const instanceTags: ReadonlySet<Tag> = new Set(defaultReturned.instance)

/** Whether an instance's compact attributes answer for it, so that its whole metadata need not be read. */
export const isCompact = (key: Tag): boolean => instanceTags.has(key)

/** What one instance says of itself and of the levels above it, as the index keeps it. */
export function levelsOf(
  metadata: Dataset,
): Pick<NewInstance, 'attributes' | 'series' | 'study' | 'modality' | 'instanceNumber'> {
  return {
    attributes: picked(metadata, isCompact),
    series: picked(metadata, (key) => levelOf(key) === 'series'),
    study: picked(metadata, (key) => levelOf(key) === 'study'),
    modality: column(firstString(metadata, tag.Modality)) || undefined,
    instanceNumber: instanceNumber(metadata),
  }
}

/** Values of the size of a document stay in the instance: the rows of a worklist carry none. */
function picked(metadata: Dataset, wanted: (key: Tag) => boolean): Dataset {
  return Object.fromEntries(
    Object.entries(metadata).filter(([key, { BulkDataURI }]) => wanted(key) && BulkDataURI === undefined),
  )
}

const largestInteger = 2_147_483_647

function instanceNumber(metadata: Dataset): number {
  const number = firstNumber(metadata, tag.InstanceNumber)
  return number !== undefined && Number.isSafeInteger(number) && Math.abs(number) < largestInteger
    ? number
    : largestInteger
}

/**
 * The first instance of a study or series says what it is; later ones only fill what it left blank. Who the patient is
 * comes from one of them.
 */
export const rules: LevelRules = {
  merge: (known, incoming) => {
    const merged: MutableDataset = { ...mergePatient([known, incoming]) }
    for (const [key, attribute] of [...Object.entries(known), ...Object.entries(incoming)]) {
      if (isBlank(merged[key]) && !patientTags.has(key)) merged[key] = attribute
    }
    return merged
  },
  columns: (study) => ({
    studyDate: plainDate(firstString(study, tag.StudyDate)),
    patientID: column(firstString(study, tag.PatientID)),
    accessionNumber: column(firstString(study, tag.AccessionNumber)),
  }),
}

/** Characters of an indexed value: the standard allows 64 (PS3.5 6.2), an index refuses thousands. */
export const maxColumnLength = 128

/** A value as the index keeps it; PostgreSQL's texts hold no NUL. */
const column = (value: string | undefined): string =>
  (value ?? '').replaceAll('\0', '').trim().slice(0, maxColumnLength)

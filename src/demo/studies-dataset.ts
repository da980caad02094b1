import { createHash } from 'node:crypto'
import { LinkError } from '../core/errors.ts'
import type { Dataset, MutableDataset } from '../dicom/dataset.ts'
import { tagOf, vrOf } from '../dicom/dictionary.ts'
import { parseUid, type Uid } from '../dicom/uid.ts'

/** A UID that is always the same for a name: PS3.5 B.2, with a digest in place of the UUID. */
export function demoUid(name: string): Uid {
  const digest = createHash('sha256').update(`dicomweb-link demo ${name}`).digest('hex').slice(0, 32)
  return parseUid(`2.25.${BigInt(`0x${digest}`)}`, name)
}

export type AttributeValue = string | number | Dataset | readonly (string | number | Dataset)[]

/** A dataset of attributes by keyword, with the VR of the dictionary; an empty string is an attribute without value. */
export function attributes(values: Readonly<Record<string, AttributeValue>>): Dataset {
  const dataset: MutableDataset = {}
  for (const [keyword, value] of Object.entries(values)) {
    const tag = tagOf(keyword)
    if (tag === undefined) throw new LinkError('internal', `${keyword} is no attribute`)
    const vr = vrOf(tag)
    const list = Array.isArray(value) ? value : [value]
    const written = list.filter((item) => item !== '').map((item) => (vr === 'PN' ? personName(String(item)) : item))
    dataset[tag] = written.length === 0 ? { vr } : { vr, Value: written }
  }
  return dataset
}

/** Component groups as DICOM JSON has them, of the text of PS3.5 6.2.1. */
function personName(text: string): Readonly<Record<string, string>> {
  const [Alphabetic = '', Ideographic, Phonetic] = text.split('=')
  return { Alphabetic, ...(Ideographic && { Ideographic }), ...(Phonetic && { Phonetic }) }
}

/** An item of a code sequence, PS3.3 table 8.8-1. */
export const code = (value: string, scheme: string, meaning: string): Dataset =>
  attributes({ CodeValue: value, CodingSchemeDesignator: scheme, CodeMeaning: meaning })

export interface Patient {
  readonly PatientName: string
  readonly PatientID: string
  readonly PatientBirthDate: string
  readonly PatientSex: 'M' | 'F'
}

export interface Study {
  /** Tells its UIDs from those of the others. */
  readonly key: string
  readonly patient: Patient
  readonly StudyDate: string
  readonly StudyTime: string
  readonly StudyDescription: string
  readonly AccessionNumber: string
  readonly ReferringPhysicianName: string
}

export interface Series {
  readonly study: Study
  readonly number: number
  readonly modality: string
  readonly description: string
  readonly bodyPart: string
}

export const studyUid = (study: Study): Uid => demoUid(study.key)
export const seriesUid = ({ study, number }: Series): Uid => demoUid(`${study.key} series ${number}`)
export const instanceUid = ({ study, number }: Series, instance: number): Uid =>
  demoUid(`${study.key} series ${number} instance ${instance}`)

/** Patient, study, series and equipment of one instance. */
export function common(series: Series, sopClass: string, instance: number): Dataset {
  const { key, patient, ...study } = series.study
  return attributes({
    ...patient,
    IssuerOfPatientID: 'DEMO',
    ...study,
    StudyID: key.slice(0, 16),
    StudyInstanceUID: studyUid(series.study),
    SeriesInstanceUID: seriesUid(series),
    SOPInstanceUID: instanceUid(series, instance),
    SOPClassUID: sopClass,
    Modality: series.modality,
    SeriesNumber: series.number,
    SeriesDescription: series.description,
    SeriesDate: study.StudyDate,
    SeriesTime: study.StudyTime,
    ContentDate: study.StudyDate,
    ContentTime: study.StudyTime,
    InstanceNumber: instance,
    BodyPartExamined: series.bodyPart,
    Manufacturer: 'DICOMweb Link',
    ManufacturerModelName: 'Generated for demonstration',
    InstitutionName: 'Demonstration Hospital',
    TimezoneOffsetFromUTC: '+0000',
  })
}

/** The Image Pixel module, PS3.3 C.7.6.3. */
export interface PixelLayout {
  readonly rows: number
  readonly columns: number
  readonly bits: 8 | 16
  readonly photometric: 'MONOCHROME2' | 'RGB'
  readonly signed?: boolean
}

export const imagePixel = ({ rows, columns, bits, photometric, signed = false }: PixelLayout): Dataset =>
  attributes({
    SamplesPerPixel: photometric === 'RGB' ? 3 : 1,
    PhotometricInterpretation: photometric,
    ...(photometric === 'RGB' && { PlanarConfiguration: 0 }),
    Rows: rows,
    Columns: columns,
    BitsAllocated: bits,
    BitsStored: bits,
    HighBit: bits - 1,
    PixelRepresentation: signed ? 1 : 0,
  })

export const bytesOfFrame = ({ rows, columns, bits, photometric }: PixelLayout): number =>
  (rows * columns * bits * (photometric === 'RGB' ? 3 : 1)) / 8

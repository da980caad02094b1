import { type Attribute, type Dataset, firstString, type MutableDataset, type Tag } from './dataset.ts'
import { tag } from './tags.ts'

/** What says who somebody is. It belongs together: a name from here and a birth date from there are nobody. */
export const patientTags: ReadonlySet<Tag> = new Set<Tag>([
  tag.PatientID,
  tag.IssuerOfPatientID,
  tag.IssuerOfPatientIDQualifiersSequence,
  tag.PatientName,
  tag.PatientBirthDate,
  tag.PatientBirthTime,
  tag.PatientSex,
  '00100022', // Type of Patient ID
  '00101000', // Other Patient IDs
  '00101001', // Other Patient Names
  '00101002', // Other Patient IDs Sequence
])

/**
 * Who the patient is, of copies that may disagree, the most believed first: all of it from the first copy that has a
 * patient ID. What it leaves blank is filled only from copies of the same ID whose issuer does not contradict: one ID
 * of two issuers is two patients.
 */
export function mergePatient(copies: readonly Dataset[]): Dataset {
  const base = copies.find((copy) => firstString(copy, tag.PatientID) !== undefined) ?? copies[0] ?? {}
  const merged: MutableDataset = {}
  for (const copy of [base, ...copies.filter((copy) => copy !== base && isSamePatient(base, copy))]) {
    for (const key of patientTags) {
      const attribute = copy[key]
      if (attribute && isBlank(merged[key])) merged[key] = attribute
    }
  }
  return merged
}

function isSamePatient(a: Dataset, b: Dataset): boolean {
  const id = firstString(a, tag.PatientID)
  if (id === undefined || id !== firstString(b, tag.PatientID)) return false
  const [issuer, other] = [firstString(a, tag.IssuerOfPatientID), firstString(b, tag.IssuerOfPatientID)]
  return issuer === undefined || other === undefined || issuer === other
}

/** Whether an attribute says nothing. */
export const isBlank = (attribute: Attribute | undefined): boolean =>
  attribute === undefined ||
  (attribute.BulkDataURI === undefined && attribute.InlineBinary === undefined && !attribute.Value?.some(isSomething))

const isSomething = (value: unknown) => value !== null && value !== undefined && value !== ''

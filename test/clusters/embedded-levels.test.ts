import { describe, expect, it } from 'vitest'
import { rules } from '../../src/clusters/embedded/levels.ts'
import { tag } from '../../src/dicom/tags.ts'

const value = (...values: unknown[]) => ({ vr: 'LO', Value: values })

describe('what the instances of a study say of it', () => {
  it('who the patient is comes from one of them, even when others know more of somebody else', () => {
    const known = { [tag.PatientID]: value('77'), [tag.PatientBirthDate]: { vr: 'DA' } }
    const other = {
      [tag.PatientID]: value('88'),
      [tag.IssuerOfPatientID]: value('SOUTH'),
      [tag.PatientBirthDate]: value('19500101'),
    }
    expect(rules.merge(known, other)).toEqual(known)
    expect(rules.columns(rules.merge(known, other))).toMatchObject({ patientID: '77' })
  })

  it('what the first one left blank is filled by a later one of the same patient', () => {
    const known = { [tag.PatientID]: value('77'), [tag.PatientName]: { vr: 'PN' }, [tag.StudyID]: { vr: 'SH' } }
    const later = {
      [tag.PatientID]: value('77'),
      [tag.PatientName]: value('A'),
      [tag.StudyID]: value('9'),
      [tag.StudyDate]: value('20240101'),
    }
    expect(rules.merge(known, later)).toEqual(later)
    expect(rules.merge(later, { ...known, [tag.StudyID]: value('8') })).toEqual(later)
  })
})

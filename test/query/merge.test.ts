import { describe, expect, it } from 'vitest'
import { type Dataset, firstNumber, firstString, strings } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import { type ClusterRows, mergeRows } from '../support/merge.ts'

const row = (attributes: Record<string, unknown[]>): Dataset =>
  Object.fromEntries(
    Object.entries({ [tag.StudyInstanceUID]: ['1.2'], ...attributes }).map(([key, Value]) => [
      key,
      { vr: 'LO', Value },
    ]),
  )

const answer = (cluster: string, rank: number, attributes: Record<string, unknown[]>): ClusterRows => ({
  cluster,
  rank,
  rows: [row(attributes)],
})

function mergeBoth(a: ClusterRows, b: ClusterRows): Dataset {
  const [forward, backward] = [mergeRows('study', [a, b]), mergeRows('study', [b, a])]
  expect(forward).toEqual(backward)
  return forward.get('1.2')?.dataset ?? {}
}

describe('merging the copies of a study', () => {
  it('makes one row, the same whichever cluster answers first', () => {
    const merged = mergeBoth(
      answer('home', 0, { [tag.ModalitiesInStudy]: ['CT'], [tag.NumberOfStudyRelatedInstances]: [3] }),
      answer('south', 1, { [tag.ModalitiesInStudy]: ['MR', 'CT'], [tag.NumberOfStudyRelatedInstances]: ['5'] }),
    )
    expect(strings(merged, tag.ModalitiesInStudy)).toEqual(['CT', 'MR'])
    expect(firstNumber(merged, tag.NumberOfStudyRelatedInstances)).toBe(5)
  })

  it('believes home about who the patient is and fills only what home leaves blank', () => {
    const merged = mergeBoth(
      answer('home', 0, { [tag.PatientID]: ['H1'], [tag.PatientName]: [{ Alphabetic: 'Home' }], [tag.StudyID]: [''] }),
      answer('south', 1, {
        [tag.PatientID]: ['S9'],
        [tag.PatientName]: [{ Alphabetic: 'South' }],
        [tag.StudyID]: ['7'],
      }),
    )
    expect(firstString(merged, tag.PatientID)).toBe('H1')
    expect(firstString(merged, tag.PatientName)).toBe('Home')
    expect(firstString(merged, tag.StudyID)).toBe('7')
  })

  it('never joins an issuer to the patient ID of another copy', () => {
    const issuer = { [tag.IssuerOfPatientID]: ['SOUTH'] }
    const other = mergeBoth(
      answer('home', 0, { [tag.PatientID]: ['1'] }),
      answer('s', 1, { [tag.PatientID]: ['2'], ...issuer }),
    )
    const same = mergeBoth(
      answer('home', 0, { [tag.PatientID]: ['1'] }),
      answer('s', 1, { [tag.PatientID]: ['1'], ...issuer }),
    )
    const only = mergeBoth(answer('home', 0, {}), answer('s', 1, { [tag.PatientID]: ['2'], ...issuer }))
    expect([other, same, only].map((it) => firstString(it, tag.IssuerOfPatientID))).toEqual([
      undefined,
      'SOUTH',
      'SOUTH',
    ])
  })

  it('never makes one patient of two: what the believed copy leaves blank stays blank', () => {
    const bob = {
      [tag.PatientID]: ['Y2'],
      [tag.PatientName]: [{ Alphabetic: 'Bob' }],
      [tag.PatientBirthDate]: ['1950'],
    }
    const merged = mergeBoth(answer('home', 0, { [tag.PatientID]: ['X1'] }), answer('south', 1, bob))
    expect([tag.PatientID, tag.PatientName, tag.PatientBirthDate].map((key) => firstString(merged, key))).toEqual([
      'X1',
      undefined,
      undefined,
    ])
    const nobody = { [tag.IssuerOfPatientID]: ['NORTH'], [tag.PatientName]: [{ Alphabetic: 'Nobody' }] }
    const named = mergeBoth(answer('home', 0, nobody), answer('south', 1, bob))
    expect([tag.PatientID, tag.IssuerOfPatientID, tag.PatientName].map((key) => firstString(named, key))).toEqual([
      'Y2',
      undefined,
      'Bob',
    ])
  })

  it('takes the best availability and the latest update', () => {
    const merged = mergeBoth(
      answer('home', 0, { [tag.InstanceAvailability]: ['OFFLINE'], [tag.StudyUpdateDateTime]: ['20240101120000'] }),
      answer('south', 1, { [tag.InstanceAvailability]: ['NEARLINE'], [tag.StudyUpdateDateTime]: ['20250101120000'] }),
    )
    expect(firstString(merged, tag.InstanceAvailability)).toBe('NEARLINE')
    expect(firstString(merged, tag.StudyUpdateDateTime)).toBe('20250101120000')
  })

  it('keeps one row when a cluster lists a study twice, and none without a UID', () => {
    const twice: ClusterRows = { cluster: 'home', rank: 0, rows: [row({}), row({}), { [tag.PatientID]: { vr: 'LO' } }] }
    expect(mergeRows('study', [twice]).size).toBe(1)
  })
})

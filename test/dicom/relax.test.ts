import { describe, expect, test } from 'vitest'
import { relaxedValue } from '../../src/dicom/relax.ts'
import { pathOf } from './datasets.ts'

describe('a key for archives that mishandle encodings', () => {
  test.each([
    ['PatientName', '*FED*', '*FED*'],
    ['PatientName', 'DOE^JOHN', '*DOE*JOHN*'],
    ['PatientName', '*FEDERATE, ALICE*', '*FEDERATE*ALICE*'],
    ['PatientName', '*Müller*', '*M*ller*'],
    ['PatientName', '山田^太郎', '*'],
    ['PatientName', '', ''],
    ['StudyDescription', 'CT CHEST', 'CT*CHEST'],
    ['StudyDescription', 'a&b=c+d#e%20', 'a*b*c*d*e*20'],
    ['StudyDescription', 'A?', 'A*'],
    ['StudyDescription', '', ''],
    ['AccessionNumber', 'A-1.2_3', 'A-1.2_3'],
    ['ModalitiesInStudy', 'CT,MR', 'CT,MR'],
    ['ModalitiesInStudy', 'CT\\MR', 'CT,MR'],
    ['BodyPartExamined', 'LOWER LEG', 'LOWER*LEG'],
    ['StudyDate', '20220101-20221231', '20220101-20221231'],
    ['StudyInstanceUID', '1.2,1.3', '1.2,1.3'],
    ['SeriesNumber', '01', ''],
    ['PatientAge', '045Y', ''],
    ['0040A13A', '20240101', '20240101'],
    ['0040A13A', '20240101-20240201', '20240101-20240201'],
    ['0040A13A', '20240101+0100', ''],
    ['0040A13A', '20240101-0500-', ''],
    ['0040A13A', '20240101-20240201-0500', ''],
    ['00091001', 'a-b', 'a-b'],
    ['00091001', 'ü', ''],
  ])('%s=%s becomes %s', (keyword, value, expected) => {
    expect(relaxedValue({ path: pathOf(keyword), value })).toBe(expected)
  })

  test.each([
    ['muller', '*m*'],
    ['Müller, Peter', '*M*'],
    ['Maria Boff', '*B*ff*'],
    ['B\u0307ob', '*b*'],
    ['山田', '*'],
    ['X1 Y2', '*X1*'],
  ])('%s, fuzzy, becomes %s', (value, expected) => {
    expect(relaxedValue({ path: pathOf('PatientName'), value, fuzzy: true })).toBe(expected)
  })

  test('what matches nothing, or in another time zone, is not asked for', () => {
    expect(relaxedValue({ path: pathOf('PatientID'), value: '""', empty: true })).toBe('')
    expect(relaxedValue({ path: pathOf('0040A13A'), value: '2024', timezone: '+0100' })).toBe('')
  })
})

import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseQuery, type Query } from '../../src/dicom/query.ts'

const nothing: Query = { constraints: [], includeFields: [], limit: undefined, offset: 0, fuzzyMatching: false }

/** The constraints of a query in one line each. */
const keys = (search: string): string[] =>
  parseQuery('study', search).constraints.map(({ path, value }) => `${path.join('.')}=${value}`)

describe('the query part of a QIDO-RS URL', () => {
  test('without anything asks for everything', () => {
    expect(parseQuery('study', '')).toEqual(nothing)
    expect(parseQuery('study', '&&')).toEqual(nothing)
  })

  test('the worklist of OHIF is understood', () => {
    expect(
      parseQuery(
        'study',
        'limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030',
      ),
    ).toEqual({
      constraints: [],
      includeFields: ['00081030', '00080060', '00080090', '00100030'],
      limit: 101,
      offset: 0,
      fuzzyMatching: true,
    })
  })

  test.each([
    ['PatientName=*FED*', ['00100010=*FED*']],
    ['PatientName=*FEDERATE%2C%20ALICE*', ['00100010=*FEDERATE, ALICE*']],
    ['PatientName=*M%C3%BCller*', ['00100010=*Müller*']],
    ['00100020=*4711*', ['00100020=*4711*']],
    ['StudyDescription=*CT%20CHEST*', ['00081030=*CT CHEST*']],
    ['StudyDescription=*CT+CHEST*', ['00081030=*CT CHEST*']],
    ['StudyDescription=A%2BB', ['00081030=A+B']],
    ['StudyDescription=a=b', ['00081030=a=b']],
    ['ModalitiesInStudy=CT%2CMR', ['00080061=CT,MR']],
    ['StudyDate=20220101-20241231', ['00080020=20220101-20241231']],
    ['StudyDate=20220101-&StudyTime=-1015', ['00080020=20220101-', '00080030=-1015']],
    ['StudyInstanceUID=1.2,1.3', ['0020000D=1.2,1.3']],
    ['StudyInstanceUID=1.2%5C1.3', ['0020000D=1.2\\1.3']],
    ['AccessionNumber=', ['00080050=']],
    ['AccessionNumber', ['00080050=']],
    ['0020000d=1.2', ['0020000D=1.2']],
    ['00400275.00400009=X', ['00400275.00400009=X']],
    ['RequestAttributesSequence.ScheduledProcedureStepID=X', ['00400275.00400009=X']],
    ['00771001=APPROVED', ['00771001=APPROVED']],
    ['StudyVerifiedDate=20220101', ['00320032=20220101']],
    ['NumberOfStudyRelatedInstances=7', ['00201208=7']],
    ['0040A13A=20220101101500+0100-20220102', ['0040A13A=20220101101500+0100-20220102']],
    ['0040A13A=20220101101500%2B0100', ['0040A13A=20220101101500+0100']],
  ])('%s', (search, expected) => {
    expect(keys(search)).toEqual(expected)
  })

  test('what is no attribute and no known parameter is ignored', () => {
    expect(parseQuery('study', 'accept=application/dicom%2Bjson&partial=abort&link.specialty=NEURO&foo=1&_=7')).toEqual(
      nothing,
    )
  })

  test.each([
    ['includefield=all', 'all'],
    ['includefield=00081030&includefield=all', 'all'],
    ['includefield=StudyDescription&includefield=00080060,0020000d', ['00081030', '00080060', '0020000D']],
    ['includefield=00081030,StudyDescription', ['00081030']],
    ['includefield=link,nonsense,', []],
    ['includefield=00400275.00400009', ['00400275']],
  ])('%s', (search, expected) => {
    expect(parseQuery('study', search).includeFields).toEqual(expected)
  })

  test('keys that rows of a level have no one value for are left out and named', () => {
    const search = 'Modality=CT&SOPInstanceUID=1.2&InstanceAvailability=ONLINE'
    expect(parseQuery('study', search)).toEqual({
      ...nothing,
      ignored: ['Modality', 'SOPInstanceUID', 'InstanceAvailability'],
    })
    expect(parseQuery('series', search).ignored).toEqual(['SOPInstanceUID', 'InstanceAvailability'])
    expect(parseQuery('instance', search).constraints).toHaveLength(2)
  })

  test('a thousand UIDs fit into one key', () => {
    const uids = Array.from({ length: 1_000 }, (_, at) => `1.2.${at}`)
    expect(keys(`StudyInstanceUID=${uids.join(',')}`)).toHaveLength(1)
    expect(() => keys(`StudyInstanceUID=${[...uids, '1.3'].join(',')}`)).toThrow('at most 1000')
  })
})

describe('a query part that is refused', () => {
  test.each([
    ['limit=-1', 'limit: "-1"'],
    ['limit=ten', 'expected 0 or a positive whole number'],
    ['limit=', 'limit: ""'],
    ['limit=1&limit=2', 'limit: given twice'],
    ['offset=1.5', 'offset: "1.5"'],
    ['fuzzymatching=maybe', 'expected true or false'],
    ['PatientName=A&PatientName=B', 'PatientName: given twice'],
    ['PatientName=A&00100010=B', '00100010: given twice'],
    ['PatientID=%', 'percent-encoding'],
    ['PatientName=M%FCller', 'percent-encoding'],
    ['%zz=1', 'percent-encoding'],
    ['StudyInstanceUID=1.2*', 'StudyInstanceUID: "1.2*" is not valid; expected UIDs'],
    ['StudyInstanceUID=*', 'expected UIDs'],
    ['StudyInstanceUID=1.2,abc', 'expected UIDs'],
    ['StudyDate=2022*', 'expected a date YYYYMMDD'],
    ['StudyDate=20220230', 'expected a date'],
    ['StudyDate=-', 'expected a date'],
    ['StudyDate=2022-01-01', 'expected a date'],
    ['StudyTime=2500', 'expected a time'],
    ['StudyTime=10:15', 'expected a time'],
    ['0040A13A=2022-13', 'expected a date and time'],
    ['NumberOfStudyRelatedInstances=many', 'expected a number'],
    ['RequestAttributesSequence=x', 'matched by its attributes'],
    ['PixelData=x', 'cannot be matched'],
    ['PatientName.PatientID=x', 'PatientName is no sequence'],
    ['StudyDescription=a%00b', 'control characters'],
    [`StudyDescription=${'x'.repeat(2_000)}`, 'longer than 1024 characters'],
    [`${Array.from({ length: 101 }, (_, at) => `0009${1000 + at}=1`).join('&')}`, 'more than 100 matching keys'],
    ['a&'.repeat(2_000), 'more than 1000 parameters'],
    ['x'.repeat(200_000), 'longer than'],
    [`includefield=${'00080020,'.repeat(1_100)}`, 'more than 1000 attributes'],
    [`${'00081140.'.repeat(9)}00080020=`, 'deeper than 8 levels'],
  ])('%.60s', (search, text) => {
    const parsing = () => parseQuery('study', search)
    expect(parsing).toThrow(LinkError)
    expect(parsing).toThrow(text)
    expect(parsing).toThrow(expect.objectContaining({ code: 'bad-request' }))
  })

  test('the text does not repeat values about patients', () => {
    expect(() => parseQuery('study', 'PatientBirthDate=1970-01-02')).toThrow('PatientBirthDate: the value is not valid')
  })
})

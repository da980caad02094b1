import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseQuery } from '../../src/dicom/query.ts'

const creator = '00770010=DICOMWEB%20LINK%201.0'

describe('a query part that is refused', () => {
  test.each([
    ['limit=-1', 'limit: "-1"'],
    ['limit=ten', 'expected 0 or a positive whole number'],
    ['limit=', 'limit: ""'],
    ['limit=1&limit=2', 'limit: given twice'],
    ['offset=1.5', 'offset: "1.5"'],
    ['fuzzymatching=maybe', 'fuzzymatching: "maybe" is not valid; expected true or false'],
    ['emptyvaluematching=1', 'emptyvaluematching: "1"'],
    ['multiplevaluematching=', 'multiplevaluematching: ""'],
    ['fuzzymatching=true&fuzzymatching=true', 'fuzzymatching: given twice'],
    ['partial=yes', 'partial: "yes" is not valid; expected abort or warn'],
    ['includefield=nonsense', 'includefield: "nonsense" is no attribute'],
    ['includefield=link.nonsense', 'includefield: "link.nonsense" is no link attribute'],
    ['includefield=0008003', 'includefield: "0008003" is no attribute'],
    ['includefield=00771007', 'includefield: "00771007" is a private attribute without its creator'],
    ['includefield=all,nonsense', 'includefield: "nonsense"'],
    ['link.status=NEW', 'link.status: is no link attribute; known are link.reportStatus, link.location'],
    ['link.=NEW', 'link.: is no link attribute'],
    [
      'link.reportStatus=READY',
      'link.reportStatus: "READY" is not valid; expected NEW, DICTATED, TRANSCRIBED, APPROVED',
    ],
    ['link.reportStatus=NEW,new', 'link.reportStatus: "new" is not valid'],
    ['link.location=HERE', 'link.location: "HERE" is not valid; expected CACHE, NONCACHE'],
    ['link.verified=YES', 'link.verified: "YES" is not valid; expected VERIFIED, UNVERIFIED, FAILED'],
    ['link.residence=GUEST', 'link.residence: "GUEST" is not valid; expected RESIDENT, VISITOR'],
    ['link.verifiedAt=soon', 'link.verifiedAt: "soon" is not valid; expected a date and time'],
    [`${creator}&00771001=READY`, '00771001: "READY" is not valid'],
    [`link.reportStatus=NEW&${creator}&00771001=NEW`, '00771001: given twice'],
    ['00771001=NEW', '00771001: is a private attribute without its creator; add 00770010=DICOMWEB LINK 1.0'],
    ['00770010=&00771001=NEW', '00771001: is a private attribute without its creator'],
    [`${creator}&00771101=NEW`, '00771101: is a private attribute without its creator; add 00770011=DICOMWEB LINK'],
    ['00091001=x', '00091001: is a private attribute without its creator; add 00090010='],
    ['00090100=x', '00090100: is no attribute; private ones are'],
    [`${creator}&007710FE=x`, '007710FE: is no attribute of the private block DICOMWEB LINK 1.0'],
    [`${creator}&00771011=south`, '00771011: belongs to the items of 00771010'],
    [`${creator}&00771010.00771001=NEW`, '00771010.00771001: is no attribute of the items of 00771010'],
    [`${creator}&00771001.00771001=NEW`, '00771001.00771001: is no sequence'],
    [`${creator}&00771010=x`, '00771010: "x" is not valid; expected no value; a sequence is matched by'],
    ['0020000=1.2', '0020000: is no attribute'],
    ['002000000=1.2', '002000000: is no attribute'],
    ['(0020,000D)=1.2', '(0020,000D): is no attribute'],
    ['00100010.=x', '00100010.: is no attribute'],
    ['StudyDate.=x', 'StudyDate.: is no attribute'],
    ['00400275.foo=x', '00400275.foo: is no attribute'],
    ['0040027.00400009=x', '0040027.00400009: is no attribute'],
    [
      'TimezoneOffsetFromUTC=CET',
      'TimezoneOffsetFromUTC: "CET" is not valid; expected an offset from UTC such as +0100',
    ],
    ['00080201=+2500', '00080201: "+2500" is not valid'],
    ['00080201=+0100&TimezoneOffsetFromUTC=+0100', 'TimezoneOffsetFromUTC: given twice'],
    ['PatientName=A&PatientName=B', 'PatientName: given twice'],
    ['PatientName=A&00100010=B', '00100010: given twice'],
    ['PatientID=%', 'PatientID: its percent-encoding is broken'],
    ['PatientName=M%FCller', 'percent-encoding'],
    ['%zz=1', '%zz: its percent-encoding is broken'],
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
    [`${Array.from({ length: 101 }, (_, at) => `0020${1000 + at}=1`).join('&')}`, 'more than 100 matching keys'],
    ['a&'.repeat(2_000), 'more than 1000 parameters'],
    ['x'.repeat(200_000), 'longer than'],
    [`includefield=${'00080020,'.repeat(1_100)}`, 'more than 1000 attributes'],
    [`${'00081140.'.repeat(9)}00080020=`, '…: leads deeper than 8 levels'],
  ])('%.60s', (search, text) => {
    const parsing = () => parseQuery('study', search)
    expect(parsing).toThrow(LinkError)
    expect(parsing).toThrow(text)
    expect(parsing).toThrow(expect.objectContaining({ code: 'bad-request' }))
  })

  test('the text begins with the name that the client wrote, cut to what can be read', () => {
    const wrong = ['limit=-1', 'StudyDate=x', 'PatientID=%', 'link.x=1', '00771001=1', '0020000=1', 'partial=x']
    for (const search of wrong)
      expect(() => parseQuery('study', search)).toThrow(new RegExp(`^${search.split('=')[0]}: `))
    const long = `00081140.${'x'.repeat(1_000)}`
    expect(() => parseQuery('study', `${long}=1`)).toThrow(`${long.slice(0, 80)}…: is no attribute`)
  })

  test('the text does not repeat values about patients', () => {
    expect(() => parseQuery('study', 'PatientBirthDate=1970-01-02')).toThrow('PatientBirthDate: the value is not valid')
  })
})

import { describe, expect, test } from 'vitest'
import { type Constraint, parseQuery, type Query } from '../../src/dicom/query.ts'

const nothing: Query = {
  constraints: [],
  linkConstraints: [],
  includeFields: [],
  limit: undefined,
  offset: 0,
  fuzzyMatching: false,
  multipleValueMatching: false,
}

/** The constraints of a query in one line each. */
const keys = (search: string): string[] => parseQuery('study', search).constraints.map(written)

const linkKeys = (search: string): string[] => parseQuery('study', search).linkConstraints.map(written)

const written = ({ path, value }: Constraint): string => `${path.join('.')}=${value}`

const creator = '00770010=DICOMWEB%20LINK%201.0'

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
      ...nothing,
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
    ['StudyPriorityID=HIGH', ['0032000C=HIGH']],
    ['00100010=""', ['00100010=""']],
    ['NumberOfStudyRelatedInstances=7', ['00201208=7']],
    ['0040A13A=20220101101500+0100-20220102', ['0040A13A=20220101101500+0100-20220102']],
    ['0040A13A=20220101101500%2B0100', ['0040A13A=20220101101500+0100']],
  ])('%s', (search, expected) => {
    expect(keys(search)).toEqual(expected)
  })

  test('what is no attribute and no known parameter is ignored', () => {
    const search = 'accept=application/dicom%2Bjson&foo=1&_=7&patientname=x&foo.bar=1&1700000000000&includefield='
    expect(parseQuery('study', search)).toEqual(nothing)
  })

  test.each([
    ['includefield=all', 'all'],
    ['includefield=00081030&includefield=all', 'all'],
    ['includefield=StudyDescription&includefield=00080060,0020000d', ['00081030', '00080060', '0020000D']],
    ['includefield=00081030,StudyDescription', ['00081030']],
    ['includefield=00100010,', ['00100010']],
    ['includefield=link.comments&includefield=link.sources', ['00771007', '00771010']],
    ['includefield=link.cluster', ['00771010']],
    ['includefield=link,all', 'all'],
    [`${creator}&includefield=00771007`, ['00771007']],
    ['00770042=DICOMWEB+LINK+1.0&includefield=00774207', ['00771007']],
    ['00090010=ACME&includefield=00091001', ['00091001', '00090010']],
    ['includefield=00400275.00400009', ['00400275']],
  ])('%s', (search, expected) => {
    expect(parseQuery('study', search).includeFields).toEqual(expected)
  })

  test('includefield=link is every link attribute of a study', () => {
    const { includeFields } = parseQuery('study', 'includefield=link')
    expect(includeFields).toEqual([
      ...['00771001', '00771002', '00771003', '00771004', '00771005', '00771006', '00771007', '00771010', '00771013'],
      ...['00771015', '00771016', '00771017'],
    ])
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

  test('partial says what to do without a cluster, and several values of a key are asked about', () => {
    expect(parseQuery('study', 'partial=abort')).toEqual({ ...nothing, partial: 'abort' })
    expect(parseQuery('study', 'partial=warn').partial).toBe('warn')
    expect(parseQuery('study', 'multiplevaluematching=true').multipleValueMatching).toBe(true)
  })

  test('a thousand UIDs fit into one key', () => {
    const uids = Array.from({ length: 1_000 }, (_, at) => `1.2.${at}`)
    expect(keys(`StudyInstanceUID=${uids.join(',')}`)).toHaveLength(1)
    expect(() => keys(`StudyInstanceUID=${[...uids, '1.3'].join(',')}`)).toThrow('at most 1000')
  })
})

describe('keys about link attributes', () => {
  test.each([
    ['link.reportStatus=APPROVED', ['00771001=APPROVED']],
    ['link.reportStatus=NEW,DICTATED', ['00771001=NEW,DICTATED']],
    ['link.reportStatus=*ED', ['00771001=*ED']],
    ['link.location=CACHE', ['00771002=CACHE']],
    ['link.specialty=NEURO', ['00771003=NEURO']],
    ['link.bodyPart=HEAD', ['00771004=HEAD']],
    ['link.verified=UNVERIFIED', ['00771005=UNVERIFIED']],
    ['link.verifiedAt=20240101-', ['00771006=20240101-']],
    ['link.comments=*stroke*', ['00771007=*stroke*']],
    ['link.gpi=G1', ['00771015=G1']],
    ['link.home=north', ['00771013=north']],
    ['link.residence=VISITOR', ['00771016=VISITOR']],
    ['link.cluster=south', ['00771010.00771011=south']],
    ['link.comments=', ['00771007=']],
    ['InterpretationStatusID=APPROVED', ['40080212=APPROVED']],
    ['StudyVerifiedDate=20220101-&00320033=1000-', ['00320032=20220101-', '00320033=1000-']],
    ['StudyComments=*stroke*', ['00324000=*stroke*']],
    ['StudyStatusID=READ', ['0032000A=READ']],
    [`${creator}&00771001=APPROVED`, ['00771001=APPROVED']],
    [`00771001=APPROVED&${creator}`, ['00771001=APPROVED']],
    ['00770011=DICOMWEB+LINK+1.0&00771101=APPROVED', ['00771001=APPROVED']],
    ['007700ff=DICOMWEB+LINK+1.0&0077ff01=APPROVED', ['00771001=APPROVED']],
    [`${creator}&00771010.00771011=south`, ['00771010.00771011=south']],
    ['00770011=DICOMWEB+LINK+1.0&00771110.00771112=HOME', ['00771010.00771012=HOME']],
    [`${creator}&00771010.00770020=DICOMWEB+LINK+1.0&00771010.00772011=south`, ['00771010.00771011=south']],
    [`${creator}&00771010.InstanceAvailability=ONLINE`, ['00771010.00080056=ONLINE']],
    [creator, []],
  ])('%s are apart, as tags of block 10, and their creator is no key', (search, expected) => {
    expect(linkKeys(search)).toEqual(expected)
    expect(keys(search)).toEqual([])
  })

  test('rows below studies cannot be matched by them', () => {
    const search = `link.cluster=south&StudyComments=x&${creator}&00771001=nonsense`
    for (const level of ['series', 'instance'] as const) {
      expect(parseQuery(level, search)).toEqual({ ...nothing, ignored: ['link.cluster', 'StudyComments', '00771001'] })
    }
    expect(parseQuery('study', `${creator}&00771017=x`)).toEqual({ ...nothing, ignored: ['00771017'] })
  })
})

describe('other private attributes', () => {
  test.each([
    ['00090010=ACME&00091001=x', ['00090010=ACME', '00091001=x']],
    ['00090011=ACME&00091101=x', ['00090011=ACME', '00091101=x']],
    ['00090010=ACME', ['00090010=ACME']],
    ['00090010=ACME&00400275.00091001=x', ['00090010=ACME', '00400275.00091001=x']],
    ['00400275.00090010=ACME&00400275.00091001=x', ['00400275.00090010=ACME', '00400275.00091001=x']],
    ['00770010=ACME&00771001=x', ['00770010=ACME', '00771001=x']],
    ['00090010=DICOMWEB+LINK+1.0&00091001=x', ['00090010=DICOMWEB LINK 1.0', '00091001=x']],
    ['00090010=ACME&includefield=00091001', []],
  ])('%s stay as they are, with their creator', (search, expected) => {
    expect(keys(search)).toEqual(expected)
    expect(linkKeys(search)).toEqual([])
  })
})

describe('how keys are to be matched', () => {
  const of = (search: string) => parseQuery('study', search).constraints

  test('fuzzy are names without wildcards', () => {
    const search = 'PatientName=muller&ReferringPhysicianName=*A*&00081050=^&00081030=a&00081070=&fuzzymatching=true'
    expect(of(search).map(({ fuzzy }) => fuzzy ?? false)).toEqual([true, false, false, false, false])
    expect(of('PatientName=muller')).toEqual([{ path: ['00100010'], value: 'muller' }])
  })

  test('two quotation marks are a value that is not there, when the client says so', () => {
    const search = 'StudyDate=%22%22&RequestAttributesSequence=""&link.verified=""'
    const { constraints, linkConstraints } = parseQuery('study', `${search}&emptyvaluematching=true`)
    expect(constraints).toEqual([
      { path: ['00080020'], value: '""', empty: true },
      { path: ['00400275'], value: '""', empty: true },
    ])
    expect(linkConstraints).toEqual([{ path: ['00771005'], value: '""', empty: true }])
    expect(() => parseQuery('study', search)).toThrow('StudyDate: ')
  })

  test.each(['00080201=+0100', '00080201=%2B0100', 'TimezoneOffsetFromUTC=+0100'])(
    '%s is the zone of dates and times',
    (zone) => {
      const search = `StudyDate=20240101&StudyTime=&0040A13A=2024&PatientID=A&${zone}`
      expect(parseQuery('study', search)).toEqual({
        ...nothing,
        constraints: [
          { path: ['00080020'], value: '20240101', timezone: '+0100' },
          { path: ['00080030'], value: '' },
          { path: ['0040A13A'], value: '2024', timezone: '+0100' },
          { path: ['00100020'], value: 'A' },
        ],
        includeFields: ['00080201'],
      })
    },
  )

  test('a zone without a value is none', () => {
    expect(parseQuery('study', '00080201=&StudyDate=20240101').constraints).toEqual([
      { path: ['00080020'], value: '20240101' },
    ])
  })
})

import { describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { compileConstraint, compileConstraints, matchConstraint, matchesAll } from '../../src/dicom/match.ts'
import { parseQuery } from '../../src/dicom/query.ts'
import { dataset, pathOf } from './datasets.ts'

/** The verdict on a value of one attribute. */
const verdict = (keyword: string, key: string, value: unknown): string =>
  matchConstraint(dataset({ [keyword]: value }), compileConstraint({ path: pathOf(keyword), value: key }))

const all = (search: string, values: Readonly<Record<string, unknown>>): string[] =>
  compileConstraints(parseQuery('study', search).constraints).map((one) => matchConstraint(dataset(values), one))

describe('a key meets a value', () => {
  test.each([
    // text: case-sensitive, wildcards, blanks around it without meaning
    ['StudyDescription', 'CT CHEST', 'CT CHEST'],
    ['StudyDescription', 'CT CHEST', ' CT CHEST '],
    ['StudyDescription', '*CHEST*', 'CT CHEST LOW DOSE'],
    ['StudyDescription', 'CT ?????', 'CT CHEST'],
    ['StudyDescription', '*', 'anything'],
    ['StudyDescription', 'a.b[c]', 'a.b[c]'],
    ['StudyDescription', '?', '𝄞'],
    ['PatientID', '*47*1', '004711'],
    ['AccessionNumber', 'A,1', 'A,1'],
    // codes: lists
    ['ModalitiesInStudy', 'CT,MR', ['MR', 'SR']],
    ['ModalitiesInStudy', 'CT\\MR', ['CT']],
    ['ModalitiesInStudy', 'C?,MR', ['CT']],
    // names
    ['PatientName', 'doe^john', { Alphabetic: 'DOE^John' }],
    ['PatientName', 'DOE^JOHN', { Alphabetic: 'DOE^JOHN^^^' }],
    ['PatientName', 'DOE^JOHN^^', { Alphabetic: 'DOE^JOHN' }],
    ['PatientName', 'DOE^*', { Alphabetic: 'DOE' }],
    ['PatientName', '*^JOHN^*', { Alphabetic: 'DOE^JOHN' }],
    ['PatientName', '*oh*', { Alphabetic: 'DOE^JOHN' }],
    ['PatientName', 'MÜLLER*', { Alphabetic: 'Mu\u0308ller^Jörg' }],
    ['PatientName', '山田^太郎', { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }],
    ['PatientName', 'やまだ*', { Alphabetic: 'Yamada^Tarou', Phonetic: 'やまだ^たろう' }],
    ['PatientName', 'yamada*=山田*', { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }],
    ['PatientName', '=山田*', { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }],
    ['PatientName', 'DOE^JOHN', 'DOE^JOHN'],
    // UIDs
    ['StudyInstanceUID', '1.2.3', '1.2.3'],
    ['StudyInstanceUID', '1.2,1.2.3', '1.2.3'],
    ['StudyInstanceUID', '1.2\\1.2.3', '1.2.3'],
    // dates and times
    ['StudyDate', '20220131', '20220131'],
    ['StudyDate', '20220131', '2022.01.31'],
    ['StudyDate', '20220101-20220131', '20220131'],
    ['StudyDate', '20220101 - 20220131', '20220101'],
    ['StudyDate', '20220131-', '20240101'],
    ['StudyDate', '-20220131', '19700101'],
    ['StudyTime', '10-1015', '100000'],
    ['StudyTime', '10-1015', '101559.999999'],
    ['StudyTime', '10', '105959'],
    ['StudyTime', '101530.5', '101530.500001'],
    ['StudyTime', '-1015', '10:15:30'],
    ['0040A13A', '2022', '20221231235959.9'],
    ['0040A13A', '202201-202202', '20220228'],
    ['0040A13A', '20220101100000+0100', '20220101090000+0000'],
    ['0040A13A', '20220101-0500-20220102-0500', '20220101120000'],
    ['0040A13A', '20220101080000+0100-', '20220101070000+0000'],
    ['0040A13A', '2019-2020', '20200615'],
    // numbers
    ['NumberOfStudyRelatedInstances', '7', 7],
    ['NumberOfStudyRelatedInstances', '007', '7'],
    ['PatientWeight', '0.661468', 0.66146799999999994],
    ['PatientWeight', '-1.5e1', '-15'],
    ['PatientAge', '045y', '045Y'],
    // link attributes are known; what the dictionary does not know is what its dataset says
    ['00771001', 'NEW,APPROVED', 'APPROVED'],
    ['00771007', '*stroke*', 'suspected stroke, left'],
    ['00771006', '2024', '20240131101112.5+0100'],
    ['00091001', '*stroke*', 'suspected stroke, left'],
    // Greek: a sigma is one wherever it stands
    ['PatientName', 'ΠΑΠΑΣ*', { Alphabetic: 'Παπασης^Γιωργος' }],
    ['PatientName', 'παπας', { Alphabetic: 'ΠΑΠΑΣ' }],
    ['PatientName', '?stanbul', { Alphabetic: 'İSTANBUL' }],
  ])('%s=%s is met by %j', (keyword, key, value) => {
    expect(verdict(keyword, key, value)).toBe('match')
  })

  test.each([
    ['StudyDescription', 'ct chest', 'CT CHEST'],
    ['StudyDescription', 'CT', 'CT CHEST'],
    ['StudyDescription', 'CT ?', 'CT CHEST'],
    ['StudyDescription', 'CT?', 'CT'],
    ['StudyDescription', '*CHEST', 'CT CHEST LOW DOSE'],
    ['StudyDescription', 'a.b', 'axb'],
    ['PatientID', 'abc', 'ABC'],
    ['ModalitiesInStudy', 'CT,MR', ['SR', 'US']],
    ['ModalitiesInStudy', 'ct', ['CT']],
    ['PatientName', 'MULLER', { Alphabetic: 'Müller' }],
    ['PatientName', 'DOE', { Alphabetic: 'DOE^JOHN' }],
    ['PatientName', '山田*=yamada*', { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }],
    ['StudyInstanceUID', '1.2', '1.2.3'],
    ['StudyDate', '20220101-20220131', '20220201'],
    ['StudyDate', '20220131-20220101', '20220115'],
    ['StudyDate', '20220101', 'unknown'],
    ['StudyTime', '10-1015', '101600'],
    ['StudyTime', '10-1015', '095959.999999'],
    ['StudyTime', '1015-', '10'],
    ['0040A13A', '20220101100000+0100', '20220101100000+0000'],
    ['NumberOfStudyRelatedInstances', '7', 70],
    ['NumberOfStudyRelatedInstances', '0', ''],
    ['PatientWeight', '0.661468', 0.661469],
  ])('%s=%s is not met by %j', (keyword, key, value) => {
    expect(verdict(keyword, key, value)).not.toBe('match')
  })

  test('a key without a value, or of an asterisk alone, is met by everything', () => {
    expect(verdict('PatientName', '', 'DOE')).toBe('match')
    for (const value of ['', '*', '**', ' ']) {
      expect(matchConstraint({}, compileConstraint({ path: pathOf('PatientName'), value }))).toBe('match')
    }
    expect(matchConstraint({}, compileConstraint({ path: pathOf('StudyDate'), value: '' }))).toBe('match')
  })

  test('what has no value says nothing', () => {
    const compiled = compileConstraint({ path: pathOf('StudyDescription'), value: 'CT' })
    expect(matchConstraint({}, compiled)).toBe('absent')
    expect(matchConstraint({ '00081030': { vr: 'LO' } }, compiled)).toBe('absent')
    expect(matchConstraint({ '00081030': { vr: 'LO', Value: [null] } }, compiled)).toBe('absent')
    expect(matchesAll({}, [compiled])).toBe(false)
  })

  test('a private attribute is matched by the VR its dataset gives', () => {
    const compiled = compileConstraint({ path: ['00091001'], value: '20220101-' })
    expect(matchConstraint({ '00091001': { vr: 'DT', Value: ['20230101'] } }, compiled)).toBe('match')
    expect(matchConstraint({ '00091001': { vr: 'DT', Value: ['20210101'] } }, compiled)).toBe('no-match')
    expect(matchConstraint({ '00091001': { vr: 'OB', InlineBinary: 'AAAA' } }, compiled)).toBe('absent')
  })

  test('a wrong value is a bad request', () => {
    expect(() => compileConstraint({ path: pathOf('StudyDate'), value: '2022*' })).toThrow('00080020: "2022*"')
  })
})

describe('sequences', () => {
  const item = (id: string) => dataset({ ScheduledProcedureStepID: id })
  const key = compileConstraint({ path: pathOf('RequestAttributesSequence.ScheduledProcedureStepID'), value: 'B' })

  test.each([
    ['one item of several has it', { RequestAttributesSequence: [item('A'), item('B')] }, 'match'],
    ['no item has it', { RequestAttributesSequence: [item('A'), {}] }, 'no-match'],
    ['the items lack the attribute', { RequestAttributesSequence: [{}, null, 'odd'] }, 'absent'],
    ['there is no item', { RequestAttributesSequence: [] }, 'absent'],
    ['there is no sequence', {}, 'absent'],
  ])('%s', (_, values, expected) => {
    expect(matchConstraint(dataset(values), key)).toBe(expected)
  })
})

describe('a range of dates and one of times', () => {
  const search = 'StudyDate=20060705-20060707&StudyTime=1000-1800'
  test.each([
    ['20060705', '095959', 'no-match'],
    ['20060705', '1000', 'match'],
    ['20060705', '235959', 'match'],
    ['20060706', '0300', 'match'],
    ['20060707', '180059.5', 'match'],
    ['20060707', '1801', 'no-match'],
    ['20060708', '1200', 'no-match'],
    ['20060706', undefined, 'match'],
    ['20060705', undefined, 'absent'],
    ['20060707', undefined, 'absent'],
    ['20060704', undefined, 'no-match'],
    [undefined, '1200', 'absent'],
    ['nonsense', '1200', 'no-match'],
  ])('are one range: %s %s', (date, time, expected) => {
    const values = { ...(date && { StudyDate: date }), ...(time && { StudyTime: time }) }
    expect(all(search, values)).toEqual([expected])
  })

  test('both open at the same end are one range too', () => {
    const since = 'StudyDate=20060705-&StudyTime=1000-'
    expect(all(since, { StudyDate: '20060706', StudyTime: '0800' })).toEqual(['match'])
    expect(all(since, { StudyDate: '20060705', StudyTime: '0800' })).toEqual(['no-match'])
    expect(all('StudyDate=-20060705&StudyTime=-1000', { StudyDate: '20060704', StudyTime: '2300' })).toEqual(['match'])
  })

  test.each([
    'StudyDate=20060705&StudyTime=1000-1800',
    'StudyDate=20060705-20060707&StudyTime=1000',
    'StudyDate=20060705-&StudyTime=-1800',
    'StudyDate=20060705-20060707&SeriesTime=1000-1800',
    'StudyDate=20060705-20060707&StudyTime=',
  ])('of another form, or of different things, are two keys: %s', (query) => {
    expect(all(query, { StudyDate: '20060705', StudyTime: '1000' })).toHaveLength(2)
  })

  test('in a sequence they belong to one item', () => {
    const sequence = pathOf('ReferencedStudySequence')
    const compiled = compileConstraints([
      { path: [...sequence, '00080020'], value: '20060705-20060707' },
      { path: [...sequence, '00080030'], value: '1000-1800' },
    ])
    const item = dataset({ StudyDate: '20060707', StudyTime: '1700' })
    expect(compiled.map((one) => matchConstraint(dataset({ ReferencedStudySequence: [item] }), one))).toEqual(['match'])
    expect(compiled[0]?.paths).toHaveLength(2)
  })
})

describe('a key for what has no value', () => {
  const isMet = (keyword: string, given: Dataset): boolean =>
    matchConstraint(given, compileConstraint({ path: pathOf(keyword), value: '""', empty: true })) === 'match'

  test.each<[string, Dataset, boolean]>([
    ['StudyDate', {}, true],
    ['StudyDate', { '00080020': { vr: 'DA' } }, true],
    ['StudyDate', { '00080020': { vr: 'DA', Value: [] } }, true],
    ['StudyDate', { '00080020': { vr: 'DA', Value: [null, '', ' '] } }, true],
    ['StudyDate', { '00080020': { vr: 'DA', Value: ['20240101'] } }, false],
    ['StudyDescription', { '00081030': { vr: 'LO', Value: ['', 'x'] } }, false],
    ['PatientName', { '00100010': { vr: 'PN', Value: [{}] } }, true],
    ['PatientName', { '00100010': { vr: 'PN', Value: [{ Alphabetic: '' }] } }, true],
    ['PatientName', { '00100010': { vr: 'PN', Value: [{ Phonetic: 'x' }] } }, false],
    ['NumberOfStudyRelatedInstances', { '00201208': { vr: 'IS', Value: [0] } }, false],
    ['RequestAttributesSequence', {}, true],
    ['RequestAttributesSequence', { '00400275': { vr: 'SQ', Value: [] } }, true],
    ['RequestAttributesSequence', { '00400275': { vr: 'SQ', Value: [{}] } }, false],
    ['RequestAttributesSequence.RequestedProcedureID', {}, true],
    ['RequestAttributesSequence.RequestedProcedureID', { '00400275': { vr: 'SQ', Value: [{}] } }, true],
    [
      'RequestAttributesSequence.RequestedProcedureID',
      { '00400275': { vr: 'SQ', Value: [{ '00401001': { vr: 'SH', Value: ['1'] } }] } },
      false,
    ],
    ['PixelData', { '7FE00010': { vr: 'OW', BulkDataURI: 'x' } }, false],
    ['PixelData', { '7FE00010': { vr: 'OW', InlineBinary: 'AAAA' } }, false],
  ])('%s: %j', (keyword, given, expected) => {
    expect(isMet(keyword, given)).toBe(expected)
  })
})

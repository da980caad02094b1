import { describe, expect, it } from 'vitest'
import type { Attribute, Dataset, MutableDataset, Tag } from '../../src/dicom/dataset.ts'
import { linkTag } from '../../src/dicom/private-dictionary.ts'
import { tag } from '../../src/dicom/tags.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { type LinkInput, linkAliases, linkAttributes, linkSourceFields, linkTags } from '../../src/link/attributes.ts'
import { type LinkRecord, untold } from '../../src/link/record.ts'

const study = parseUid('1.2.3', 'test')
const interpretation = '40080212'
const verifiedDate = '00320032'
const verifiedTime = '00320033'
const studyComments = '00324000'
const studyStatus = '0032000A'

const value = (vr: string, ...Value: unknown[]): Attribute => ({ vr, Value })

/** Elements of our block, by name, in block `number` with its creator. */
const own = (elements: Partial<Record<keyof typeof linkTag, Attribute>>, number = '10'): MutableDataset => ({
  [`007700${number}`]: value('LO', 'DICOMWEB LINK 1.0'),
  ...Object.fromEntries(
    Object.entries(elements).map(([name, it]) => [
      `0077${number}${linkTag[name as keyof typeof linkTag].slice(-2)}`,
      it,
    ]),
  ),
})

/** Elements of a block of an older system. */
const older = (creator: string, elements: Record<string, Attribute>, number = '10'): MutableDataset => ({
  [`003100${number}`]: value('LO', creator),
  ...Object.fromEntries(Object.entries(elements).map(([element, it]) => [`0031${number}${element}`, it])),
})
const mirroring = (elements: Record<string, Attribute>, number?: string) =>
  older('AGFA PACS Archive Mirroring 1.0', elements, number)
const mitra = (gpi: Attribute, number?: string) => older('MITRA LINKED ATTRIBUTES 1.0', { '20': gpi }, number)

const record = (told: Partial<LinkRecord>): LinkRecord => ({ ...untold(study), version: 1, ...told })

/** Rows are those of the clusters north (home), south (linked) and west (third party). */
function attributesOf(rows: readonly Dataset[], input: Partial<LinkInput> = {}): Dataset {
  const clusters = [
    { cluster: 'north', role: 'home' },
    { cluster: 'south', role: 'linked' },
    { cluster: 'west', role: 'thirdParty' },
  ]
  const copies = rows.flatMap((row, index) => (clusters[index] ? [{ ...clusters[index], row }] : []))
  const mapped = { specialty: [], bodyPart: [] }
  return linkAttributes({
    merged: rows[0] ?? {},
    copies,
    mapped,
    home: 'north',
    visiting: false,
    unhonoured: [],
    ...input,
  })
}

const valuesOf = (dataset: Dataset, key: Tag) => dataset[key]?.Value

describe('report status', () => {
  it.each<[string, Dataset[], LinkRecord | undefined, string]>([
    ['nobody says', [{}, {}], undefined, 'UNKNOWN'],
    ['there is no copy', [], undefined, 'UNKNOWN'],
    ['a record about something else', [{}], record({ verified: 'VERIFIED' }), 'UNKNOWN'],
    ['this site was told', [{}], record({ reportStatus: 'NEW' }), 'NEW'],
    [
      'this site wins over an archive further along',
      [{ [interpretation]: value('CS', 'APPROVED') }],
      record({ reportStatus: 'DICTATED' }),
      'DICTATED',
    ],
    ['an archive says CREATED', [{ [interpretation]: value('CS', 'CREATED') }], undefined, 'NEW'],
    ['an archive says RECORDED', [{ [interpretation]: value('CS', 'RECORDED') }], undefined, 'DICTATED'],
    ['an archive says TRANSCRIBED', [{ [interpretation]: value('CS', ' transcribed ') }], undefined, 'TRANSCRIBED'],
    ['an archive says APPROVED', [{ [interpretation]: value('CS', 'APPROVED') }], undefined, 'APPROVED'],
    ['an archive has its own words', [{ [interpretation]: value('CS', 'NEW', 'SIGNED') }], undefined, 'UNKNOWN'],
    [
      'the furthest along',
      [own({ reportStatus: value('CS', 'DICTATED') }), { [interpretation]: value('CS', 'APPROVED') }, {}],
      undefined,
      'APPROVED',
    ],
    [
      'a proxy that knows and its archive',
      [{ ...own({ reportStatus: value('CS', 'NEW') }), [interpretation]: value('CS', 'APPROVED') }],
      undefined,
      'NEW',
    ],
    [
      'a proxy that does not know',
      [{ ...own({ reportStatus: value('CS', 'UNKNOWN') }), [interpretation]: value('CS', 'RECORDED') }],
      undefined,
      'DICTATED',
    ],
    ['a block elsewhere', [own({ reportStatus: value('CS', 'APPROVED') }, '11')], undefined, 'APPROVED'],
    ['the last block', [own({ reportStatus: value('CS', 'APPROVED') }, 'FF')], undefined, 'APPROVED'],
  ])('when %s', (_, rows, told, expected) => {
    expect(valuesOf(attributesOf(rows, { record: told }), linkTag.reportStatus)).toEqual([expected])
  })

  it.each([
    ['UNKNOWN', undefined],
    ['NEW', ['CREATED']],
    ['DICTATED', ['RECORDED']],
    ['TRANSCRIBED', ['TRANSCRIBED']],
    ['APPROVED', ['APPROVED']],
  ])('%s is %j in the words of the standard', (status, expected) => {
    const filled = attributesOf([own({ reportStatus: value('CS', status) })])
    expect(filled[interpretation]).toEqual({ vr: 'CS', ...(expected && { Value: expected }) })
  })
})

describe('blocks', () => {
  const foreign = (number: string): MutableDataset => ({
    [`007700${number}`]: value('LO', 'SOMEBODY ELSE'),
    [`0077${number}01`]: value('CS', 'APPROVED'),
  })

  it.each<[string, Dataset]>([
    ['of another creator', foreign('10')],
    ['without a creator', { '00771001': value('CS', 'APPROVED') }],
    [
      'whose creator is in another block',
      { '00770011': value('LO', 'DICOMWEB LINK 1.0'), '00771001': value('CS', 'APPROVED') },
    ],
    ['of another group', { '00790010': value('LO', 'DICOMWEB LINK 1.0'), '00791001': value('CS', 'APPROVED') }],
    ['that none may reserve', { '00770009': value('LO', 'DICOMWEB LINK 1.0'), '00770901': value('CS', 'APPROVED') }],
  ])('%s say nothing', (_, row) => {
    expect(valuesOf(attributesOf([row]), linkTag.reportStatus)).toEqual(['UNKNOWN'])
  })

  it.each<[string, Dataset]>([
    ['after one of another creator', { ...foreign('10'), ...own({ reportStatus: value('CS', 'DICTATED') }, '11') }],
    ['before one of another creator', { ...foreign('A0'), ...own({ reportStatus: value('CS', 'DICTATED') }, '9F') }],
    [
      'that are two, one of them without the element',
      { ...own({ gpi: value('LO', '1') }, '10'), ...own({ reportStatus: value('CS', 'DICTATED') }, '12') },
    ],
    [
      'whose creator is padded',
      { ...own({ reportStatus: value('CS', 'DICTATED') }), '00770010': value('LO', 'DICOMWEB LINK 1.0 ') },
    ],
  ])('%s are found', (_, row) => {
    expect(valuesOf(attributesOf([row]), linkTag.reportStatus)).toEqual(['DICTATED'])
  })

  it('of two older creators in one group are told apart', () => {
    const row = {
      ...mitra(value('LO', 'G1'), '20'),
      ...mirroring({ '00': value('CS', 'READ'), '20': value('LO', 'no') }, '10'),
    }
    const told = attributesOf([row])
    expect([valuesOf(told, linkTag.gpi), valuesOf(told, studyStatus)]).toEqual([['G1'], ['READ']])
  })
})

describe('what archives should not write', () => {
  const garbage: readonly Attribute[] = [
    { vr: 'UN', InlineBinary: 'QVBQUk9WRUQ=' },
    { vr: 'CS' },
    value('CS'),
    value('CS', null),
    value('IS', 17, Number.NaN),
    value('CS', '', '   '),
    value('PN', { Alphabetic: 'APPROVED' }),
    value('SQ', { '00080060': value('CS', 'CT') }, null, []),
    value('CS', ['APPROVED'], true),
    value('CS', true, [5]),
    value('CS', 'X'.repeat(1000)),
  ]

  it.each(garbage)('%j tells no status, no location and no verification', (attribute) => {
    const elements = { reportStatus: attribute, location: attribute, verified: attribute, residence: attribute }
    const row = {
      ...own({ ...elements, verifiedAt: attribute }),
      ...mirroring({ '01': attribute === garbage[4] ? value('UL', -17) : attribute }),
      [interpretation]: attribute,
      [verifiedDate]: attribute,
      [verifiedTime]: attribute,
      [tag.InstanceAvailability]: attribute,
      '00101002': attribute,
      [tag.NumberOfStudyRelatedInstances]: { vr: 'IS', Value: ['many'] },
    }
    const told = attributesOf([row])
    expect(told[linkTag.reportStatus]).toEqual(value('CS', 'UNKNOWN'))
    expect(told[linkTag.location]).toEqual({ vr: 'CS' })
    expect(told[linkTag.verified]).toEqual({ vr: 'CS' })
    expect(told[linkTag.verifiedAt]).toEqual({ vr: 'DT' })
    expect(told[linkTag.residence]).toEqual(value('CS', 'RESIDENT'))
    const [source] = told[linkTag.sources]?.Value ?? []
    expect(Object.keys(source as Dataset)).toEqual(['00770010', '00771011', '00771012'])
  })

  it('in items of what is called a sequence does no harm', () => {
    const item = { [tag.PatientID]: null, [tag.IssuerOfPatientID]: { Value: 'H' }, '00100024': 'x' }
    expect(attributesOf([{ '00101002': value('LO', item, 'x') }])[linkTag.gpi]).toEqual({ vr: 'LO' })
  })
})

describe('location', () => {
  const available = (word: string) => ({ [tag.InstanceAvailability]: value('CS', word) })

  it.each<[string, Dataset[], unknown[] | undefined]>([
    ['nobody says', [{}, {}], undefined],
    ['one is online', [available('NEARLINE'), available('ONLINE')], ['CACHE']],
    ['none is online', [available('OFFLINE'), available('NEARLINE')], ['NONCACHE']],
    ['it is unavailable', [available('UNAVAILABLE')], undefined],
    ['another proxy has it in its cache', [{}, own({ location: value('CS', 'CACHE') })], ['CACHE']],
    ['another proxy has it in its archive', [own({ location: value('CS', 'NONCACHE') })], ['NONCACHE']],
  ])('when %s', (_, rows, expected) => {
    expect(attributesOf(rows)[linkTag.location]).toEqual({ vr: 'CS', ...(expected && { Value: expected }) })
  })
})

describe('specialty and body part', () => {
  it('are what was computed here and elsewhere, each once, in one order', () => {
    const mapped = { specialty: ['NEURO', 'CARDIO'], bodyPart: ['HEAD'] }
    const rows = [
      own({ specialty: value('LO', 'PEDIATRICS', 'CARDIO'), bodyPart: value('CS', 'HEAD', 'CHEST') }),
      own({ specialty: value('LO', 'cardio', null, ' NEURO ') }, '11'),
    ]
    const told = attributesOf(rows, { mapped })
    expect(told[linkTag.specialty]).toEqual(value('LO', 'CARDIO', 'NEURO', 'PEDIATRICS', 'cardio'))
    expect(told[linkTag.bodyPart]).toEqual(value('CS', 'CHEST', 'HEAD'))
    expect(attributesOf(rows.toReversed(), { mapped })[linkTag.specialty]).toEqual(told[linkTag.specialty])
  })

  it('are there without a value when there are none', () => {
    expect(attributesOf([{}])).toMatchObject({ [linkTag.specialty]: { vr: 'LO' }, [linkTag.bodyPart]: { vr: 'CS' } })
  })
})

describe('verification', () => {
  const dated = (date: string, ...time: string[]): Dataset => ({
    [verifiedDate]: value('DA', date),
    ...(time.length > 0 && { [verifiedTime]: value('TM', ...time) }),
  })
  const inZone = (row: Dataset, zone: string): Dataset => ({ ...row, [tag.TimezoneOffsetFromUTC]: value('SH', zone) })
  const at = new Date('2026-01-31T10:15:00Z')

  it.each<[string, Dataset[], LinkRecord | undefined, [string?, string?, string?, string?]]>([
    ['nobody says', [{}], undefined, []],
    [
      'this site was told',
      [{}],
      record({ verified: 'VERIFIED', verifiedAt: at }),
      ['VERIFIED', '20260131101500+0000', '20260131', '101500'],
    ],
    [
      'to the millisecond',
      [{}],
      record({ verified: 'VERIFIED', verifiedAt: new Date('2026-01-31T10:15:00.120Z') }),
      ['VERIFIED', '20260131101500.120+0000', '20260131', '101500.120'],
    ],
    ['this site was told otherwise', [dated('20260131')], record({ verified: 'FAILED' }), ['FAILED']],
    [
      'a record about something else',
      [dated('20260131')],
      record({ reportStatus: 'NEW' }),
      ['VERIFIED', '20260131', '20260131'],
    ],
    [
      'an archive has date and time',
      [dated('20260131', '101500')],
      undefined,
      ['VERIFIED', '20260131101500', '20260131', '101500'],
    ],
    [
      'an archive has hour and minute',
      [dated('20260131', '1015')],
      undefined,
      ['VERIFIED', '202601311015', '20260131', '1015'],
    ],
    ['an archive has the date', [dated('20260131')], undefined, ['VERIFIED', '20260131', '20260131']],
    [
      'an archive writes separators',
      [dated('2026.01.31', '10:15:00.5')],
      undefined,
      ['VERIFIED', '20260131101500.5', '20260131', '101500.500'],
    ],
    ['an archive has a wrong date', [dated('20260231', '1015')], undefined, []],
    ['an archive has a wrong time', [dated('20260131', '2515')], undefined, ['VERIFIED', '20260131', '20260131']],
    ['an archive has a time alone', [{ [verifiedTime]: value('TM', '101500') }], undefined, []],
    [
      'an archive names its zone',
      [inZone(dated('20260131', '101500'), '+0100')],
      undefined,
      ['VERIFIED', '20260131101500+0100', '20260131', '101500'],
    ],
    [
      'an archive names no zone that there is',
      [inZone(dated('20260131', '101500'), '+9900')],
      undefined,
      ['VERIFIED', '20260131101500', '20260131', '101500'],
    ],
    [
      'the row has another zone',
      [inZone({}, '-0200')],
      record({ verified: 'VERIFIED', verifiedAt: new Date('2026-01-31T00:30:00Z') }),
      ['VERIFIED', '20260131003000+0000', '20260130', '223000'],
    ],
    [
      'a mirror has the seconds',
      [mirroring({ '01': value('UL', 1_769_854_500) })],
      undefined,
      ['VERIFIED', '20260131101500+0000', '20260131', '101500'],
    ],
    [
      'a mirror writes the seconds as text',
      [mirroring({ '01': value('UL', '1769854500') }, '2A')],
      undefined,
      ['VERIFIED', '20260131101500+0000', '20260131', '101500'],
    ],
    ['a mirror has none', [mirroring({ '01': value('UL', 0) })], undefined, []],
    ['a mirror has more than a UL holds', [mirroring({ '01': value('UL', 2 ** 40) })], undefined, []],
    [
      'another proxy says',
      [{}, own({ verified: value('CS', 'VERIFIED'), verifiedAt: value('DT', '20260131101500+0000') })],
      undefined,
      ['VERIFIED', '20260131101500+0000', '20260131', '101500'],
    ],
    [
      'another proxy does not say when',
      [own({ verified: value('CS', 'VERIFIED'), verifiedAt: value('DT', 'soon') })],
      undefined,
      ['VERIFIED'],
    ],
    [
      'another proxy says a year',
      [own({ verified: value('CS', 'VERIFIED'), verifiedAt: value('DT', '2026') })],
      undefined,
      ['VERIFIED', '2026'],
    ],
    [
      'a zone moves it out of the calendar',
      [own({ verified: value('CS', 'VERIFIED'), verifiedAt: value('DT', '99991231235959-1200') })],
      undefined,
      ['VERIFIED', '99991231235959-1200'],
    ],
    [
      'another proxy says that it failed',
      [own({ verified: value('CS', 'FAILED'), verifiedAt: value('DT', '20260131') })],
      undefined,
      ['FAILED'],
    ],
    [
      'another proxy knows better than its archive',
      [{ ...own({ verified: value('CS', 'UNVERIFIED') }), ...dated('20260131') }],
      undefined,
      ['UNVERIFIED'],
    ],
    [
      'two copies disagree',
      [dated('20260131'), own({ verified: value('CS', 'FAILED') })],
      undefined,
      ['VERIFIED', '20260131', '20260131'],
    ],
  ])('when %s', (_, rows, told, [status, time, date, clock]) => {
    const filled = attributesOf(rows, { record: told })
    expect([linkTag.verified, linkTag.verifiedAt, verifiedDate, verifiedTime].map((key) => filled[key])).toEqual([
      { vr: 'CS', ...(status && { Value: [status] }) },
      { vr: 'DT', ...(time && { Value: [time] }) },
      { vr: 'DA', ...(date && { Value: [date] }) },
      { vr: 'TM', ...(clock && { Value: [clock] }) },
    ])
  })
})

describe('comments', () => {
  const told = (at: string, text: string, author = 'key:a') => ({ text, author, at: new Date(at) })
  const first = told('2026-01-31T10:15:00.900Z', 'first')
  const firstLine = '2026-01-31T10:15:00Z key:a: first'
  const second = told('2026-02-01T00:00:00Z', 'second\nof two lines', 'oidc:1')
  const secondLine = '2026-02-01T00:00:00Z oidc:1: second of two lines'
  const archive = (text: string) => ({ [studyComments]: value('LT', text) })
  const proxy = (text: string) => own({ comments: value('UT', text) })

  it.each<[string, Dataset[], LinkRecord['comments'], string]>([
    ['are none', [{}, archive('  ')], [], ''],
    ['told here are lines, the newest last', [{}], [first, second], `${firstLine}\n${secondLine}`],
    [
      'of an archive come first, as they are',
      [archive('left\nnormal\nright\nnormal')],
      [first],
      `left\nnormal\nright\nnormal\n${firstLine}`,
    ],
    ['of two archives are there once', [archive('same '), archive('same')], [], 'same'],
    ['of two archives that differ are all there', [archive('one'), archive('two')], [], 'one\ntwo'],
    [
      'of a proxy that has them of an archive that answers too are there once',
      [archive('one'), proxy('one\ntwo')],
      [],
      'one\ntwo',
    ],
    ['that are words of another one stay', [archive('stroke'), archive('no stroke')], [], 'stroke\nno stroke'],
    [
      'told to both sites are there once',
      [{}, proxy(`text\n${firstLine}`)],
      [first, second],
      `text\n${firstLine}\n${secondLine}`,
    ],
    ['told to another site are put by their time', [proxy(secondLine)], [first], `${firstLine}\n${secondLine}`],
    ['with the line breaks of others are lines', [archive('a\r\nb\rc')], [], 'a\nb\nc'],
  ])('that %s', (_, rows, comments, expected) => {
    const filled = attributesOf(rows, { record: record({ comments }) })
    const Value = expected === '' ? undefined : [expected]
    expect(filled[linkTag.comments]).toEqual({ vr: 'UT', ...(Value && { Value }) })
    expect(filled[studyComments]).toEqual({ vr: 'LT', ...(Value && { Value }) })
  })

  it('longer than an LT are cut to the newest whole lines there, and nowhere else', () => {
    const comments = Array.from({ length: 300 }, (_, n) => told('2026-01-31T10:15:00Z', `${n} ${'x'.repeat(100)}`))
    const filled = attributesOf([{}], { record: record({ comments }) })
    const whole = String(valuesOf(filled, linkTag.comments)?.[0])
    const cut = String(valuesOf(filled, studyComments)?.[0])
    expect(whole.split('\n')).toHaveLength(300)
    expect(cut.length).toBeLessThanOrEqual(10_240)
    expect(cut.length).toBeGreaterThan(10_000)
    expect(whole.endsWith(`\n${cut}`)).toBe(true)
  })
})

describe('global patient identifier', () => {
  const qualifiers = (type: string, entity?: string) =>
    value('SQ', { '00400035': value('CS', type), ...(entity && { '00400032': value('UT', entity) }) })
  const other = (id: string, type: string, issuer?: string, entity?: string): Dataset => ({
    [tag.PatientID]: value('LO', id),
    ...(issuer && { [tag.IssuerOfPatientID]: value('LO', issuer) }),
    [tag.IssuerOfPatientIDQualifiersSequence]: qualifiers(type, entity),
  })
  const others = (...items: unknown[]) => ({ '00101002': value('SQ', ...items) })

  it.each<[string, Dataset[], string | undefined]>([
    ['nobody says', [{}], undefined],
    ['another proxy says', [{}, own({ gpi: value('LO', 'G1') }, '15')], 'G1'],
    ['an older system says', [mitra(value('LO', 'G2'), '31')], 'G2'],
    ['both say', [{ ...mitra(value('LO', 'G2')), ...own({ gpi: value('LO', 'G1') }) }], 'G1'],
    ['the most believed says', [mitra(value('LO', 'G1')), own({ gpi: value('LO', 'G2') })], 'G1'],
    ['one copy says two', [own({ gpi: value('LO', 'G1', 'G2') }), mitra(value('LO', 'G3'))], 'G3'],
    ['one copy says the same twice', [own({ gpi: value('LO', 'G1', 'G1 ') })], 'G1'],
    ['the id of an enterprise', [others(other('E1', 'PE', 'REGION'))], 'E1'],
    ['the id of a country, by a universal entity', [others(other('N1', 'NI', undefined, '1.2.3'))], 'N1'],
    ['an id among local ones', [others(other('L1', 'MR', 'WARD'), null, other('E1', 'PE', 'REGION'))], 'E1'],
    ['the id has no issuer', [others(other('E1', 'PE'))], undefined],
    [
      'it does not say what it is',
      [others({ [tag.PatientID]: value('LO', 'E1'), [tag.IssuerOfPatientID]: value('LO', 'R') })],
      undefined,
    ],
    ['two ids', [others(other('E1', 'PE', 'R'), other('E2', 'PE', 'R'))], undefined],
    ['one id of two issuers', [others(other('E1', 'PE', 'R'), other('E1', 'PE', 'S'))], undefined],
    ['one id twice', [others(other('E1', 'PE', 'R'), other('E1', 'PE', 'R'))], 'E1'],
    ['the plain patient ID', [{ [tag.PatientID]: value('LO', '42'), '00101000': value('LO', '43') }], undefined],
  ])('when %s', (_, rows, expected) => {
    expect(attributesOf(rows)[linkTag.gpi]).toEqual({ vr: 'LO', ...(expected && { Value: [expected] }) })
  })
})

describe('sources', () => {
  it('are an item a cluster, with what it told, each naming the creator', () => {
    const rows = [
      { [tag.InstanceAvailability]: value('CS', 'ONLINE'), [tag.NumberOfStudyRelatedInstances]: value('IS', 0) },
      { [tag.NumberOfStudyRelatedInstances]: value('IS', '12'), ...own({ home: value('LO', 'theirs') }, '12') },
      { [tag.InstanceAvailability]: value('CS', 'SOMEWHERE'), [tag.NumberOfStudyRelatedInstances]: value('IS', -1) },
    ]
    const creator = { '00770010': value('LO', 'DICOMWEB LINK 1.0') }
    expect(attributesOf(rows)).toMatchObject({ ...creator, [linkTag.home]: value('LO', 'north') })
    expect(valuesOf(attributesOf(rows), linkTag.sources)).toEqual([
      { ...rows[0], ...creator, '00771011': value('LO', 'north'), '00771012': value('CS', 'HOME') },
      {
        [tag.NumberOfStudyRelatedInstances]: value('IS', 12),
        ...creator,
        '00771011': value('LO', 'south'),
        '00771012': value('CS', 'LINKED'),
      },
      { ...creator, '00771011': value('LO', 'west'), '00771012': value('CS', 'THIRDPARTY') },
    ])
  })
})

describe('residence', () => {
  it.each<[string, Dataset[], Partial<LinkInput>, string | undefined]>([
    ['home has it', [{}, {}], {}, 'RESIDENT'],
    ['home has it as a visitor', [own({ residence: value('CS', 'VISITOR') })], {}, 'VISITOR'],
    ['all that home has came from others', [{}], { visiting: true }, 'VISITOR'],
    ['home has it, a visitor elsewhere', [{}, own({ residence: value('CS', 'VISITOR') })], {}, 'RESIDENT'],
    ['home does not have it', [own({ residence: value('CS', 'RESIDENT') })], { home: 'east' }, undefined],
  ])('when %s', (_, rows, input, expected) => {
    expect(attributesOf(rows, input)[linkTag.residence]).toEqual(expected && value('CS', expected))
  })
})

describe('study status', () => {
  it.each<[string, Dataset, unknown]>([
    [
      'an archive keeps it itself',
      { [studyStatus]: value('CS', 'VERIFIED'), ...mirroring({ '00': value('CS', 'READ') }) },
      value('CS', 'VERIFIED'),
    ],
    [
      'an older block has it',
      { [studyStatus]: { vr: 'CS' }, ...mirroring({ '00': value('CS', 'READ') }) },
      value('CS', 'READ'),
    ],
    ['nobody has it', {}, { vr: 'CS' }],
  ])('when %s', (_, row, expected) => {
    expect(attributesOf([row])[studyStatus]).toEqual(expected)
  })

  it('is what this site was told, whatever archives keep', () => {
    const rows = [{ [studyStatus]: value('CS', 'VERIFIED') }]
    const told = attributesOf(rows, { record: record({ studyStatus: 'READ' }) })
    expect(told[studyStatus]).toEqual(value('CS', 'READ'))
  })
})

describe('corrections', () => {
  it('are proposals: they are in no row', () => {
    const said = {
      keyword: 'PatientName',
      value: 'Doe^Jane',
      source: 'RIS',
      author: 'x',
      site: 'north',
      at: new Date(0),
    }
    const told = attributesOf([{ [tag.PatientName]: value('PN', { Alphabetic: 'Roe' }) }], {
      record: record({ corrections: [{ ...said, keyword: 'PatientName' }] }),
    })
    expect(JSON.stringify(told)).not.toContain('Doe')
  })
})

describe('constraints that were not honoured', () => {
  it('are told, each once, and are absent when there are none', () => {
    expect(attributesOf([{}], { unhonoured: ['StudyComments', 'A', 'A'] })[linkTag.unhonoured]).toEqual(
      value('LO', 'A', 'StudyComments'),
    )
    expect(attributesOf([{}])[linkTag.unhonoured]).toBeUndefined()
  })
})

describe('the tags', () => {
  const everything = attributesOf([{ ...mirroring({ '00': value('CS', 'READ') }) }], { unhonoured: ['A'] })

  it('that can be given are those listed', () => {
    expect(Object.keys(everything).toSorted()).toEqual([...linkTags, ...linkAliases].toSorted())
  })

  it('that archives are asked for are standard ones', () => {
    expect(linkSourceFields.filter((key) => Number.parseInt(key.slice(0, 4), 16) % 2 === 1)).toEqual([])
    expect(linkSourceFields).toEqual(expect.arrayContaining([...linkAliases, tag.InstanceAvailability, '00101002']))
  })
})

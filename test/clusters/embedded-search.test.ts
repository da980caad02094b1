import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SearchRequest } from '../../src/clusters/cluster.ts'
import { narrowingOf } from '../../src/clusters/embedded/narrow.ts'
import { firstString } from '../../src/dicom/dataset.ts'
import { defaultReturned, tag } from '../../src/dicom/tags.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { openTestArchive } from '../support/embedded.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { uploadsOf } from '../support/uploads.ts'

const never = new AbortController().signal

describe('search in the embedded archive', () => {
  let archive: Awaited<ReturnType<typeof openTestArchive>>
  const study = { ct: madeUid(), mr: madeUid(), old: madeUid(), undated: madeUid() }
  const names = new Map(Object.entries(study).map(([name, uid]) => [uid, name]))
  const ctSeries = madeUid()
  let made: MadeInstance[]

  beforeAll(async () => {
    archive = await openTestArchive()
    made = [
      madeInstance({ study: study.ct, series: ctSeries, instanceNumber: 2, modality: 'CT', ...alice }),
      madeInstance({ study: study.ct, series: ctSeries, instanceNumber: 1, modality: 'CT', ...alice }),
      madeInstance({ study: study.ct, modality: 'SR', ...alice }),
      madeInstance({ study: study.mr, modality: 'MR', ...alice, studyDate: '20240201', accessionNumber: 'A2' }),
      madeInstance({ study: study.old, modality: 'MR', ...bob, studyDate: '20010101', frames: 7 }),
      madeInstance({ study: study.undated, modality: 'OT', ...bob, studyDate: '' }),
    ]
    await archive.cluster.store(uploadsOf(...made.map(({ bytes }) => bytes)), never)
  })
  afterAll(() => archive?.close())

  const alice = { patientId: 'P1', patientName: 'Ash^Alice', studyDate: '20240301', accessionNumber: 'A1' }
  const bob = { patientId: 'P2', patientName: 'Birch^Bob' }

  const search = (request: Partial<SearchRequest>, keys: Record<string, string> = {}) =>
    archive.cluster.search(
      {
        level: 'study',
        includeFields: [],
        limit: 100,
        constraints: Object.entries(keys).map(([path, value]) => ({ path: path.split('.'), value })),
        ...request,
      },
      never,
    )
  const found = async (keys: Record<string, string>) =>
    (await search({}, keys)).rows.map((row) => names.get(firstString(row, tag.StudyInstanceUID) ?? ''))

  it('studies come newest first, undated ones last', async () => {
    expect(await found({})).toEqual(['ct', 'mr', 'old', 'undated'])
  })

  it.each<[string, Record<string, string>, string[]]>([
    ['patient id', { [tag.PatientID]: 'P2' }, ['old', 'undated']],
    ['patient id with wildcards', { [tag.PatientID]: 'P?' }, ['ct', 'mr', 'old', 'undated']],
    ['patient id of the wrong case', { [tag.PatientID]: 'p2' }, []],
    ['name, whatever its case', { [tag.PatientName]: '*ash*' }, ['ct', 'mr']],
    ['accession number', { [tag.AccessionNumber]: 'A2' }, ['mr']],
    ['a day', { [tag.StudyDate]: '20240201' }, ['mr']],
    ['until a day', { [tag.StudyDate]: '-20231231' }, ['old']],
    ['from a day', { [tag.StudyDate]: '20240201-' }, ['ct', 'mr']],
    ['a modality in the study', { [tag.ModalitiesInStudy]: 'SR' }, ['ct']],
    ['two keys at once', { [tag.PatientID]: 'P1', [tag.ModalitiesInStudy]: 'MR' }, ['mr']],
    ['a key without a value', { [tag.PatientID]: '' }, ['ct', 'mr', 'old', 'undated']],
    ['a key of the series', { [tag.Modality]: 'SR' }, ['ct']],
    ['a key of the instances', { [tag.InstanceNumber]: '2' }, ['ct']],
    ['a key only the whole metadata knows', { '00280004': 'MONOCHROME2', [tag.PatientID]: 'P2' }, ['old', 'undated']],
    ['an attribute nobody has', { '00321060': 'x' }, []],
    ['a UID list', { [tag.StudyInstanceUID]: `${study.old},${study.mr}` }, ['mr', 'old']],
  ])('studies are found by %s', async (_, keys, expected) => {
    expect(await found(keys)).toEqual(expected)
  })

  it('studies without a date are found by its absence', async () => {
    const constraints = [{ path: [tag.StudyDate], value: '""', empty: true }]
    const { rows } = await search({ constraints })
    expect(rows.map((row) => names.get(firstString(row, tag.StudyInstanceUID) ?? ''))).toEqual(['undated'])
  })

  it('a study is found by the UID of an instance or series of it', async () => {
    expect(await found({ [tag.SOPInstanceUID]: made[3]?.instance ?? '' })).toEqual(['mr'])
    expect(await found({ [tag.SeriesInstanceUID]: ctSeries })).toEqual(['ct'])
  })

  it('a study row says all that a worklist shows', async () => {
    const { rows } = await search(
      { includeFields: [tag.SOPClassesInStudy, tag.StudyDescription] },
      { [tag.PatientID]: 'P1' },
    )
    const [row = {}] = rows
    const absent = defaultReturned.study.filter((it) => row[it] === undefined)
    expect(absent).toEqual([tag.TimezoneOffsetFromUTC, tag.RetrieveURL])
    expect(row).toMatchObject({
      [tag.InstanceAvailability]: { vr: 'CS', Value: ['ONLINE'] },
      [tag.ModalitiesInStudy]: { vr: 'CS', Value: ['CT', 'SR'] },
      [tag.NumberOfStudyRelatedSeries]: { vr: 'IS', Value: [2] },
      [tag.NumberOfStudyRelatedInstances]: { vr: 'IS', Value: [3] },
      [tag.SOPClassesInStudy]: { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.7'] },
      [tag.StudyDescription]: { vr: 'LO', Value: ['Made for a test'] },
    })
  })

  it('series and instances of all studies carry what is known of their parents, and are found by it', async () => {
    const series = await search({ level: 'series' }, { [tag.PatientID]: 'P1', [tag.Modality]: 'CT' })
    expect(series.rows).toHaveLength(1)
    expect(series.rows[0]).toMatchObject({
      [tag.PatientName]: { Value: [{ Alphabetic: 'Ash^Alice' }] },
      [tag.NumberOfSeriesRelatedInstances]: { Value: [2] },
      [tag.SeriesInstanceUID]: { Value: [ctSeries] },
    })
    const instances = await search({ level: 'instance' }, { [tag.StudyDate]: '-20101231' })
    expect(instances.rows).toHaveLength(1)
    expect(instances.rows[0]).toMatchObject({
      [tag.PatientID]: { Value: ['P2'] },
      [tag.Modality]: { Value: ['MR'] },
      [tag.NumberOfFrames]: { Value: [7] },
    })
  })

  it('instances come by number, and carry attributes of theirs that are asked for', async () => {
    const request = { level: 'instance', study: parseUid(study.ct, ''), series: parseUid(ctSeries, '') } as const
    const { rows } = await search({ ...request, includeFields: ['00280004'] })
    expect(rows.map((row) => firstString(row, tag.InstanceNumber))).toEqual(['1', '2'])
    expect(rows.map((row) => firstString(row, '00280004'))).toEqual(['MONOCHROME2', 'MONOCHROME2'])
    // Parents' attributes are known from the address.
    expect(rows.every((row) => row[tag.PatientName] === undefined)).toBe(true)
  })

  it('what is cut is the oldest, and it says that there is more', async () => {
    const { rows, truncated } = await search({ limit: 2 })
    expect(rows.map((row) => names.get(firstString(row, tag.StudyInstanceUID) ?? ''))).toEqual(['ct', 'mr'])
    expect(truncated).toBe(true)
    expect((await search({ limit: 4 })).truncated).toBe(false)
    expect(await search({ limit: 0 })).toEqual({ rows: [], truncated: true })
  })

  it('a value that is none for its attribute is rejected, and the archive is not to blame', async () => {
    await expect(search({}, { [tag.StudyDate]: 'yesterday' })).rejects.toMatchObject({ reason: 'rejected' })
  })

  it('the first instance of a study says what it is, later ones fill what it left blank', async () => {
    const uid = madeUid()
    const first = madeInstance({ study: uid, patientName: 'First^Name', accessionNumber: '' })
    const second = madeInstance({ study: uid, patientName: 'Second^Name', accessionNumber: 'LATE' })
    await archive.cluster.store(uploadsOf(first.bytes), never)
    await archive.cluster.store(uploadsOf(second.bytes), never)
    const { rows } = await search({}, { [tag.AccessionNumber]: 'LATE' })
    expect(rows.map((row) => firstString(row, tag.PatientName))).toEqual(['First^Name'])
  })
})

describe('narrowing by an index', () => {
  const narrowed = (path: string, value: string) => {
    const request = { level: 'study', constraints: [{ path: path.split('.'), value }], includeFields: [], limit: 1 }
    const all = narrowingOf(request as SearchRequest)
    return Object.fromEntries(Object.entries(all).filter(([, it]) => it !== undefined))
  }

  it.each([
    [tag.StudyDate, '20240101', { dateFrom: '20240101', dateTo: '20240101' }],
    [tag.StudyDate, '20240101-', { dateFrom: '20240101' }],
    [tag.StudyDate, '-20240101', { dateTo: '20240101' }],
    [tag.StudyDate, '20240101-20240131', { dateFrom: '20240101', dateTo: '20240131' }],
    [tag.PatientID, ' P1 ', { patientID: 'P1' }],
    [tag.StudyInstanceUID, '1.2,1.3', { studies: ['1.2', '1.3'] }],
    [tag.SOPInstanceUID, '1.2\\1.3', { instances: ['1.2', '1.3'] }],
  ])('%s=%s leaves out what cannot match', (path, value, expected) => {
    expect(narrowed(path, value)).toEqual(expected)
  })

  it.each([
    [tag.StudyDate, '2024*'],
    [tag.StudyDate, ''],
    [tag.StudyDate, '20240101-20240102-'],
    [tag.PatientID, 'P*'],
    [tag.PatientID, 'A\\B'],
    [tag.PatientID, 'x'.repeat(200)],
    [tag.StudyInstanceUID, '1.2,*'],
    [`00081110.${tag.StudyInstanceUID}`, '1.2'],
  ])('%s=%s leaves nothing out', (path, value) => {
    expect(narrowed(path, value)).toEqual({})
  })

  it('a range in a time zone leaves over the days that its ends may be in others', () => {
    const constraints = [
      { path: [tag.StudyDate], value: '20240131-20240131', timezone: '+0100' },
      { path: [tag.StudyTime], value: '10-11', timezone: '+0100' },
    ]
    expect(narrowingOf({ level: 'study', constraints, includeFields: [], limit: 1 })).toMatchObject({
      dateFrom: '20240129',
      dateTo: '20240202',
    })
  })

  it('a key for what has no value narrows nothing', () => {
    const constraints = [{ path: [tag.PatientID], value: '""', empty: true }]
    expect(narrowingOf({ level: 'study', constraints, includeFields: [], limit: 1 }).patientID).toBeUndefined()
  })
})

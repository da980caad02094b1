import { beforeAll, describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { federatedStudies, filesOf } from '../support/federated-studies.ts'
import { disposedAfterAll, type Federation, startFederation } from '../support/federation.ts'
import { orthancAvailable } from '../support/orthanc.ts'

const content = federatedStudies()
const { split, even, overlapping, single, made } = content
const everything = Object.values(made).flat()
const studyUids = new Set(everything.map(({ study }) => study))

const value = (row: Dataset | undefined, key: string): unknown => row?.[key]?.Value?.[0]
const values = (row: Dataset | undefined, key: string): unknown[] => [...(row?.[key]?.Value ?? [])]
const uidsOf = (rows: readonly Dataset[], key = '0020000D') => rows.map((row) => String(value(row, key)))

describe.skipIf(!orthancAvailable)('three archives queried as one', () => {
  const open = disposedAfterAll()
  let federation: Federation
  const query = (path: string) => federation.datasets(`/dicom-web${path}`)
  /** Study UIDs of an answer, in no order. */
  const found = async (search: string) => new Set(uidsOf(await query(`/studies?${search}`)))
  const setOf = (...instances: readonly { study: string }[]) => new Set(instances.map(({ study }) => study))

  beforeAll(async () => {
    federation = open.use(await startFederation({ content: filesOf(made) }))
  })

  describe('the six resources', () => {
    test('every study of every archive is one row, with the address of the proxy', async () => {
      const rows = await query('/studies')
      expect(uidsOf(rows).toSorted()).toEqual([...studyUids].toSorted())
      for (const row of rows) {
        const url = `${federation.proxy.url}/dicom-web/studies/${value(row, '0020000D')}`
        expect(values(row, '00081190')).toEqual([url])
      }
    })

    test('every series and every instance of every archive is one row', async () => {
      const series = await query('/series')
      expect(uidsOf(series, '0020000E').toSorted()).toEqual([...new Set(everything.map((it) => it.series))].toSorted())
      const instances = await query('/instances')
      expect(uidsOf(instances, '00080018').toSorted()).toEqual(
        [...new Set(everything.map((it) => it.instance))].toSorted(),
      )
    })

    test('below a split study are the series and instances of both archives, ordered by number', async () => {
      const series = await query(`/studies/${split.study}/series`)
      expect(series.map((row) => value(row, '00080060')).toSorted()).toEqual(['CT', 'MR'])
      const instances = await query(`/studies/${split.study}/instances`)
      expect(uidsOf(instances, '00080018').toSorted()).toEqual(split.all.map((it) => it.instance).toSorted())
      const below = await query(`/studies/${overlapping.study}/series/${overlapping.series}/instances`)
      expect(below.map((row) => value(row, '00200013'))).toEqual([1, 2, 3, 4])
    })

    test('rows carry what the resource obliges them to, and never a blank key of their level', async () => {
      for (const [path, keys] of [
        ['/studies', ['0020000D', '00080061', '00100010', '00100020', '00201206', '00201208']],
        ['/series', ['0020000D', '0020000E', '00080060', '00201209']],
        ['/instances', ['0020000D', '0020000E', '00080018', '00080016', '00200013']],
      ] as const) {
        for (const row of await query(path)) {
          for (const key of keys) expect(value(row, key), `${key} of ${path}`).toBeDefined()
        }
      }
    })

    test('what nobody holds is an empty list, not an error', async () => {
      for (const path of [
        '/studies?PatientID=NOBODY',
        '/series?Modality=PT',
        '/studies/1.2.3.4.5/series',
        '/studies/1.2.3.4.5/instances',
        '/studies/1.2.3.4.5/series/1.2.3.4.5.6/instances',
      ]) {
        expect(await query(path), path).toEqual([])
      }
    })
  })

  describe('a study on two clusters', () => {
    test('is one row with the modalities and counts of both halves', async () => {
      const rows = await query(`/studies?StudyInstanceUID=${split.study}`)
      expect(rows).toHaveLength(1)
      expect(values(rows[0], '00080061')).toEqual(['CT', 'MR'])
      expect([value(rows[0], '00201206'), value(rows[0], '00201208')]).toEqual([2, 3])
    })

    test('is counted as the union also when both halves are equally large', async () => {
      const [row] = await query(`/studies?StudyInstanceUID=${even.study}`)
      expect(values(row, '00080061')).toEqual(['CT', 'MR'])
      expect([value(row, '00201206'), value(row, '00201208')]).toEqual([2, 2])
    })

    test('is the same row when a filter matches one half only', async () => {
      for (const filter of ['ModalitiesInStudy=CT', 'ModalitiesInStudy=MR', 'ModalitiesInStudy=CT%2CMR']) {
        const rows = await query(`/studies?${filter}&PatientID=FED-1&StudyDate=20240301`)
        expect(rows, filter).toHaveLength(1)
        expect(values(rows[0], '00080061')).toEqual(['CT', 'MR'])
        expect([value(rows[0], '00201206'), value(rows[0], '00201208')]).toEqual([2, 3])
      }
    })

    test('counts each instance once when the copies overlap', async () => {
      const [row] = await query(`/studies?StudyInstanceUID=${overlapping.study}`)
      expect([value(row, '00201206'), value(row, '00201208')]).toEqual([2, 5])
      const series = await query(`/studies/${overlapping.study}/series`)
      const counts = new Map(series.map((it) => [value(it, '0020000E'), value(it, '00201209')]))
      expect(counts.get(overlapping.series)).toBe(4)
    })
  })

  describe('what OHIF asks', () => {
    const fields = 'fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030'
    const worklist = `limit=101&offset=0&${fields}`

    test('the worklist', async () => {
      const rows = await query(`/studies?${worklist}`)
      expect(new Set(uidsOf(rows))).toEqual(studyUids)
      for (const row of rows) expect(value(row, '00081030')).toMatch(/CT CHEST|Made for a test/)
    })

    const filters: readonly (readonly [string, readonly { study: string }[]])[] = [
      ['PatientName=*FED*', [split, overlapping, single.chest, single.bob, single.undated, single.report]],
      ['PatientName=*FEDERATE%2C%20ALICE*', []],
      ['PatientName=*FEDERATE%5EALICE*', [split, single.chest, single.report]],
      ['PatientName=*federate^alice*', [split, single.chest, single.report]],
      ['PatientName=*M%C3%BCller*', [single.müller]],
      ['00100020=*FED-*', [split, overlapping, single.chest, single.bob, single.undated]],
      ['00100020=FED-1', [split, single.chest]],
      ['AccessionNumber=*ACC*', [split, single.chest, single.report]],
      ['StudyDescription=*CT%20CHEST*', [split, single.chest]],
      ['ModalitiesInStudy=CT%2CMR', [split, even, single.chest, single.bob]],
      ['StudyDate=20220101-20221231', [single.chest, single.bob]],
      ['StudyDate=20240215-', [split, overlapping, single.report]],
      ['PatientName=*FED*&ModalitiesInStudy=MR&StudyDate=20220101-20241231', [split, single.bob]],
    ]
    test.each(filters)('%s', async (filter, expected) => {
      expect(await found(`${worklist}&${filter}`)).toEqual(setOf(...expected))
    })

    test('the series of a clicked row and the studies of a viewer', async () => {
      const series = await query(`/studies/${split.study}/series?includefield=0008103E%2C00080021`)
      expect(series).toHaveLength(2)
      const studies = await query(`/studies?${worklist}&StudyInstanceUID=${split.study}`)
      expect(uidsOf(studies)).toEqual([split.study])
    })
  })

  describe('order and pages', () => {
    test('are newest first, undated last, and the same every time', async () => {
      const rows = await query('/studies')
      const dates = rows.map((row) => String(value(row, '00080020') ?? ''))
      expect(dates).toEqual(dates.toSorted().toReversed())
      expect(uidsOf(await query('/studies'))).toEqual(uidsOf(rows))
    })

    test('pages of three are the whole list cut into pieces, each telling how much is left', async () => {
      for (const filter of ['', 'ModalitiesInStudy=CT%2CMR%2COT&']) {
        const whole = uidsOf(await query(`/studies?${filter}`))
        const walked: string[] = []
        for (let offset = 0; offset < whole.length; offset += 3) {
          const answer = await federation.ask(`/dicom-web/studies?${filter}limit=3&offset=${offset}`)
          walked.push(...uidsOf(answer.json() as Dataset[]))
          const left = whole.length - offset - 3
          const told = answer.warnings.filter((text) => text.includes('additional results'))
          expect(told).toEqual(left > 0 ? [`There are ${left} additional results that can be requested`] : [])
        }
        expect(walked).toEqual(whole)
      }
    })

    test('behind the last row is nothing', async () => {
      expect(await query('/studies?limit=3&offset=1000')).toEqual([])
    })
  })

  describe('where archives are lax', () => {
    test('identifiers differ by case', async () => {
      expect(await found('PatientID=CASE-X')).toEqual(setOf(single.upperCase))
      expect(await found('PatientID=case-x')).toEqual(setOf(single.lowerCase))
    })

    test('names do not', async () => {
      expect(await found('PatientName=case^*')).toEqual(setOf(single.upperCase, single.lowerCase))
    })

    test('a key all archives ignore lets nothing through, and is no empty answer either', async () => {
      const answer = await federation.ask('/dicom-web/studies?RequestAttributesSequence.ScheduledProcedureStepID=NEVER')
      expect(answer.status).toBe(502)
      for (const cluster of ['north', 'south', 'cardio']) expect(answer.text()).toContain(cluster)
    })

    test('parameters nobody knows change nothing', async () => {
      expect(await found('nonsense=1&PatientID=MUE-1')).toEqual(setOf(single.müller))
    })

    test('a complete answer carries no warning', async () => {
      const answer = await federation.ask('/dicom-web/studies')
      expect(answer.warnings).toEqual([])
    })
  })

  test.each([
    'StudyDate=yesterday',
    'StudyDate=20241301',
    'StudyInstanceUID=1.2.*',
    'limit=-1',
    'offset=x',
    'fuzzymatching=perhaps',
    'PatientID=1&00100020=2',
    'PatientName=%FF',
  ])('%s is refused with the reason', async (search) => {
    const answer = await federation.ask(`/dicom-web/studies?${search}`)
    expect(answer.status).toBe(400)
    expect(answer.type).toMatch(/^application\/problem\+json/)
    expect(answer.json()).toMatchObject({
      code: 'bad-request',
      detail: expect.stringContaining(search.split('=')[0] === 'PatientName' ? 'encoding' : ':'),
    })
  })

  test('a query is answered as JSON, or refused', async () => {
    for (const accept of [
      'application/dicom+json',
      'application/json',
      '*/*',
      'application/dicom+json;q=0.9, */*;q=0.1',
    ]) {
      const answer = await federation.ask('/dicom-web/studies?limit=1', { headers: { accept } })
      expect(answer.type, accept).toMatch(/^application\/(dicom\+)?json/)
    }
    expect((await federation.ask('/dicom-web/studies', { headers: { accept: 'text/html' } })).status).toBe(406)
  })

  test('no name or identifier of a patient is in the log of all this', () => {
    const log = federation.proxy.stdout() + federation.proxy.stderr()
    expect(log).toContain('"route":"/dicom-web/studies"')
    for (const secret of ['FEDERATE', 'ALICE', 'FED-1', 'LLER', 'CASE-X', 'ACC-1', 'CARDIO^']) {
      expect(log).not.toContain(secret)
    }
  })
})

import { describe, expect, it } from 'vitest'
import type { SearchRequest } from '../../src/clusters/cluster.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import { type Dataset, firstNumber, firstString, strings } from '../../src/dicom/dataset.ts'
import { linkCreatorTag, linkTag } from '../../src/dicom/private-dictionary.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { LinkRecord } from '../../src/link/record.ts'
import { uidsOf } from '../support/list-cluster.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { queryOver } from '../support/query.ts'

const home = (made: MadeInstance, row = {}) => new MemoryCluster('north', { role: 'home' }).add(made, row)
const linked = (id: string, made: MadeInstance, row = {}) => new MemoryCluster(id).add(made, row)

const creator = 'DICOMWEB%20LINK%201.0'

describe('a linked query', () => {
  const study = madeUid() as Uid
  const approved: LinkRecord = {
    study,
    reportStatus: 'APPROVED',
    studyStatus: 'READ',
    verified: 'VERIFIED',
    verifiedAt: new Date('2026-01-02T03:04:05Z'),
    comments: [{ text: 'compare with the stroke of 2019', author: 'key:reader', at: new Date('2026-01-03T00:00:00Z') }],
    corrections: [],
    version: 3,
  }
  const north = home(madeInstance({ study }), { [tag.Modality]: ['CT'], [tag.StudyDescription]: ['CT BRAIN'] })
  const south = linked('south', madeInstance({ study }), { [tag.Modality]: ['MR'] })
  const other = linked('west', madeInstance(), { [tag.StudyDescription]: ['CT KNEE'] })
  const mappings = `
specialty: [{ rule: 1, when: { StudyDescription: '%BRAIN%' }, gives: NEURO }, { rule: 9, when: {}, gives: GENERAL }]
bodyPart: [{ rule: 1, when: { StudyDescription: '%KNEE%' }, gives: KNEE }]`
  const search = queryOver([north, south, other], { records: [approved], mappings })

  it('shows no link attributes unless they are asked for', async () => {
    const { rows } = await search('')
    expect(JSON.stringify(rows)).not.toContain('0077')
  })

  it.each([['link'], ['all']])('shows with includefield=%s what is known from anywhere', async (field) => {
    const { rows } = await search(`StudyInstanceUID=${study}&includefield=${field}`)
    const [row = {}] = rows
    expect(firstString(row, linkCreatorTag)).toBe('DICOMWEB LINK 1.0')
    expect(firstString(row, linkTag.reportStatus)).toBe('APPROVED')
    expect(firstString(row, linkTag.specialty)).toBe('NEURO')
    expect(firstString(row, linkTag.comments)).toContain('compare with the stroke of 2019')
    const sources = (row[linkTag.sources]?.Value ?? []) as Dataset[]
    expect(sources.map((item) => firstString(item, linkTag.cluster))).toEqual(['north', 'south'])
    expect(firstNumber(row, tag.NumberOfStudyRelatedInstances)).toBe(2)
  })

  it('shows by tag only what was asked for, with its creator', async () => {
    const { rows } = await search(`00770010=${creator}&includefield=00771001&StudyInstanceUID=${study}`)
    const keys = Object.keys(rows[0] ?? {}).filter((key) => key.startsWith('0077'))
    expect(keys.toSorted()).toEqual([linkCreatorTag, linkTag.reportStatus])
  })

  it.each([
    ['link.reportStatus=APPROVED', 1],
    ['link.reportStatus=NEW', 0],
    ['link.reportStatus=UNKNOWN', 1],
    [`00770010=${creator}&00771001=APPROVED`, 1],
    ['link.verified=VERIFIED', 1],
    ['link.comments=*stroke*', 1],
    ['StudyComments=*stroke*', 1],
    ['StudyStatusID=READ', 1],
    ['StudyStatusID=STARTED', 0],
    ['StudyVerifiedDate=20260101-20260131', 1],
    ['link.specialty=NEURO', 1],
    ['link.specialty=GENERAL', 1],
    ['link.bodyPart=KNEE', 1],
    ['link.cluster=south', 1],
    ['link.cluster=south%20', 1],
    ['StudyID=', 2],
    ['InstitutionName=*', 2],
    ['link.cluster=*', 2],
    ['link.reportStatus=APPROVED&ModalitiesInStudy=MR', 1],
    ['link.reportStatus=APPROVED&ModalitiesInStudy=US', 0],
  ])('finds by %s %i studies', async (query, count) => {
    expect((await search(query)).rows).toHaveLength(count)
  })

  it('tells which studies are all of other sites', async () => {
    for (const [came, residence] of [
      [0, 'RESIDENT'],
      [1, 'RESIDENT'],
      [2, 'VISITOR'],
    ] as const) {
      const both = home(madeInstance({ study })).add(madeInstance({ study }))
      const asked = queryOver([both, south], { visitors: new Map([[study, came]]) })
      for (const query of ['includefield=link', `link.residence=${residence}&includefield=link`]) {
        const { rows } = await asked(`StudyInstanceUID=${study}&${query}`)
        expect(rows.map((row) => firstString(row, linkTag.residence))).toEqual([residence])
      }
    }
  })

  it('that names a cluster answers with the whole study, from the others too', async () => {
    const { rows } = await search('link.cluster=south&includefield=link')
    expect(rows.map((row) => strings(row, tag.ModalitiesInStudy))).toEqual([['CT', 'MR']])
  })

  it('pages through what matches as through anything', async () => {
    const made = Array.from({ length: 30 }, () => madeInstance())
    const many = new MemoryCluster('many', { role: 'home' })
    for (const each of made) many.add(each)
    const records = made.slice(0, 20).map((it) => ({ ...approved, study: it.study as Uid }))
    const paged = queryOver([many], { records })
    const walked: string[] = []
    for (let offset = 0; offset < 30; offset += 7) {
      walked.push(...uidsOf((await paged(`link.reportStatus=APPROVED&limit=7&offset=${offset}`)).rows))
    }
    expect(walked.toSorted()).toEqual(records.map((it) => it.study).toSorted())
  })
})

describe('a patient ID and a GPI together', () => {
  const mitra = { '00310010': ['MITRA LINKED ATTRIBUTES 1.0'], '00311020': ['GPI-7'] }

  it('find what has either', async () => {
    const [byId, byGpi, neither] = [madeInstance(), madeInstance(), madeInstance()]
    const clusters = [
      home(byId, { [tag.PatientID]: ['A-1'] }),
      linked('south', byGpi, { [tag.PatientID]: ['B-9'], ...mitra }),
      linked('west', neither, { [tag.PatientID]: ['C-3'] }),
    ]
    const { rows } = await queryOver(clusters)('PatientID=A-1&link.gpi=GPI-7')
    expect(uidsOf(rows).toSorted()).toEqual([byId.study, byGpi.study].toSorted())
    // An archive that matches by the patient ID would not show the other.
    expect(clusters[1]?.searches[0]?.constraints).toEqual([])
  })

  it('are not alternatives when one of them says nothing', async () => {
    const [mine, other] = [madeInstance(), madeInstance()]
    const clusters = [
      home(mine, { [tag.PatientID]: ['A-1'], ...mitra }),
      linked('south', other, { [tag.PatientID]: ['B-9'] }),
    ]
    for (const query of ['PatientID=*&link.gpi=GPI-7', 'PatientID=A-1&link.gpi=*']) {
      expect(uidsOf((await queryOver(clusters)(query)).rows)).toEqual([mine.study])
    }
  })
})

describe('the plan of a query', () => {
  const asked = (cluster: MemoryCluster) =>
    cluster.searches.filter(({ level }) => level === 'study').map((it: SearchRequest) => it.constraints)

  it('pushes to a third party only what it takes, and matches the rest itself', async () => {
    const [yes, no] = [madeInstance(), madeInstance()]
    const cardio = new MemoryCluster('cardio', { role: 'thirdParty' })
      .add(yes, { [tag.PatientID]: ['P'], [tag.StudyDescription]: ['ECHO'] })
      .add(no, { [tag.PatientID]: ['P'], [tag.StudyDescription]: ['ANGIO'] })
    const rules = { cardio: { keys: new Set<string>() } }
    const { rows, report } = await queryOver([cardio], { rules })('PatientID=P&StudyDescription=ECHO')
    expect(uidsOf(rows)).toEqual([yes.study])
    expect(asked(cardio)).toEqual([[{ path: [tag.PatientID], value: 'P' }]])
    expect(report.sources).toMatchObject([{ pushed: ['PatientID=P'], withheld: ['StudyDescription=ECHO'], rows: 1 }])
  })

  it('asks again without its optional keys a cluster that refuses them, and remembers', async () => {
    const cluster = linked('strict', madeInstance(), { [tag.PatientID]: ['P'], [tag.StudyDescription]: ['ECHO'] })
    const search = cluster.search.bind(cluster)
    cluster.search = async (request) => {
      if (request.constraints.some(({ path }) => path[0] === tag.StudyDescription)) {
        throw new ClusterError('strict', 'rejected', 'answers 400')
      }
      return search(request)
    }
    const query = queryOver([cluster])
    expect((await query('PatientID=P&StudyDescription=E*')).rows).toHaveLength(1)
    const { report } = await query('PatientID=P&StudyDescription=E*')
    expect(report.sources).toMatchObject([{ withheld: ['StudyDescription=E*'], outcome: 'ok' }])
  })

  it.each(['external', 'home', 'internal'] as const)(
    'asks for an %s caller only the clusters that answer it',
    async (audience) => {
      const [north, south] = [home(madeInstance()), linked('south', madeInstance())]
      const queries = new Map([['south', { internal: true, external: false }]])
      const { report, warnings } = await queryOver([north, south], { queries })('', { audience })
      const outcomes = Object.fromEntries(report.sources.map(({ cluster, outcome }) => [cluster, outcome]))
      expect(outcomes).toEqual(audience === 'internal' ? { north: 'ok', south: 'ok' } : { north: 'ok' })
      expect(south.searches).toHaveLength(audience === 'internal' ? 1 : 0)
      expect(warnings).toEqual([])
    },
  )

  it('skips a constrained location with its reason, in the report and as a warning', async () => {
    const rules = { south: { constrained: true } }
    const row = { [tag.PatientName]: ['ABC'], [tag.AccessionNumber]: ['1'], [tag.PatientID]: ['1'] }
    const search = queryOver([home(madeInstance(), row), linked('south', madeInstance(), row)], { rules })
    const { report, warnings } = await search('StudyDate=20240131')
    expect(report.sources).toMatchObject([{ cluster: 'north' }, { cluster: 'south', outcome: 'skipped' }])
    expect(warnings).toEqual([expect.stringMatching(/cluster south is asked only with/)])
    for (const narrow of ['PatientName=abc*', 'AccessionNumber=1', 'PatientID=1']) {
      expect((await search(narrow)).report.sources.every(({ outcome }) => outcome === 'ok')).toBe(true)
    }
  })
})

describe('an answer that lacks a cluster', () => {
  const setup = (partial: 'warn' | 'abort' = 'warn') => {
    const silent = linked('south', madeInstance())
    silent.faults.down = 'timed-out'
    return queryOver([home(madeInstance()), silent], {
      partial: { internal: 'warn', external: partial },
      index: { remember: () => undefined, countAt: async (cluster) => (cluster === 'south' ? 42 : undefined) },
    })
  }

  it('says so, and how many studies are known to be there', async () => {
    const { rows, warnings, report } = await setup()('')
    expect(rows).toHaveLength(1)
    expect(warnings).toEqual(['Results are incomplete: cluster south timed-out'])
    expect(report.sources).toMatchObject([{ outcome: 'ok' }, { cluster: 'south', outcome: 'timed-out', known: 42 }])
  })

  it('is an error for who wants all or nothing, or whose role does', async () => {
    const refusal = { code: 'bad-gateway', message: expect.stringContaining('cluster south timed-out') }
    await expect(setup()('partial=abort')).rejects.toMatchObject(refusal)
    await expect(setup('abort')('', { audience: 'external' })).rejects.toMatchObject(refusal)
    expect((await setup('abort')('partial=warn', { audience: 'external' })).rows).toHaveLength(1)
  })
})

describe('copies that a filter hid', () => {
  it('are asked for once, not with every page that is looked at again', async () => {
    const made = madeInstance()
    const [north, south] = [
      home(made, { [tag.PatientID]: ['P'] }),
      linked('south', madeInstance(), { [tag.PatientID]: ['Q'] }),
    ]
    const search = queryOver([north, south])
    for (let time = 0; time < 3; time++) await search('PatientID=P')
    const byUid = south.searches.filter(({ constraints }) => constraints[0]?.path[0] === tag.StudyInstanceUID)
    expect(byUid).toHaveLength(1)
  })

  it('of one caller are not shown from the pages of another', async () => {
    const many = new MemoryCluster('north', { role: 'home' })
    for (let index = 0; index < 5; index++) many.add(madeInstance())
    const search = queryOver([many])
    await search('limit=2', { name: 'one' })
    expect((await search('limit=2&offset=2', { name: 'two' })).report.resumed).toBe(false)
    expect((await search('limit=2&offset=2', { name: 'one' })).report.resumed).toBe(true)
  })
})

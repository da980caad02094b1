import { beforeAll, describe, expect, test } from 'vitest'
import { type Dataset, firstString, strings } from '../../src/dicom/dataset.ts'
import { linkTag } from '../../src/dicom/private-dictionary.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { QueryReport } from '../../src/query/report.ts'
import { federatedStudies, filesOf } from '../support/federated-studies.ts'
import { disposedAfterAll, type Federation, startFederation } from '../support/federation.ts'
import { inOrder, uidsOf } from '../support/list-cluster.ts'
import { orthancAvailable } from '../support/orthanc.ts'

const content = federatedStudies()
const { split, single, made } = content
const studies = [...new Set(Object.values(made).flatMap((all) => all.map(({ study }) => study)))]

describe.skipIf(!orthancAvailable)('linked queries over three archives', () => {
  const open = disposedAfterAll()
  let federation: Federation
  const query = (search: string) => federation.datasets(`/dicom-web/studies?${search}`)
  const link = `/link/v1/studies/${split.study}`

  const patch = (change: object, headers: Record<string, string> = {}) =>
    federation.ask(link, {
      method: 'PATCH',
      body: JSON.stringify(change),
      headers: { 'content-type': 'application/merge-patch+json', ...headers },
    })

  beforeAll(async () => {
    federation = open.use(
      await startFederation({ content: filesOf(made), config: { limits: { maxRowsPerCluster: 3 } } }),
    )
  })

  test('what was told of a study is a column and a constraint, for the whole study', async () => {
    const before = await query('link.reportStatus=DICTATED')
    expect(before).toEqual([])
    const answer = await patch({ reportStatus: 'DICTATED', comments: [{ text: 'ask for the priors' }] })
    expect(answer.status, answer.text()).toBe(200)
    const rows = await query('link.reportStatus=DICTATED&includefield=link')
    expect(uidsOf(rows)).toEqual([split.study])
    const [row = {}] = rows
    expect(strings(row, tag.ModalitiesInStudy)).toEqual(['CT', 'MR'])
    expect(firstString(row, linkTag.comments)).toContain('ask for the priors')
    const sources = (row[linkTag.sources]?.Value ?? []) as Dataset[]
    expect(sources.map((item) => firstString(item, linkTag.cluster))).toEqual(['north', 'south'])
    expect(uidsOf(await query('StudyComments=*priors*'))).toEqual([split.study])
  })

  test('a report does not go back, nor over a version that was not seen', async () => {
    const { headers } = await federation.ask(link)
    expect((await patch({ reportStatus: 'APPROVED' }, { 'if-match': '"99"' })).status).toBe(412)
    expect((await patch({ reportStatus: 'APPROVED' }, { 'if-match': headers.get('etag') ?? '' })).status).toBe(200)
    expect((await patch({ reportStatus: 'NEW' })).status).toBe(409)
    expect((await patch({ reportStatus: 'NEW', force: true })).status).toBe(200)
    expect(
      (
        await federation.ask('/link/v1/studies/1.2.3', {
          method: 'PATCH',
          body: '{"verified":"VERIFIED"}',
          headers: { 'content-type': 'application/json' },
        })
      ).status,
    ).toBe(404)
  })

  test('every study has a specialty from the tables, also of archives that know nothing of it', async () => {
    const rows = await query('includefield=link')
    expect(uidsOf(rows).toSorted()).toEqual(studies.toSorted())
    for (const row of rows) expect(strings(row, linkTag.specialty)).not.toEqual([])
    const chest = await query('link.specialty=CHEST')
    expect(uidsOf(chest)).toContain(single.chest.study)
  })

  test('archives that give few rows at a time are walked in order to their end, whatever the page', async () => {
    const all = await query('')
    const expected = inOrder(
      all.map((row) => ({ uid: uidsOf([row])[0] ?? '', date: firstString(row, tag.StudyDate) ?? '' })),
    )
    expect(uidsOf(all)).toEqual(expected)
    for (const limit of [1, 4]) {
      const walked: string[] = []
      for (let offset = 0; offset < studies.length; offset += limit) {
        walked.push(...uidsOf(await query(`limit=${limit}&offset=${offset}`)))
      }
      expect(walked).toEqual(expected)
    }
  })

  test('how an answer came about is told, and each cluster is in the header of the answer itself', async () => {
    const answer = await federation.ask('/link/v1/explain?PatientName=FED*&link.reportStatus=APPROVED')
    const report = answer.json() as QueryReport
    expect(report.sources.map(({ cluster, outcome }) => [cluster, outcome])).toEqual([
      ['north', 'ok'],
      ['cardio', 'ok'],
      ['south', 'ok'],
    ])
    expect(report.sources[0]?.pushed).toEqual(['PatientName=FED*'])
    expect(report.rounds[0]?.clusters).toEqual(['north', 'cardio', 'south'])
    const { headers } = await federation.ask('/dicom-web/studies?PatientID=FED-1')
    expect(headers.get('link-sources')).toMatch(
      /^"north";role=home;outcome=ok;rows=\d+;ms=\d+, "cardio";role=thirdParty;/,
    )
  })

  test('a constraint that a third party need not take is matched here', async () => {
    const report = (await federation.ask('/link/v1/explain?StudyDescription=CT*')).json() as QueryReport
    expect(report.sources.find(({ cluster }) => cluster === 'cardio')?.withheld).toEqual(['StudyDescription=CT*'])
  })

  test('as XML each study is a part with its keywords', async () => {
    const answer = await federation.ask(`/dicom-web/studies?StudyInstanceUID=${split.study}&includefield=link`, {
      headers: { accept: 'multipart/related; type="application/dicom+xml"' },
    })
    const [part] = answer.parts()
    expect(part?.bytes.toString()).toMatch(/keyword="PatientName"[\s\S]*privateCreator="DICOMWEB LINK 1.0"/)
  })

  test('bad input is refused by the name of the parameter', async () => {
    for (const [search, name] of [
      ['link.reportStatus=DONE', 'link.reportStatus'],
      ['link.nothing=1', 'link.nothing'],
      ['00771001=NEW', '00771001'],
      ['includefield=Nonsense', 'includefield'],
      ['partial=maybe', 'partial'],
      ['StudyDate=2024-01-01', 'StudyDate'],
      ['0020000=1', '0020000'],
    ] as const) {
      const answer = await federation.ask(`/dicom-web/studies?${search}`)
      expect(answer.status, search).toBe(400)
      expect((answer.json() as { detail: string }).detail, search).toMatch(name)
    }
  })

  test('an answer that lacks an archive says how much, or is none when the client wants all', async () => {
    await federation.cardio.stop()
    const partial = await federation.ask('/dicom-web/studies?ModalitiesInStudy=CT')
    expect(partial.status).toBe(200)
    expect(partial.headers.get('link-sources')).toMatch(/"cardio";role=thirdParty;outcome=unreachable;known=\d+/)
    const refused = await federation.ask('/dicom-web/studies?ModalitiesInStudy=CT&partial=abort')
    expect(refused.status).toBe(502)
    expect((refused.json() as { detail: string }).detail).toContain('cluster cardio unreachable')
  })
})

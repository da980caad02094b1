import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SearchConstraint, SearchRequest } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { firstString } from '../../src/dicom/dataset.ts'
import { linkTag } from '../../src/dicom/private-dictionary.ts'
import { tag } from '../../src/dicom/tags.ts'
import { type FakeArchive, json, startFakeArchive, status } from '../support/fake-archive.ts'
import { clusterAt, failureOf, forever, uid } from './setup.ts'

const anyStudy: SearchRequest = { level: 'study', constraints: [], includeFields: [], limit: 10 }
const studyRow = (study: string) => ({ [tag.StudyInstanceUID]: { vr: 'UI', Value: [study] } })
const more = { Warning: '299 archive: There are 7 additional results that can be requested' }

describe('a search in an archive', () => {
  let archive: FakeArchive
  let cluster: PooledCluster

  beforeEach(async () => {
    archive = await startFakeArchive()
    archive.on('/dicom-web/', json([]))
    cluster = clusterAt(archive.dicomweb)
  })
  afterEach(async () => {
    await cluster.close()
    await archive.close()
  })

  const asked = async (request: Partial<SearchRequest>): Promise<string[]> => {
    await cluster.search({ ...anyStudy, ...request }, forever())
    return archive.seen.map(({ url }) => url.replace('/dicom-web', ''))
  }
  const key = (path: string, value: string): SearchConstraint => ({ path: path.split('.'), value })

  it.each([
    [{ level: 'study' }, '/studies'],
    [{ level: 'series' }, '/series'],
    [{ level: 'instance' }, '/instances'],
    [{ level: 'series', study: uid('1.2') }, '/studies/1.2/series'],
    [{ level: 'instance', study: uid('1.2') }, '/studies/1.2/instances'],
    [{ level: 'instance', study: uid('1.2'), series: uid('1.3') }, '/studies/1.2/series/1.3/instances'],
  ] as const)('of %o asks %s', async (request, path) => {
    expect(await asked(request)).toEqual([`${path}?limit=11`])
  })

  it.each([
    ['a text with blanks and commas', key('00081030', 'CT CHEST, ABDOMEN'), '00081030=CT*CHEST*ABDOMEN'],
    ['a text beyond ASCII', key('00081030', 'Schädel'), '00081030=Sch*del'],
    ['a range of dates', key('00080020', '20240101-20241231'), '00080020=20240101-20241231'],
    ['a list of UIDs', key('0020000D', '1.2\\1.3'), '0020000D=1.2,1.3'],
    ['an id that looks like a list of UIDs', key('00100020', '1.2,1.3'), '00100020=1.2*1.3'],
    ['a number, which archives compare as text', key('00200013', '07'), '00200013='],
    ['a key in a sequence', key('00400275.00400009', 'STEP 1'), '00400275.00400009=STEP*1'],
    ['what would end the value', key('00080030', '10&limit=0#'), '00080030=10%26limit=0%23'],
  ])('writes %s so that any archive finds at least what is wanted', async (_what, constraint, written) => {
    expect(await asked({ constraints: [constraint] })).toEqual([`/studies?${written}&limit=11`])
  })

  it('asks by the date alone where date and time are one range, which archives match as two', async () => {
    const night = [key('00080020', '20240101-20240102'), key('00080030', '200000-060000')]
    expect(await asked({ constraints: night })).toEqual(['/studies?00080020=20240101-20240102&limit=11'])
  })

  it('asks by date and time where they are matched each by itself', async () => {
    const mornings = [key('00080020', '20240101'), key('00080030', '080000-120000')]
    expect(await asked({ constraints: mornings })).toEqual([
      '/studies?00080020=20240101&00080030=080000-120000&limit=11',
    ])
  })

  it('names each field in a parameter of its own', async () => {
    expect(await asked({ includeFields: ['00081030', '00201208'] })).toEqual([
      '/studies?includefield=00081030&includefield=00201208&limit=11',
    ])
  })

  it('for more UIDs than fit into an address asks in turns and puts the answers together', async () => {
    const uids = Array.from({ length: 250 }, (_, index) => `1.2.826.0.1.3680043.8.498.${1_000_000 + index}`)
    archive.on('/studies?', (request, response) => {
      const listed = new URL(request.url ?? '', 'http://x').searchParams.get('0020000D')?.split(',') ?? []
      json(listed.map(studyRow))(request, response)
    })
    const constraints = [key('0020000D', uids.join(',')), key('00080060', 'CT')]
    const answer = await cluster.search({ ...anyStudy, constraints, limit: 1000 }, forever())
    expect(answer.rows.map((row) => firstString(row, tag.StudyInstanceUID))).toEqual(uids)
    expect(answer.truncated).toBe(false)
    expect(archive.seen.length).toBeGreaterThan(2)
    for (const { url } of archive.seen) {
      expect(url.length).toBeLessThan(8000)
      expect(url).toContain('00080060=CT')
    }
  })

  it('leaves out what makes the address too long rather than failing', async () => {
    const urls = await asked({ constraints: [key('00081030', 'x'.repeat(9000)), key('00080060', 'CT')] })
    expect(urls).toEqual(['/studies?00080060=CT&limit=11'])
  })

  it('asks for the next rows while the archive says that there are more', async () => {
    archive.on('/studies?limit=11', json([studyRow('1.1'), studyRow('1.2')], more))
    archive.on('/studies?limit=9&offset=2', json([studyRow('1.3')]))
    const answer = await cluster.search(anyStudy, forever())
    expect(answer.rows).toEqual(['1.1', '1.2', '1.3'].map(studyRow))
    expect(answer.truncated).toBe(false)
  })

  it('notices an archive that gives the same page again and again', async () => {
    archive.on('/studies', json([studyRow('1.1'), studyRow('1.2')], more))
    const answer = await cluster.search(anyStudy, forever())
    expect(answer.rows).toHaveLength(2)
    expect(answer.truncated).toBe(true)
    expect(archive.seen).toHaveLength(2)
  })

  it('is truncated exactly when there is a row beyond the limit', async () => {
    const rows = Array.from({ length: 11 }, (_, index) => studyRow(`1.${index}`))
    archive.on('/studies', json(rows))
    expect(await cluster.search({ ...anyStudy, limit: 10 }, forever())).toEqual({
      rows: rows.slice(0, 10),
      truncated: true,
    })
    expect((await cluster.search({ ...anyStudy, limit: 11 }, forever())).truncated).toBe(false)
  })

  it('for undated studies asks for all, page by page, and counts only those without a date', async () => {
    const dated = (study: string) => ({ ...studyRow(study), [tag.StudyDate]: { vr: 'DA', Value: ['20240131'] } })
    archive.on('/studies', json([dated('1.1'), studyRow('1.2'), dated('1.3')], more))
    archive.on('/studies?00080060=CT&offset=3', json([dated('1.4'), dated('1.5')], more))
    archive.on('/studies?00080060=CT&offset=5', json([{ ...studyRow('1.6'), [tag.StudyDate]: { vr: 'DA' } }]))
    const constraints = [key('00080060', 'CT')]
    const answer = await cluster.search({ ...anyStudy, constraints, undated: true, limit: 2 }, forever())
    expect(answer.rows.map((row) => firstString(row, tag.StudyInstanceUID))).toEqual(['1.2', '1.6'])
    expect(answer.truncated).toBe(false)
    expect(archive.seen).toHaveLength(3)
    expect((await cluster.search({ ...anyStudy, constraints, undated: true, limit: 1 }, forever())).truncated).toBe(
      true,
    )
  })

  it('for undated studies notices an archive that gives the same dated page again and again', async () => {
    archive.on('/studies', json([{ ...studyRow('1.1'), [tag.StudyDate]: { vr: 'DA', Value: ['20240131'] } }], more))
    const answer = await cluster.search({ ...anyStudy, undated: true }, forever())
    expect(answer).toEqual({ rows: [], truncated: true })
    expect(archive.seen).toHaveLength(2)
  })

  it('below a study the archive does not know finds nothing', async () => {
    archive.on('/studies/1.2/series', status(404))
    expect((await cluster.search({ ...anyStudy, level: 'series', study: uid('1.2') }, forever())).rows).toEqual([])
  })

  it('for all instances, where an archive does not offer it, is unsupported rather than empty', async () => {
    archive.on('/instances', status(404))
    const failure = await failureOf(cluster.search({ ...anyStudy, level: 'instance' }, forever()))
    expect(failure.reason).toBe('unsupported')
  })

  it('keeps attributes that are well formed and leaves out the others', async () => {
    archive.on(
      '/studies',
      json([
        {
          '0020000d': { vr: 'UI', Value: ['1.2'] },
          '00100010': { Value: ['no vr'] },
          '00080060': 'CT',
          '00080061': { vr: 'CS', Value: 'CT' },
          note: { vr: 'LO' },
          '00400275': { vr: 'SQ', Value: [{ '00400009': { vr: 'SH', Value: ['1'] }, other: 1 }] },
        },
      ]),
    )
    expect((await cluster.search(anyStudy, forever())).rows).toEqual([
      {
        '0020000D': { vr: 'UI', Value: ['1.2'] },
        '00400275': { vr: 'SQ', Value: [{ '00400009': { vr: 'SH', Value: ['1'] } }] },
      },
    ])
  })

  it('for studies without a date reads all there are and keeps those, the old forms of a date too', async () => {
    const dated = (study: string, ...Value: string[]) => ({ ...studyRow(study), [tag.StudyDate]: { vr: 'DA', Value } })
    archive.on('/studies', json([dated('1.1', '20240101'), dated('1.2'), studyRow('1.3'), dated('1.4', '2024.01.01')]))
    const { rows, truncated } = await cluster.search({ ...anyStudy, limit: 3, undated: true }, forever())
    expect(rows.map((row) => firstString(row, tag.StudyInstanceUID))).toEqual(['1.2', '1.3', '1.4'])
    expect(truncated).toBe(false)
    expect(archive.seen[0]?.url).toBe('/dicom-web/studies?')
  })

  it('asks a peer for link attributes, and by their names', async () => {
    const link = [{ path: [linkTag.gpi], value: 'A&B 7' }]
    expect(await asked({ link })).toEqual(['/studies?includefield=link&link.gpi=A%26B%207&limit=11'])
  })
})

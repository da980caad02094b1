import { describe, expect, it } from 'vitest'
import { firstNumber, firstString, strings } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { queryOver } from '../support/query.ts'

function setup(clusters: MemoryCluster[], constrained: string[] = [], clock = new FakeClock()) {
  const ask = queryOver(clusters, {
    clock,
    rules: Object.fromEntries(constrained.map((id) => [id, { constrained: true }])),
  })
  return (search: string, level: 'study' | 'series' | 'instance' = 'study') => ask(search, { level })
}

const studies = (rows: readonly object[]) => rows.map((row) => firstString(row as never, tag.StudyInstanceUID))

const one = (id: string, made: MadeInstance = madeInstance(), row = {}) => new MemoryCluster(id).add(made, row)

describe('a query', () => {
  it('finds the studies of all clusters, each with addresses of the proxy only', async () => {
    const made = [madeInstance(), madeInstance()]
    const clusters = made.map((it, index) =>
      one(`c${index}`, it, { [tag.RetrieveURL]: ['http://secret:8042/x'], [tag.RetrieveAETitle]: ['SECRET'] }),
    )
    const { rows, warnings } = await setup(clusters)('')
    expect(studies(rows).toSorted()).toEqual(made.map(({ study }) => study).toSorted())
    expect(JSON.stringify(rows)).not.toMatch(/secret/i)
    expect(firstString(rows[0] ?? {}, tag.RetrieveURL)).toMatch(`https://proxy.example/dicom-web/studies/`)
    expect(warnings).toEqual([])
  })

  it('whose filter matches one half of a study answers with the whole study', async () => {
    const study = madeUid()
    const ct = one('north', madeInstance({ study }), { [tag.Modality]: ['CT'] })
    const mr = one('south', madeInstance({ study }), { [tag.Modality]: ['MR'] })
    const { rows } = await setup([ct, mr])('ModalitiesInStudy=CT')
    expect(rows.map((row) => strings(row, tag.ModalitiesInStudy))).toEqual([['CT', 'MR']])
  })

  describe('of a study whose archive describes it by a report without a description', () => {
    const study = madeUid()
    const described = { [tag.StudyDescription]: ['CT CHEST'] }
    const archive = () => one('north', madeInstance({ study })).add(madeInstance({ study }), described)
    const descriptions = (rows: readonly object[]) => rows.map((row) => firstString(row as never, tag.StudyDescription))

    it('shows the description that its other series have, asking for it once', async () => {
      const cluster = archive()
      const search = setup([cluster])
      expect(descriptions((await search('includefield=StudyDescription')).rows)).toEqual(['CT CHEST'])
      expect(descriptions((await search('includefield=StudyDescription')).rows)).toEqual(['CT CHEST'])
      expect(cluster.searches.map(({ level }) => level)).toEqual(['study', 'series', 'study'])
    })

    it('finds it by the description, beside others and alone', async () => {
      const other = one('south', madeInstance(), described)
      expect(studies((await setup([archive()])('StudyDescription=CT*')).rows)).toEqual([study])
      expect((await setup([archive(), other])('StudyDescription=CT*')).rows).toHaveLength(2)
      expect((await setup([archive(), other])('StudyDescription=MR*')).rows).toEqual([])
    })

    it('asks nothing more when nobody wants to see it', async () => {
      const cluster = archive()
      await setup([cluster])('')
      expect(cluster.searches).toHaveLength(1)
    })

    it('says so when the cluster fails at that question', async () => {
      const cluster = archive()
      cluster.faults.uncounted = true
      const other = one('south', madeInstance(), described)
      const { rows, warnings } = await setup([cluster, other])('StudyDescription=CT*')
      expect(rows).toHaveLength(1)
      expect(warnings).toContain('Results are incomplete: cluster north timed-out')
    })
  })

  it('counts the distinct instances of copies that differ', async () => {
    const study = madeUid()
    const [a, b, c] = [madeInstance({ study }), madeInstance({ study }), madeInstance({ study })]
    const [north, south] = [one('north', a).add(b), one('south', b).add(c).add(madeInstance({ study }))]
    const { rows } = await setup([north, south])('')
    expect(rows.map((row) => firstNumber(row, tag.NumberOfStudyRelatedInstances))).toEqual([4])
  })

  it('counts a study split into halves of the same size as the union, asking each cluster once for all such studies', async () => {
    const clusters = [new MemoryCluster('north'), new MemoryCluster('south')]
    for (let index = 0; index < 3; index++) {
      const study = madeUid()
      for (const cluster of clusters) cluster.add(madeInstance({ study }))
    }
    const search = setup(clusters)
    const { rows } = await search('')
    expect(rows.map((row) => firstNumber(row, tag.NumberOfStudyRelatedInstances))).toEqual([2, 2, 2])
    expect(rows.map((row) => firstNumber(row, tag.NumberOfStudyRelatedSeries))).toEqual([2, 2, 2])
    await search('')
    for (const { searches } of clusters)
      expect(searches.map(({ level }) => level)).toEqual(['study', 'series', 'study'])
  })

  it('counts both halves of a study that are of one size', async () => {
    const study = madeUid()
    const [north, south] = [one('north', madeInstance({ study })), one('south', madeInstance({ study }))]
    const { rows } = await setup([north, south])('')
    expect(rows.map((row) => firstNumber(row, tag.NumberOfStudyRelatedSeries))).toEqual([2])
    expect(rows.map((row) => firstNumber(row, tag.NumberOfStudyRelatedInstances))).toEqual([2])
  })

  it('asks once for what the copies of a study are made of, until a cluster tells another count', async () => {
    const [study, series] = [madeUid(), madeUid()]
    const made = () => madeInstance({ study, series })
    const [north, south] = [one('north', made()).add(made()), one('south', made())]
    const search = setup([north, south])
    const count = async () => (await search('')).rows.map((row) => firstNumber(row, tag.NumberOfStudyRelatedInstances))
    expect([await count(), await count()]).toEqual([[3], [3]])
    expect(south.searches.map(({ level }) => level)).toEqual(['study', 'series', 'instance', 'study'])
    south.add(made()).add(made())
    expect(await count()).toEqual([5])
  })

  it('says so when the counts of a study held twice cannot be had', async () => {
    const study = madeUid()
    const [north, south] = [
      one('north', madeInstance({ study })),
      one('south', madeInstance({ study })).add(madeInstance({ study })),
    ]
    south.faults.uncounted = true
    const { rows, warnings } = await setup([north, south])('')
    expect(rows.map((row) => firstNumber(row, tag.NumberOfStudyRelatedInstances))).toEqual([2])
    expect(warnings).toEqual([expect.stringContaining('The counts of 1 rows are the largest')])
  })

  it('names each cluster that is missing from the answer, and fails when all are', async () => {
    const [up, down] = [one('north'), one('south')]
    down.faults.down = 'failed'
    expect((await setup([up, down])('')).warnings).toEqual(['Results are incomplete: cluster south failed'])
    await expect(setup([down])('')).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('comes at the deadline when a cluster hangs, and is a timeout when all do', async () => {
    const clock = new FakeClock()
    const [up, hung] = [one('north'), one('south')]
    hung.faults.hung = true
    const pending = setup([up, hung], [], clock)('')
    await turn()
    await clock.advance(hung.timeoutMs)
    expect((await pending).warnings).toEqual(['Results are incomplete: cluster south timed-out'])
    const alone = setup([hung], [], clock)('')
    const refused = expect(alone).rejects.toMatchObject({ code: 'timed-out' })
    await turn()
    await clock.advance(hung.timeoutMs)
    await refused
  })

  it('leaves out rows that do not match by the standard, whatever the archive takes for a match', async () => {
    const upper = one('north', madeInstance(), { [tag.PatientID]: ['ABC'] }).add(madeInstance(), {
      [tag.PatientID]: ['abc'],
    })
    const { rows } = await setup([upper])('PatientID=abc')
    expect(rows.map((row) => firstString(row, tag.PatientID))).toEqual(['abc'])
  })

  it('leaves out, with a warning, a cluster whose rows say nothing about a constraint', async () => {
    const silent = one('north')
    const able = one('south', madeInstance(), { '00104000': ['deaf'] })
    const { rows, warnings } = await setup([silent, able])('PatientComments=deaf')
    expect(rows).toHaveLength(1)
    expect(warnings).toEqual(['Results are incomplete: cluster north cannot match by 00104000'])
  })

  it('is a failure, not an empty list, when no cluster can match by it', async () => {
    const search = setup([one('north', madeInstance(), { [tag.ModalitiesInStudy]: [] })])
    await expect(search('PatientComments=deaf')).rejects.toMatchObject({ code: 'bad-gateway' })
    await expect(search('AccessionNumber=A1')).rejects.toMatchObject({ code: 'bad-gateway' })
  })

  it('keeps a series that two clusters file under two studies as two rows', async () => {
    const series = madeUid()
    const anna = one('north', madeInstance({ series }), { [tag.PatientName]: [{ Alphabetic: 'Anna' }] })
    const bob = one('south', madeInstance({ series }), { [tag.PatientName]: [{ Alphabetic: 'Bob' }] })
    const { rows } = await setup([anna, bob])('', 'series')
    expect(rows.map((row) => firstString(row, tag.PatientName)).toSorted()).toEqual(['Anna', 'Bob'])
  })

  it('asks a constrained location only with a key that narrows', async () => {
    const named = { [tag.PatientName]: [{ Alphabetic: 'Other' }] }
    const [north, cardio] = [one('north', madeInstance(), named), one('cardio', madeInstance(), named)]
    const search = setup([north, cardio], ['cardio'])
    expect((await search('')).warnings).toEqual([expect.stringContaining('cluster cardio is asked only with')])
    expect((await search('PatientName=AB*')).warnings).toHaveLength(1)
    expect((await search(`StudyInstanceUID=${madeUid()}`)).warnings).toEqual([])
  })

  it('walked page by page yields each study once and says how many remain', async () => {
    const cluster = new MemoryCluster('north')
    for (let index = 0; index < 25; index++) cluster.add(madeInstance())
    const search = setup([cluster])
    const pages = await Promise.all([0, 10, 20].map((offset) => search(`limit=10&offset=${offset}`)))
    expect(new Set(pages.flatMap(({ rows }) => studies(rows))).size).toBe(25)
    expect(pages[0]?.warnings).toEqual(['There are 15 additional results that can be requested'])
    expect(pages[2]?.warnings).toEqual([])
  })

  it('says which keys mean nothing at its level', async () => {
    const { warnings } = await setup([one('north')])('Modality=CT')
    expect(warnings).toEqual(['Rows of this level cannot be matched by Modality; it was ignored'])
  })

  it('that asks for fuzzy matching is told that it is literal', async () => {
    const { warnings } = await setup([one('north')])('fuzzymatching=true')
    expect(warnings).toEqual([
      'The fuzzymatching parameter is not supported. Only literal matching has been performed.',
    ])
  })
})

import { describe, expect, it } from 'vitest'
import { tag } from '../../src/dicom/tags.ts'
import { inOrder, ListCluster, type ListedStudy, seeded, uidsOf } from '../support/list-cluster.ts'
import { queryOver } from '../support/query.ts'

const random = seeded(7)

/** Studies of some years before the fake clock's time, in no order; some have no date. */
function manyStudies(count: number, options: { undated?: number; days?: number } = {}): ListedStudy[] {
  const { undated = 0, days = 3650 } = options
  const now = Date.UTC(2026, 0, 1)
  return Array.from({ length: count }, (_, index) => {
    const ms = now - Math.floor(random() ** 2 * days) * 86_400_000
    const date = new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')
    return { uid: `1.2.${index + 1}.${Math.floor(random() * 1e9)}`, date: index < undated ? '' : date }
  }).toSorted(() => random() - 0.5)
}

/** Spreads studies over archives, a fifth of them in two. */
function archivesOf(studies: readonly ListedStudy[], ids = ['a', 'b', 'c']): ListCluster[] {
  const clusters = ids.map((id, index) => new ListCluster(id, { role: index === 0 ? 'home' : 'linked' }))
  for (const study of studies) {
    const at = Math.floor(random() * clusters.length)
    clusters[at]?.studies.push(study)
    if (random() < 0.2) clusters[(at + 1) % clusters.length]?.studies.push(study)
  }
  return clusters
}

const clock = { now: () => Date.UTC(2026, 0, 2), sleep: () => new Promise<never>(() => undefined) }

describe('a worklist over archives of 100,000 studies in no order', () => {
  const studies = manyStudies(100_000, { undated: 50 })
  const clusters = archivesOf(studies)
  const search = queryOver(clusters, { clock, maxRowsPerCluster: 10_000, maxResults: 5000 })
  const expected = inOrder(studies)

  it('begins with exactly the newest, having asked for few rows of each', async () => {
    for (const limit of [1, 101, 500]) {
      const { rows, warnings } = await search(`limit=${limit}`)
      expect(uidsOf(rows)).toEqual(expected.slice(0, limit))
      expect(warnings).toEqual([expect.stringMatching(/^There are at least \d+ additional results/)])
    }
    const searches = clusters.flatMap((cluster) => cluster.searches).filter(({ level }) => level === 'study')
    expect(searches.every(({ limit }) => limit <= 10_000)).toBe(true)
  })

  it('is walked to its end with each study once, the undated last', async () => {
    const walked: string[] = []
    const search = queryOver(clusters, { clock, maxRowsPerCluster: 10_000, maxResults: 5000, maxSnapshotRows: 200_000 })
    for (let offset = 0; offset < studies.length; offset += 5000) {
      const { rows } = await search(`limit=5000&offset=${offset}`)
      walked.push(...uidsOf(rows))
    }
    expect(walked).toEqual(expected)
  })

  it('keeps to its pages while studies arrive, which a fresh search shows', async () => {
    const search = queryOver(clusters, { clock, maxRowsPerCluster: 10_000 })
    const first = uidsOf((await search('limit=50')).rows)
    const newer: ListedStudy = { uid: '1.2.999999999.1', date: '20260102' }
    clusters[1]?.studies.unshift(newer)
    const second = await search('limit=50&offset=50')
    expect([...first, ...uidsOf(second.rows)]).toEqual(expected.slice(0, 100))
    expect(second.report.resumed).toBe(true)
    expect(uidsOf((await search('limit=50')).rows)).toContain(newer.uid)
    clusters[1]?.studies.shift()
  })

  it('finds within a range of dates what is there, page after page', async () => {
    const inRange = inOrder(studies.filter(({ date }) => date >= '20200101' && date <= '20241231'))
    const walked: string[] = []
    for (let offset = 0; offset < 3000; offset += 1000) {
      walked.push(...uidsOf((await search(`StudyDate=20200101-20241231&limit=1000&offset=${offset}`)).rows))
    }
    expect(walked).toEqual(inRange.slice(0, 3000))
  })

  it('asks the second time only for the days it needs', async () => {
    await search('limit=101')
    for (const { searches } of clusters) searches.length = 0
    const { report } = await search('limit=101')
    expect(report.rounds.length).toBeLessThanOrEqual(2)
    expect(report.rounds.every(({ asked }) => /^\d{8}-/.test(asked))).toBe(true)
  })
})

describe('the order of an answer', () => {
  it('is the same for pages of any size', async () => {
    const studies = manyStudies(3000, { undated: 40, days: 900 })
    const clusters = archivesOf(studies)
    for (const limit of [7, 100, 1000]) {
      const search = queryOver(clusters, { clock, maxRowsPerCluster: 600, maxResults: 5000 })
      const walked: string[] = []
      for (let offset = 0; offset < studies.length; offset += limit) {
        walked.push(...uidsOf((await search(`limit=${limit}&offset=${offset}`)).rows))
      }
      expect(walked).toEqual(inOrder(studies))
    }
  })

  it('holds when an archive takes no notice of dates', async () => {
    const studies = manyStudies(900, { days: 300 })
    const [good, careless] = [new ListCluster('good'), new ListCluster('careless', { ignores: [tag.StudyDate] })]
    for (const [index, study] of studies.entries()) (index % 2 ? good : careless).studies.push(study)
    const search = queryOver([good, careless], { clock, maxRowsPerCluster: 700 })
    const { rows } = await search('limit=50')
    expect(uidsOf(rows)).toEqual(inOrder(studies).slice(0, 50))
  })

  it('says that an archive has more than can be taken on one day', async () => {
    const crowded = new ListCluster('crowded')
    for (let index = 0; index < 800; index++) crowded.studies.push({ uid: `1.2.${index + 1}`, date: '20251224' })
    const { warnings, rows } = await queryOver([crowded], { clock, maxRowsPerCluster: 600 })('limit=5')
    expect(rows).toHaveLength(5)
    expect(warnings).toContain('Results are incomplete: cluster crowded has more than 600 rows')
  })

  it('loses nothing to a client that leaves while more is being found', async () => {
    const studies = manyStudies(2000, { days: 900 })
    const clusters = archivesOf(studies)
    const search = queryOver(clusters, { clock, maxRowsPerCluster: 700, maxResults: 5000 })
    const first = uidsOf((await search('limit=50')).rows)
    const [slow] = clusters as [ListCluster]
    const [answer, leaving] = [slow.search.bind(slow), new AbortController()]
    let asked = 0
    slow.search = async (request) => {
      if (request.level === 'study' && ++asked === 2) leaving.abort(new Error('left'))
      return answer(request)
    }
    await expect(search('limit=900&offset=50', { signal: leaving.signal })).rejects.toThrow('left')
    const rest = uidsOf((await search('limit=5000&offset=50')).rows)
    expect([...first, ...rest]).toEqual(inOrder(studies))
  })

  it.each(['00010101-', '-00500101', '00010101-20991231'])('is found within %s too, and ends', async (range) => {
    const studies = manyStudies(900, { days: 300 })
    const clusters = archivesOf(studies)
    const search = queryOver(clusters, { clock, maxRowsPerCluster: 250, maxResults: 5000 })
    const expected = range.startsWith('-') ? [] : inOrder(studies)
    expect(uidsOf((await search(`StudyDate=${range}`)).rows)).toEqual(expected)
  })

  it('is an error, not an empty list, when the only archive fails on the way', async () => {
    const [archive] = archivesOf(manyStudies(1500, { days: 900 }), ['a']) as [ListCluster]
    const search = queryOver([archive], { clock, maxRowsPerCluster: 700 })
    await search('limit=10')
    archive.down = 'unreachable'
    await expect(search('limit=100&offset=900')).rejects.toMatchObject({ code: 'unavailable' })
    await expect(search('limit=10')).rejects.toMatchObject({ code: 'unavailable' })
    archive.down = undefined
    expect((await search('limit=100&offset=900')).rows).toHaveLength(100)
  })

  it('comes to an end soon where the studies lie close together, long ago', async () => {
    const archive = new ListCluster('a')
    for (let index = 0; index < 1200; index++) {
      archive.studies.push({ uid: `1.2.${index + 1}`, date: index % 2 ? '20240110' : '20240111' })
    }
    const { rows, report } = await queryOver([archive], { clock, maxRowsPerCluster: 700 })('limit=5')
    expect(rows).toHaveLength(5)
    expect(report.rounds.length).toBeLessThan(20)
  })

  it('is not walked beyond what is kept', async () => {
    const search = queryOver([new ListCluster('a')], { clock, maxSnapshotRows: 100 })
    await expect(search('offset=101')).rejects.toMatchObject({ code: 'bad-request', message: /^offset:/ })
  })

  it('goes on without an archive that dies between pages, and says so', async () => {
    const studies = manyStudies(2000, { days: 900 })
    const clusters = archivesOf(studies)
    const search = queryOver(clusters, { clock, maxRowsPerCluster: 700 })
    const first = await search('limit=100')
    const [, , dying] = clusters
    if (dying) dying.down = 'unreachable'
    const later = await search('limit=100&offset=900')
    expect(first.warnings.join()).not.toContain('cluster c')
    expect(later.warnings).toContain('Results are incomplete: cluster c unreachable')
    expect(later.rows.length).toBeGreaterThan(0)
  })
})

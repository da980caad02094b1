import { describe, expect, test } from 'vitest'
import type { SearchAnswer, SearchRequest } from '../../src/clusters/cluster.ts'
import { ClusterError, type FailureReason } from '../../src/core/outcome.ts'
import { tag } from '../../src/dicom/tags.ts'
import { walkStudies } from '../../src/mappings/walk.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { ListCluster } from '../support/list-cluster.ts'

const signal = new AbortController().signal

/** Goes to the end, and joins what the steps said. */
async function walk(cluster: ListCluster, maxRows = 100) {
  const steps = await Array.fromAsync(walkStudies(cluster, { maxRows, clock: new FakeClock(), signal }))
  return {
    studies: steps.flatMap(({ studies }) => studies),
    gaps: steps.flatMap(({ gaps }) => gaps),
    progress: steps.map(({ progress }) => progress),
  }
}

/** An archive of studies with these dates. */
function archive(dates: readonly string[], Kind: typeof ListCluster = ListCluster): ListCluster {
  const cluster = new Kind('north')
  for (const [at, date] of dates.entries()) cluster.studies.push({ uid: `1.2.${at}`, date })
  return cluster
}

const uids = (count: number) => Array.from({ length: count }, (_, at) => `1.2.${at}`)
const days = (count: number, month = '202301') =>
  Array.from({ length: count }, (_, day) => `${month}${String(day + 1).padStart(2, '0')}`)

describe('a walk', () => {
  test('sees every study once, whatever its date: past, to come, before archives, or none', async () => {
    const dates = [
      '20240131',
      '19800101',
      '18500101',
      '20991231',
      '00010101',
      '',
      '',
      '20260101',
      '19900101',
      '20251231',
    ]
    const { studies, gaps } = await walk(archive(dates))
    expect(studies.map(({ study }) => study).toSorted()).toEqual(uids(dates.length))
    expect(gaps).toEqual([])
  })

  test('splits ranges until they fit, so that no answer has more rows than allowed', async () => {
    const cluster = archive([...days(28), ...days(28), ...days(28, '202307'), ...days(10, '197001')])
    const { studies, gaps } = await walk(cluster, 3)
    expect(studies.map(({ study }) => study).toSorted()).toEqual(uids(94).toSorted())
    expect(gaps).toEqual([])
    expect(Math.max(...cluster.searches.filter(({ level }) => level === 'study').map(({ limit }) => limit))).toBe(3)
  })

  test('says what it could not see: too many studies of one day, or without a date', async () => {
    const { studies, gaps } = await walk(archive([...Array(5).fill('20000101'), ...Array(4).fill('')]), 3)
    expect(studies).toHaveLength(6)
    expect(gaps).toEqual([
      'more than 3 studies of 20000101: the others are not counted',
      'more than 3 studies without a date: the others are not counted',
    ])
  })

  test('comes nearer to its end with every step', async () => {
    const { progress } = await walk(archive([...days(28), ...days(28)]), 10)
    expect(progress).toEqual(progress.toSorted((a, b) => a - b))
    expect(progress[0]).toBeGreaterThan(0)
    expect(progress.at(-1)).toBeCloseTo(1, 9)
  })

  test('takes the dates of old files, and does not take what was not asked for', async () => {
    class Loose extends ListCluster {
      override async search(request: SearchRequest): Promise<SearchAnswer> {
        return super.search(request.level === 'study' ? { ...request, constraints: [], undated: false } : request)
      }
    }
    const { studies } = await walk(archive(['2024.01.31', '20240131', ''], Loose))
    expect(studies.map(({ study }) => study).toSorted()).toEqual(uids(3))
  })

  test('ends at a cluster that does not search by dates, instead of asking it for every day', async () => {
    class Dateless extends ListCluster {
      override async search(request: SearchRequest): Promise<SearchAnswer> {
        return super.search(request.level === 'study' ? { ...request, constraints: [] } : request)
      }
    }
    const cluster = archive(days(28), Dateless)
    await expect(walk(cluster, 10)).rejects.toMatchObject({ reason: 'unsupported', cluster: 'north' })
    expect(cluster.searches.length).toBeLessThan(10)
  })

  test.each(['timed-out', 'too-large'] as const)('asks for less of what is %s', async (reason) => {
    class Slow extends ListCluster {
      override async search(request: SearchRequest): Promise<SearchAnswer> {
        const answer = await super.search(request)
        if (request.level === 'study' && answer.rows.length > 5) throw new ClusterError(this.id, reason, reason)
        return answer
      }
    }
    const { studies } = await walk(archive(days(28), Slow))
    expect(studies).toHaveLength(28)
  })

  test.each(['timed-out', 'unreachable', 'failed'] as const)('ends soon when the cluster is %s', async (reason) => {
    const cluster = archive(days(3))
    cluster.down = reason
    await expect(walk(cluster)).rejects.toMatchObject({ reason })
    expect(cluster.searches.length).toBeLessThan(40)
  })

  test('ends when it is told to, and asks nothing more', async () => {
    const controller = new AbortController()
    const cluster = archive(days(28))
    const reason = new Error('enough')
    const steps = walkStudies(cluster, { maxRows: 5, clock: new FakeClock(), signal: controller.signal })
    await steps.next()
    controller.abort(reason)
    const asked = cluster.searches.length
    await expect(Array.fromAsync(steps)).rejects.toBe(reason)
    expect(cluster.searches.length).toBeLessThanOrEqual(asked + 1)
  })
})

/** An archive whose series have body parts, and which answers for series as it is told. */
class WithParts extends ListCluster {
  refuses: { many?: FailureReason; one?: FailureReason } = {}
  override async search(request: SearchRequest): Promise<SearchAnswer> {
    if (request.level !== 'series') return super.search(request)
    this.searches.push(request)
    const refused = request.study === undefined ? this.refuses.many : this.refuses.one
    if (refused) throw new ClusterError(this.id, refused, refused)
    const list = request.constraints[0]?.value.split(',') ?? []
    const rows = (request.study === undefined ? list : [request.study]).map((uid) => ({
      [tag.StudyInstanceUID]: { vr: 'UI', Value: [uid] },
      [tag.BodyPartExamined]: { vr: 'CS', Value: [`PART${uid.split('.').at(-1)}`] },
    }))
    return { rows, truncated: false }
  }
}

describe('the series of walked studies', () => {
  const partsOf = ({ studies }: Awaited<ReturnType<typeof walk>>) =>
    studies.map(({ study, facts }) => [study, ...facts.bodyParts])
  const expected = days(28).map((_, at) => [`1.2.${at}`, `PART${at}`])
  const questions = (cluster: ListCluster) => cluster.searches.filter(({ level }) => level === 'series')
  const dates = [...days(28)]

  test('are asked for in one question for many studies', async () => {
    const cluster = archive(dates, WithParts)
    expect(partsOf(await walk(cluster))).toEqual(expected)
    expect(questions(cluster)).toHaveLength(1)
  })

  test.each(['unsupported', 'rejected', 'timed-out', 'too-large'] as const)(
    'are asked for study by study when the question for many is %s',
    async (many) => {
      const cluster = archive(dates, WithParts) as WithParts
      cluster.refuses = { many }
      const walked = await walk(cluster)
      expect(partsOf(walked)).toEqual(expected)
      expect(walked.gaps).toEqual([])
      expect(questions(cluster)).toHaveLength(29)
    },
  )

  test('are done without when the cluster lists none, which is said once', async () => {
    const cluster = archive([...dates, ...days(3, '202402')], WithParts) as WithParts
    cluster.refuses = { many: 'unsupported', one: 'unsupported' }
    const walked = await walk(cluster)
    expect(walked.studies).toHaveLength(31)
    expect(walked.gaps).toEqual(['it lists no series: their body parts are not known'])
    expect(questions(cluster).length).toBeLessThan(8)
  })

  test('end the walk when the cluster fails', async () => {
    const cluster = archive(dates, WithParts) as WithParts
    cluster.refuses = { many: 'unsupported', one: 'failed' }
    await expect(walk(cluster)).rejects.toMatchObject({ reason: 'failed' })
  })

  test('of other studies than those asked for are not taken', async () => {
    class Eager extends WithParts {
      override async search(request: SearchRequest): Promise<SearchAnswer> {
        const { rows, truncated } = await super.search(request)
        const strange = { [tag.StudyInstanceUID]: { vr: 'UI', Value: ['9.9'] } }
        return { rows: request.level === 'series' ? [...rows, strange] : rows, truncated }
      }
    }
    const walked = await walk(archive(dates, Eager))
    expect(partsOf(walked)).toEqual(expected)
    expect(walked.studies.map(({ study }) => study)).not.toContain('9.9')
  })
})

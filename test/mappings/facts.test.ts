import { describe, expect, test } from 'vitest'
import type { SearchAnswer, SearchRequest } from '../../src/clusters/cluster.ts'
import type { Caller } from '../../src/core/audience.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import { tag } from '../../src/dicom/tags.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { createFactsOfStudy } from '../../src/mappings/facts.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { madeInstance } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const study = parseUid('1.2.3', 'study')
const internal: Caller = { name: 'anonymous', audience: 'internal' }
const signal = new AbortController().signal

const cluster = (id: string, rows: Record<string, string[]>[] = []) => {
  const memory = new MemoryCluster(id, id === 'north' ? { role: 'home' } : {})
  for (const row of rows) memory.add(madeInstance({ study }), row)
  return memory
}

const ask = (clusters: MemoryCluster[], options: { caller?: Caller; clock?: FakeClock; external?: string[] } = {}) => {
  const { caller = internal, clock = new FakeClock(), external = clusters.map(({ id }) => id) } = options
  const queries = new Map(clusters.map(({ id }) => [id, { internal: true, external: external.includes(id) }]))
  return createFactsOfStudy({ clusters, queries, clock, maxRowsPerCluster: 100 })(study, caller, signal)
}

class Seriesless extends MemoryCluster {
  override async search(request: SearchRequest): Promise<SearchAnswer> {
    if (request.level === 'series') throw new ClusterError(this.id, 'unsupported', 'no search for series')
    return super.search(request)
  }
}

const row = (description: string, modality: string, part: string) => ({
  [tag.StudyDescription]: [description],
  [tag.Modality]: [modality],
  [tag.BodyPartExamined]: [part],
})

describe('the facts of a study', () => {
  test('are those of all its copies and their series, the description that of the cluster believed first', async () => {
    const north = cluster('north', [row('CT Head', 'CT', 'HEAD'), row('CT Head', 'SR', '')])
    const south = cluster('south', [row('head', 'PR', 'NECK')])
    expect(await ask([north, south, cluster('west')])).toEqual({
      facts: {
        studyDescription: 'CT Head',
        procedureCodes: [],
        modalities: ['CT', 'SR', 'PR'],
        bodyParts: ['HEAD', 'NECK'],
        institutions: [],
      },
      warnings: [],
    })
  })

  test('come with a warning for each cluster that fails', async () => {
    const [north, south] = [cluster('north', [row('CT Head', 'CT', 'HEAD')]), cluster('south')]
    south.faults.down = 'unreachable'
    const { facts, warnings } = await ask([north, south])
    expect(facts.bodyParts).toEqual(['HEAD'])
    expect(warnings).toEqual(['Results are incomplete: cluster south unreachable'])
  })

  test('are those of the study itself when a cluster does not list series, and say so', async () => {
    const north = new Seriesless('north', { role: 'home' }).add(madeInstance({ study }), row('CT Head', 'CT', 'HEAD'))
    const { facts, warnings } = await ask([north])
    expect(facts.studyDescription).toBe('CT Head')
    expect(warnings).toEqual([
      'Results are incomplete: cluster north does not list the series of the study (unsupported)',
    ])
  })

  test('of a study that no cluster has are not found', async () => {
    await expect(ask([cluster('north'), cluster('south')])).rejects.toMatchObject({ code: 'not-found' })
  })

  test('of a study that may be where nobody answers are unavailable, and it is said who', async () => {
    const [north, south] = [cluster('north'), cluster('south')]
    south.faults.hung = true
    const clock = new FakeClock()
    const asked = ask([north, south], { clock })
    asked.catch(() => undefined)
    await turn()
    await clock.advance(5000)
    await expect(asked).rejects.toMatchObject({
      code: 'unavailable',
      message: 'study 1.2.3 cannot be found at the moment (south timed-out)',
    })
  })

  test('are asked only of clusters that answer for the audience', async () => {
    const [north, south] = [cluster('north'), cluster('south', [row('CT Head', 'CT', 'HEAD')])]
    const as = (audience: Caller['audience']) =>
      ask([north, south], { caller: { name: 'x', audience }, external: ['north'] })
    expect((await as('internal')).facts.studyDescription).toBe('CT Head')
    await expect(as('external')).rejects.toMatchObject({ code: 'not-found' })
    await expect(as('home')).rejects.toMatchObject({ code: 'not-found' })
    expect(south.searches).toHaveLength(2)
  })
})

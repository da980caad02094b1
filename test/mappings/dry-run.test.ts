import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { tag } from '../../src/dicom/tags.ts'
import { parseMappings } from '../../src/link/mappings.ts'
import { type ClusterToWalk, type DryRunOptions, dryRun } from '../../src/mappings/dry-run.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { ListCluster } from '../support/list-cluster.ts'

const tables = (value: string) =>
  parseMappings(
    JSON.stringify({
      specialty: [
        { rule: 1, when: { StudyDescription: '%BRAIN%' }, gives: value },
        { rule: 2, when: {}, gives: 'GENERAL' },
      ],
    }),
    'test',
  )

const described = (text: string) => ({ [tag.StudyDescription]: { vr: 'LO', Value: [text] } })

function archive(id: string, studies: readonly [uid: string, description: string][]): ListCluster {
  const cluster = new ListCluster(id)
  for (const [uid, text] of studies) cluster.studies.push({ uid, date: '20240131', row: described(text) })
  return cluster
}

const toWalk = (cluster: ListCluster): ClusterToWalk => ({ id: cluster.id, open: async () => cluster })

const run = (clusters: readonly ClusterToWalk[], options: Partial<DryRunOptions> = {}) =>
  dryRun({
    before: tables('NEURO'),
    after: tables('BRAINS'),
    clusters,
    maxRows: 100,
    clock: new FakeClock(),
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...options,
  })

const north = () =>
  archive('north', [
    ['1.1', 'MR BRAIN'],
    ['1.2', 'MR KNEE'],
  ])
const south = () => archive('south', [['1.1', 'MR BRAIN']])

describe('a dry run', () => {
  test('counts what changes over all clusters, a study for each that holds it', async () => {
    const { studies, tables, clusters, before, after } = await run([toWalk(north()), toWalk(south())])
    expect(studies).toBe(3)
    expect(tables.specialty).toMatchObject({
      changed: 2,
      changes: [{ from: ['NEURO'], to: ['BRAINS'], studies: 2, examples: ['1.1'] }],
      rules: [
        { rule: 1, studies: 2 },
        { rule: 2, studies: 1 },
      ],
    })
    expect(clusters).toEqual([
      { id: 'north', studies: 2, gaps: [] },
      { id: 'south', studies: 1, gaps: [] },
    ])
    expect(before).not.toBe(after)
  })

  test('goes on without clusters that fail, cannot be opened or are not to be asked, and names them', async () => {
    const broken = north()
    broken.down = 'unreachable'
    const closed: ClusterToWalk = {
      id: 'west',
      open: async () => {
        throw new LinkError('config', 'in use by another process')
      },
    }
    const skipped = { ...toWalk(archive('east', [])), skip: 'it is constrained' }
    const { clusters, studies } = await run([toWalk(broken), closed, skipped, toWalk(south())])
    expect(clusters).toEqual([
      { id: 'north', studies: 0, gaps: [], failed: 'cluster north: unreachable' },
      { id: 'west', studies: 0, gaps: [], failed: 'in use by another process' },
      { id: 'east', studies: 0, gaps: [], skipped: 'it is constrained' },
      { id: 'south', studies: 1, gaps: [] },
    ])
    expect(studies).toBe(1)
  })

  test('tells how far it is, cluster by cluster', async () => {
    const told: [string, number, number][] = []
    await run([toWalk(north()), toWalk(south())], { onProgress: (...step) => told.push(step) })
    const of = (id: string) => told.filter(([cluster]) => cluster === id)
    expect(of('north').at(-1)).toEqual(['north', 2, expect.closeTo(1)])
    expect(of('south').at(-1)).toEqual(['south', 1, expect.closeTo(1)])
    expect(told.findIndex(([id]) => id === 'south')).toBe(of('north').length)
  })

  test('ends when it is told to, and asks no further cluster', async () => {
    const controller = new AbortController()
    const last = south()
    const running = run([toWalk(north()), toWalk(last)], {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    })
    await expect(running).rejects.toThrow('enough')
    expect(last.searches).toEqual([])
  })

  test('does not hide a defect behind the name of a cluster', async () => {
    const open = async () => {
      throw new TypeError('a defect')
    }
    await expect(run([{ id: 'north', open }])).rejects.toThrow('a defect')
  })
})

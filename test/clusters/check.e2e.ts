import { describe, expect, it } from 'vitest'
import { checkCluster } from '../../src/clusters/check.ts'
import { systemClock } from '../../src/core/clock.ts'
import { madeInstance } from '../support/made-instance.ts'
import { orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { clusterConfig, forever } from './setup.ts'

describe.skipIf(!orthancAvailable)('the check of an Orthanc', () => {
  it('finds everything the proxy needs, and leaves nothing behind', async () => {
    await using orthanc = await startOrthanc()
    await orthanc.load([madeInstance({ patientId: 'Abc' }).bytes, madeInstance().bytes])
    const { cluster, limits } = clusterConfig(orthanc.dicomweb)
    const report = await checkCluster(cluster, {
      site: 'test',
      limits,
      clock: systemClock,
      index: 0,
      signal: forever(),
    })
    expect(report).toMatchObject({ reached: true, problems: [], studies: { count: 2, orMore: false } })
    const { thumbnail, ...others } = report.services
    expect(new Set(Object.values(others))).toEqual(new Set(['yes']))
    expect([thumbnail, ...report.habits]).toContain('has no thumbnails; small renderings take their place')
    expect(report.habits.join('\n')).toMatch(/ignores keys it does not support/)
    expect(await (await orthanc.rest('/instances')).json()).toHaveLength(2)
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { madeInstance } from './made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from './orthanc.ts'
import { samples } from './samples.ts'

describe.skipIf(!orthancAvailable)('an Orthanc for tests', () => {
  let orthanc: Orthanc
  const studies = async () => (await (await orthanc.rest('/studies')).json()) as unknown[]

  beforeAll(async () => {
    orthanc = await startOrthanc({ authentication: { tester: 'secret' } })
  })
  afterAll(() => orthanc.stop())

  it('asks for the credentials it was given', async () => {
    const response = await fetch(`${orthanc.dicomweb}/studies`)
    await response.body?.cancel()
    expect(response.status).toBe(401)
    expect(await studies()).toEqual([])
  })

  it('keeps what it was loaded with over a crash and a restart', async () => {
    await orthanc.load([madeInstance().bytes, ...samples()])
    const before = await studies()
    expect(before.length).toBeGreaterThan(0)
    await orthanc.kill()
    expect(orthanc.pid).toBeUndefined()
    await expect(studies()).rejects.toThrow()
    await orthanc.restart()
    expect(await studies()).toEqual(before)
    await orthanc.restart()
    expect(await studies()).toEqual(before)
  })

  it('answers nothing while it is paused', async () => {
    orthanc.pause()
    await expect(orthanc.rest('/studies', { signal: AbortSignal.timeout(200) })).rejects.toThrow()
    orthanc.resume()
    expect((await studies()).length).toBeGreaterThan(0)
  })
})

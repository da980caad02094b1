import { beforeAll, describe, expect, test } from 'vitest'
import { disposedAfterAll, heldBy, startArchives, storeRequest } from '../support/federation.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { type Proxy as ProxyProcess, startProxy } from '../support/processes.ts'

/** Longest wait for a run to be over. */
const convergence = { timeout: 60_000, interval: 50 }

describe.skipIf(!orthancAvailable)('a proxy whose clusters take different updates', () => {
  const open = disposedAfterAll()
  const study = madeUid()
  const [old, added] = [madeInstance({ study }), madeInstance({ study })] as const
  const unknown = madeInstance()
  const capture = madeInstance({ study, frames: 2 })
  let archives: Awaited<ReturnType<typeof startArchives>>
  let proxy: ProxyProcess

  beforeAll(async () => {
    archives = open.use(await startArchives({ content: { north: [], south: [old.bytes], cardio: [old.bytes] } }))
    const clusters = [
      { id: 'north', role: 'home', dicomweb: archives.north.dicomweb },
      { id: 'south', role: 'linked', updates: 'holders', dicomweb: archives.south.dicomweb },
      { id: 'cardio', role: 'linked', updates: 'none', dicomweb: archives.cardio.dicomweb },
    ]
    const replication = { stays: ['MultiFrameGrayscaleByteSecondaryCaptureImageStorage'] }
    const config = { site: 'north', viewer: false, clusters, replication }
    proxy = open.adopt(await startProxy({ config }), (it) => it.kill('SIGKILL').then(() => undefined))
  })

  async function store(...made: readonly MadeInstance[]): Promise<void> {
    const response = await fetch(`${proxy.url}/dicom-web/studies`, storeRequest(made.map(({ bytes }) => bytes)))
    expect(response.status).toBe(200)
  }

  const metrics = async () => (await fetch(`${proxy.url}/metrics`)).text()
  const runsOver = async (count: number) =>
    expect
      .poll(metrics, convergence)
      .toMatch(new RegExp(`^dicomweb_link_converge_runs_total\\{.*cluster="south".*result="ok".*\\} ${count}$`, 'm'))

  const uids = (...made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()

  test('holders: a study it has is completed, another one is not started', async () => {
    await store(unknown, added)
    await runsOver(2)
    expect(await heldBy(archives.south, study)).toEqual(uids(old, added))
    expect(await heldBy(archives.south, unknown.study)).toEqual([])
  })

  test('a class that stays at home is stored there, and the run succeeds without it', async () => {
    await store(capture)
    await runsOver(3)
    expect(await heldBy(archives.north, study)).toEqual(uids(added, capture))
    expect(await heldBy(archives.south, study)).toEqual(uids(old, added))
  })

  test('none: nothing has come there, nor is anything to come', async () => {
    expect(await heldBy(archives.cardio, study)).toEqual(uids(old))
    expect(await heldBy(archives.cardio, unknown.study)).toEqual([])
    expect((await metrics()).split('\n').filter((line) => /converge_runs.*cardio/.test(line))).toEqual([])
  })
})

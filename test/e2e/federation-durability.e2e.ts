import { describe, expect, test } from 'vitest'
import { clustersOf, heldBy, startArchives, startFederation, storeRequest } from '../support/federation.ts'
import { dataDirectory } from '../support/folders.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable } from '../support/orthanc.ts'
import { postgresAvailable, startPostgres } from '../support/postgres.ts'
import { startProxy } from '../support/processes.ts'

/** A lease of a killed proxy has to run out, and pauses between attempts come on top. */
const convergence = { timeout: 150_000, interval: 100 }
const uidsOf = (made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()
const inOneStudy = (count: number): MadeInstance[] => {
  const study = madeUid()
  return Array.from({ length: count }, (_, index) => madeInstance({ study, instanceNumber: index + 1 }))
}
const store = async (proxy: { readonly url: string }, made: readonly MadeInstance[]) => {
  const answer = await fetch(`${proxy.url}/dicom-web/studies`, storeRequest(made.map(({ bytes }) => bytes)))
  expect(answer.status, await answer.text()).toBe(200)
}

/** How many instances an archive took in as new since it was started, by its own log of changes. */
async function receivedBy(archive: Orthanc): Promise<number> {
  const changes = await archive.rest('/changes?limit=10000')
  const { Changes } = (await changes.json()) as { Changes: { ChangeType: string }[] }
  return Changes.filter(({ ChangeType }) => ChangeType === 'NewInstance').length
}

describe.skipIf(!orthancAvailable)('what was acknowledged', () => {
  test('comes to a linked cluster that was hanging, although the proxy is killed right after its answer', async () => {
    await using cleanup = new AsyncDisposableStack()
    const { path: dataDir, remove } = await dataDirectory()
    cleanup.defer(remove)
    await using federation = await startFederation({ proxy: { dataDir } })
    const made = inOneStudy(3)
    const study = made[0]?.study ?? ''
    federation.south.pause()
    await store(federation.proxy, made)
    await federation.restart('SIGKILL')
    expect(await heldBy(federation.north, study)).toEqual(uidsOf(made))
    federation.south.resume()
    await expect.poll(() => heldBy(federation.south, study), convergence).toEqual(uidsOf(made))
    expect(await heldBy(federation.cardio, study)).toEqual([])
  })

  test.skipIf(!postgresAvailable)(
    'to two proxies on one PostgreSQL is brought over once, and by one when the other is killed',
    async () => {
      await using cleanup = new AsyncDisposableStack()
      const postgres = cleanup.adopt(await startPostgres(), (it) => it.stop())
      const archives = cleanup.use(await startArchives())
      const database = { url: await postgres.createDatabase() }
      const config = { site: 'north', viewer: false, database, clusters: clustersOf(archives) }
      const [one, other] = await Promise.all([startProxy({ config }), startProxy({ config })])
      cleanup.use(one)
      cleanup.use(other)

      const studies = Array.from({ length: 12 }, () => inOneStudy(2))
      await Promise.all(studies.map((made, index) => store(index % 2 === 0 ? one : other, made)))
      await expect.poll(() => receivedBy(archives.south), convergence).toBe(24)
      for (const proxy of [one, other]) {
        const rows = await fetch(`${proxy.url}/dicom-web/studies`)
        expect((await rows.json()) as unknown[]).toHaveLength(12)
      }
      // Acknowledged by the linked cluster, whoever sent it: a job done twice would have sent twice.
      await expect.poll(async () => (await sent(one.url)) + (await sent(other.url)), convergence).toBe(24)

      await one.kill('SIGKILL')
      const late = inOneStudy(2)
      await store(other, late)
      await expect.poll(() => heldBy(archives.south, late[0]?.study ?? ''), convergence).toEqual(uidsOf(late))
      expect(await receivedBy(archives.south)).toBe(26)
    },
  )
})

/** Instances one proxy has brought to the linked cluster, by its own count. */
async function sent(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return Number(/^dicomweb_link_converge_instances_total\{cluster="south"\} (\d+)$/m.exec(metrics)?.[1] ?? 0)
}

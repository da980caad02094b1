import { describe, expect, test } from 'vitest'
import { clustersOf, heldBy, startArchives, startFederation, storeRequest } from '../support/federation.ts'
import { madeInstance } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { postgresAvailable, startPostgres } from '../support/postgres.ts'
import { run, startProxy } from '../support/processes.ts'

const convergence = { timeout: 150_000, interval: 100 }

const store = async (proxy: { readonly url: string }) => {
  const made = madeInstance()
  const answer = await fetch(`${proxy.url}/dicom-web/studies`, storeRequest([made.bytes]))
  expect(answer.status, await answer.text()).toBe(200)
  return made
}

/** Runs a command as its user does, and answers what it said. */
async function replication(proxy: { readonly url: string }, ...args: string[]): Promise<string> {
  await using command = run(process.execPath, ['src/main.ts', 'replication', ...args, '--url', proxy.url])
  const ending = await command.ended
  expect(ending, command.stderr()).toEqual({ code: 0, signal: null })
  return command.stdout()
}

describe.skipIf(!orthancAvailable)('the outbox', () => {
  test('gives a study up that does not get there for too long, says why, and tries it again when told to', async () => {
    await using federation = await startFederation({ config: { replication: { giveUpAfterMs: 1 } } })
    const { south, proxy } = federation
    await south.kill()
    const { study, instance } = await store(proxy)
    await expect.poll(() => replication(proxy, 'dead-letters'), convergence).toContain(`south  ${study}  given up`)
    const listed = await federation.ask('/link/v1/replication/dead-letters?cluster=south')
    expect(listed.json()).toMatchObject({ deadLetters: [{ study, cluster: 'south', attempts: 2 }], next: null })
    expect(await replication(proxy, 'status')).toMatch(/given up {2}1 study\n {2}failed .*: cluster south: /)
    const metrics = await federation.ask('/metrics')
    expect(metrics.text()).toContain('dicomweb_link_converge_dead_letters{cluster="south"} 1')

    await south.restart()
    // What is up again is known to the breaker after a moment.
    const up = async () => (await federation.ask('/metrics')).text()
    await expect.poll(up, convergence).toContain('dicomweb_link_cluster_up{cluster="south",role="linked"} 1')
    const retried = await replication(proxy, 'retry', '--cluster', 'south', '--study', study)
    expect(retried).toContain('1 study is tried again')
    await expect.poll(() => heldBy(south, study), convergence).toEqual([instance])
    await expect.poll(() => replication(proxy, 'status'), convergence).not.toContain('given up')
  })

  test.skipIf(!postgresAvailable)('a pause holds for all proxies on the database, and over a restart', async () => {
    await using cleanup = new AsyncDisposableStack()
    const postgres = cleanup.adopt(await startPostgres(), (it) => it.stop())
    const archives = cleanup.use(await startArchives())
    const database = { url: await postgres.createDatabase() }
    const config = { site: 'north', viewer: false, database, clusters: clustersOf(archives) }
    const [one, other] = await Promise.all([startProxy({ config }), startProxy({ config })])
    cleanup.use(one)
    cleanup.use(other)
    const sent = await store(one)
    await expect.poll(() => heldBy(archives.south, sent.study), convergence).toEqual([sent.instance])

    expect(await replication(one, 'pause', '--cluster', 'south')).toContain('south: paused since')
    await one.kill('SIGKILL')
    const { study, instance } = await store(other)
    await using again = await startProxy({ config })
    expect(await replication(again, 'status')).toMatch(/south: paused since .*\n {2}studies {3}1 waiting, 0 running/)
    expect(await heldBy(archives.south, study)).toEqual([])
    await replication(again, 'resume', '--cluster', 'south')
    await expect.poll(() => heldBy(archives.south, study), convergence).toEqual([instance])
  })
})

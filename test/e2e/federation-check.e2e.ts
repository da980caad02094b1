import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { CheckReport } from '../../src/clusters/check-report.ts'
import { federatedStudies, filesOf } from '../support/federated-studies.ts'
import { clustersOf, disposedAfterAll, startArchives } from '../support/federation.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { run } from '../support/processes.ts'

const password = 'a-secret-of-the-test'

describe.skipIf(!orthancAvailable)('the command check against real archives', () => {
  const open = disposedAfterAll()
  let archives: Awaited<ReturnType<typeof startArchives>>
  let folder = ''

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'check-'))
    open.defer(() => rm(folder, { recursive: true, force: true }))
    const south = { authentication: { proxy: password } }
    archives = open.use(await startArchives({ south, content: filesOf(federatedStudies().made) }))
  })

  /** What the command says of all three, told as `changes` has it, and of `more` clusters. */
  async function check(changes: Readonly<Record<string, object>>, more: readonly object[], ...args: readonly string[]) {
    const clusters = clustersOf(archives).map((cluster) => ({
      ...cluster,
      ...(cluster.id === 'south' && { auth: { basic: { username: 'proxy', password } } }),
      ...changes[String(cluster.id)],
    }))
    const file = join(folder, 'config.json')
    await writeFile(file, JSON.stringify({ site: 'north', clusters: [...clusters, ...more] }))
    await using command = run(process.execPath, ['src/main.ts', 'check', '--config', file, ...args])
    const { code } = await command.ended
    const text = command.stdout()
    expect(text + command.stderr()).not.toContain(password)
    return { code, text, errors: command.stderr() }
  }

  test('all is well: exit code 0, and each cluster with what it offers', async () => {
    const { code, text } = await check({}, [])
    expect(code, text).toBe(0)
    for (const words of [
      /^CLUSTER +ROLE/m,
      /^north +home +yes/m,
      /^south +linked +yes/m,
      /^cardio +thirdParty +yes/m,
    ]) {
      expect(text).toMatch(words)
    }
    expect(text).not.toContain('PROBLEM')
    expect(text).toMatch(/offers .*search.*metadata.*instances.*frames/)
  })

  test('what is wrong is told apart: down, wrong or missing password, wrong path, a page for people', async () => {
    const page = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<html>'))
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve))
    await archives.cardio.kill()
    const thirdParty = (id: string, dicomweb: string) => ({ id, role: 'thirdParty', dicomweb })
    const { code, text } = await check(
      { south: { auth: { basic: { username: 'proxy', password: 'wrong' } } } },
      [
        thirdParty('nameless', archives.south.dicomweb),
        thirdParty('astray', `${archives.north.url}/nothing-here`),
        thirdParty('page', `http://127.0.0.1:${(page.address() as AddressInfo).port}/viewer`),
      ],
      '--json',
    )
    await archives.cardio.restart()
    page.closeAllConnections()
    page.close()

    expect(code).toBe(1)
    const reports = JSON.parse(text) as CheckReport[]
    const told = Object.fromEntries(reports.map(({ cluster, problems }) => [cluster, problems.join()]))
    expect(told).toEqual({
      north: '',
      south: expect.stringMatching(/401|credentials/),
      cardio: expect.stringMatching(/refused.*running/),
      nameless: expect.stringMatching(/401|credentials/),
      astray: expect.stringMatching(/path/),
      page: expect.stringMatching(/HTML page.*path/),
    })
    expect(reports.filter(({ reached }) => reached).map(({ cluster }) => cluster)).toEqual(['north'])
  })

  test('a wrong configuration is named by its key, and nothing is asked', async () => {
    const { code, text, errors } = await check({ south: { priority: 'high' } }, [])
    expect(code).toBe(1)
    expect(text).toBe('')
    expect(errors).toMatch(/clusters(\[1\]|\.1)\.priority/)
  })
})

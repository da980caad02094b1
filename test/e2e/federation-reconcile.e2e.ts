import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { archiveNames, disposedAfterAll, heldBy, startArchives } from '../support/federation.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { run } from '../support/processes.ts'

const studyOf = (count: number, studyDate: string): MadeInstance[] => {
  const study = madeUid()
  return Array.from({ length: count }, () => madeInstance({ study, studyDate }))
}

describe.skipIf(!orthancAvailable)('the command reconcile against real archives', () => {
  const open = disposedAfterAll()
  /** In parts that overlap, at home only, without a date and at a linked cluster only, whole everywhere. */
  const parts = studyOf(30, '20240131')
  const local = studyOf(2, '20190401')
  const foreign = studyOf(1, '')
  const whole = studyOf(3, '19991231')
  let archives: Awaited<ReturnType<typeof startArchives>>
  let folder = ''
  let asked = 0

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reconcile-'))
    open.defer(() => rm(folder, { recursive: true, force: true }))
    const bytes = (...made: readonly MadeInstance[]) => made.map((it) => it.bytes)
    archives = open.use(
      await startArchives({
        content: {
          north: bytes(...parts.slice(0, 20), ...local, ...whole),
          south: bytes(...parts.slice(10, 25), ...foreign, ...whole),
          cardio: bytes(...parts.slice(25), ...whole),
        },
      }),
    )
    const third = createServer((_, response) => {
      asked++
      response.writeHead(500).end()
    })
    await new Promise<void>((resolve) => third.listen(0, '127.0.0.1', resolve))
    open.defer(() => void third.close())
    const address = `http://127.0.0.1:${(third.address() as AddressInfo).port}/dicom-web`
    const clusters = [
      { id: 'north', role: 'home', dicomweb: archives.north.dicomweb },
      { id: 'south', role: 'linked', dicomweb: archives.south.dicomweb },
      { id: 'cardio', role: 'linked', dicomweb: archives.cardio.dicomweb },
      { id: 'third', role: 'thirdParty', dicomweb: address },
    ]
    await writeFile(join(folder, 'config.json'), JSON.stringify({ site: 'north', clusters }))
  })

  const command = (...args: readonly string[]) =>
    run(process.execPath, ['src/main.ts', 'reconcile', '--config', join(folder, 'config.json'), ...args])

  async function reconcile(...args: readonly string[]) {
    await using running = command(...args)
    const { code } = await running.ended
    return { code, text: running.stdout(), errors: running.stderr() }
  }

  const uids = (made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()
  const at = (name: (typeof archiveNames)[number], [first]: readonly MadeInstance[]) =>
    heldBy(archives[name], first?.study ?? '')

  test('a dry run tells exactly what is missing where, and nothing is sent', async () => {
    const { code, text, errors } = await reconcile('--dry-run')
    expect(text, errors).toContain(
      `${parts[0]?.study}: 30 instances\n  north lacks 10\n  cardio lacks 25\n  south lacks 15\n`,
    )
    expect(text).toContain(`${local[0]?.study}: 2 instances\n  cardio lacks 2\n  south lacks 2\n`)
    expect(text).toContain('4 studies looked at: 2 complete, 0 repaired, 2 not complete')
    expect(code).toBe(1)
    expect(errors).toMatch(/^north: 100 %/m)
    expect(await at('cardio', parts)).toEqual(uids(parts.slice(25)))
  })

  test('it is stopped by Ctrl-C with what was done so far, and the rest can be done later', async () => {
    await using running = command('--rate', '0.01', '--cluster', 'cardio')
    await running.says(/cardio lacks 25: 25 sent\n/)
    const { code } = await running.kill('SIGINT')
    expect(running.stdout()).toMatch(/stopped before the end; so far:\n1 study looked at: 0 complete, 1 repaired/)
    expect(code).toBe(130)
    expect(await at('cardio', parts)).toEqual(uids(parts))
    expect(await at('cardio', local)).toEqual([])
  })

  test('all become equal, and a second run finds nothing to do', async () => {
    const first = await reconcile()
    expect(first.text, first.errors).toContain('4 studies looked at: 2 complete, 2 repaired, 0 not complete')
    expect(first.code).toBe(0)
    for (const name of archiveNames) {
      for (const made of [parts, local, whole]) expect(await at(name, made)).toEqual(uids(made))
    }
    expect(await at('north', foreign)).toEqual([])
    expect(await at('south', foreign)).toEqual(uids(foreign))
    const second = await reconcile()
    expect(second.text.split('\n').slice(0, 2)).toEqual([
      '4 studies looked at: 4 complete, 0 repaired, 0 not complete',
      'cluster north: nothing found missing',
    ])
    expect(second.code).toBe(0)
  })

  test('a cluster that is down is told, and the others are completed', async () => {
    const added = studyOf(2, '20250101')
    await archives.south.load(added.slice(1).map(({ bytes }) => bytes))
    await archives.north.load(added.slice(0, 1).map(({ bytes }) => bytes))
    await archives.cardio.kill()
    const { code, text } = await reconcile()
    await archives.cardio.restart()
    expect(text).toContain(
      'cluster cardio: nothing found missing\n  5 studies without an answer, the last: cluster cardio',
    )
    expect(code).toBe(1)
    for (const name of ['north', 'south'] as const) expect(await at(name, added)).toEqual(uids(added))
    expect((await reconcile('--study', added[0]?.study ?? '')).code).toBe(0)
    expect(await at('cardio', added)).toEqual(uids(added))
  })

  test('a third party is neither asked nor sent anything', () => {
    expect(asked).toBe(0)
  })
})

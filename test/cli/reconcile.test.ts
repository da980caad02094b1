import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { reconcileCommand } from '../../src/cli/reconcile.ts'
import { clustersForCommand } from '../../src/compose/commands.ts'
import { loadConfig } from '../../src/config/load.ts'
import { dataDirectory, temporaryFolder } from '../support/folders.ts'
import { madeInstance } from '../support/made-instance.ts'
import { uploadsOf } from '../support/uploads.ts'

/** A study in parts, one at home only, and one at the linked cluster only. */
const content = {
  north: [
    madeInstance({ study: '1.2.1', instance: '1.2.1.1' }),
    madeInstance({ study: '1.2.1', instance: '1.2.1.2' }),
    madeInstance({ study: '1.2.2', instance: '1.2.2.1' }),
  ],
  south: [
    madeInstance({ study: '1.2.1', instance: '1.2.1.3' }),
    madeInstance({ study: '1.2.3', instance: '1.2.3.1', studyDate: '' }),
  ],
}

type Folder = Awaited<ReturnType<typeof dataDirectory>>
/** Filled once: an embedded database takes seconds to start. */
let filled: Folder
let folder: Folder
beforeAll(async () => {
  filled = await dataDirectory()
  await writeFile(join(filled.path, 'link.json'), configOf())
  await using opened = clustersForCommand(await loadConfig(join(filled.path, 'link.json'), {}))
  for (const { id, open } of opened.all) {
    const files = content[id as keyof typeof content].map(({ bytes }) => bytes)
    await (await open()).store(uploadsOf(...files), new AbortController().signal)
  }
})
afterAll(() => filled.remove())
const at = (name: string) => join(folder.path, name)

/** Where nobody listens. */
const dicomweb = 'http://127.0.0.1:1/dicom-web'

const configOf = (more: object[] = [], south: object = {}) =>
  JSON.stringify({
    site: 'north',
    dataDir: '.',
    clusters: [
      { id: 'north', role: 'home', embedded: {} },
      { id: 'south', role: 'linked', embedded: {}, ...south },
      ...more,
    ],
  })

/** Runs the command as its user writes it. */
async function run(args: readonly string[] = [], { isTTY = false, impatient = false, config = 'link.json' } = {}) {
  const interrupt = new AbortController()
  const [shown, said]: [string[], string[]] = [[], []]
  let status: number | undefined
  const command = reconcileCommand({
    say: (line) => {
      said.push(line)
      if (impatient) interrupt.abort(new Error('enough'))
    },
    progress: { isTTY, write: (text) => shown.push(text) },
    interrupted: () => interrupt.signal,
    end: (code) => {
      status = code
    },
  })
  await command.parseAsync(['-c', at(config), '--rate', '1000', ...args], { from: 'user' })
  return { text: said.join('\n'), shown: shown.join(''), status }
}

describe('reconcile', () => {
  beforeEach(async () => {
    folder = await temporaryFolder()
    await cp(filled.path, folder.path, { recursive: true })
  })
  afterEach(() => folder.remove())

  test('says in a dry run what is missing where, and changes nothing', async () => {
    for (const _ of [1, 2]) {
      const { text, status } = await run(['--dry-run'])
      expect(text.split('\n').toSorted()).toEqual(
        [
          '1.2.1: 3 instances',
          '  north lacks 1',
          '  south lacks 2',
          '1.2.2: 1 instance',
          '  south lacks 1',
          '3 studies looked at: 1 complete, 0 repaired, 2 not complete',
          'cluster north: 1 instance missing',
          'cluster south: 3 instances missing',
        ].toSorted(),
      )
      expect(status).toBe(1)
    }
  })

  test('sends what is missing, and has nothing to do the next time', async () => {
    const first = await run()
    expect(first.text.split('\n').slice(-3)).toEqual([
      '3 studies looked at: 1 complete, 2 repaired, 0 not complete',
      'cluster north: 1 instance missing, 1 sent',
      'cluster south: 3 instances missing, 3 sent',
    ])
    expect(first.text).toContain('1.2.1: 3 instances\n  north lacks 1: 1 sent\n  south lacks 2: 2 sent')
    expect(first.status).toBe(0)
    const second = await run()
    expect(second.text.split('\n')).toEqual([
      '3 studies looked at: 3 complete, 0 repaired, 0 not complete',
      'cluster north: nothing found missing',
      'cluster south: nothing found missing',
    ])
    expect(second.status).toBe(0)
  })

  test('of one study, at one cluster, in JSON', async () => {
    const { text, status } = await run(['--study', '1.2.1', '--cluster', 'south', '--json'])
    const [finding, result] = text.split('\n').map((line) => JSON.parse(line))
    expect(finding).toEqual({
      study: '1.2.1',
      instances: 3,
      lacking: [{ cluster: 'south', missing: 2, sent: 2, conflicts: 0, refused: 0 }],
    })
    expect(result).toMatchObject({ studies: 1, repaired: 1, clusters: [{ id: 'north', missing: 0 }, { id: 'south' }] })
    expect(status).toBe(0)
  })

  test('a linked cluster that takes updates of what it holds gets no other study', async () => {
    await writeFile(at('holders.json'), configOf([], { updates: 'holders' }))
    const { text } = await run([], { config: 'holders.json' })
    expect(text).toContain('cluster south: 2 instances missing, 2 sent')
    expect(text).not.toContain('1.2.2')
  })

  test('a third party is not asked, and one that does not answer is told and keeps no other from being completed', async () => {
    const more = [
      { id: 'gone', role: 'linked', dicomweb, timeoutMs: 1000 },
      { id: 'cardio', role: 'thirdParty', dicomweb },
    ]
    await writeFile(at('more.json'), configOf(more))
    const { text, status } = await run([], { config: 'more.json' })
    expect(text).toContain('cluster south: 3 instances missing, 3 sent')
    expect(text).toContain(
      'cluster gone: nothing found missing\n  3 studies without an answer, the last: cluster gone: ',
    )
    expect(text).toContain('  not gone through to the end: cluster gone: ')
    expect(text).not.toContain('cardio')
    expect(status).toBe(1)
  })

  test('clusters that another process has open are told', async () => {
    await using opened = clustersForCommand(await loadConfig(at('link.json'), {}))
    await opened.all[0]?.open()
    const { text, status } = await run()
    expect(text).toMatch(/cluster north: nothing found missing\n {2}not gone through to the end: .* in use by another/)
    expect(status).toBe(1)
  })

  test('stops when it is told to, with the summary so far', async () => {
    const { text, status } = await run([], { impatient: true })
    expect(text).toContain('stopped before the end; so far:\n1 study looked at: 0 complete, 1 repaired, 0 not complete')
    expect(status).toBe(130)
  })

  test('shows a bar in one line on a terminal and wipes it, and plain lines elsewhere', async () => {
    const { shown } = await run(['--dry-run'], { isTTY: true })
    expect(shown).not.toContain('\n')
    expect(shown).toContain(`\r\u001b[Knorth: 100 %, 2 studies [${'#'.repeat(20)}]`)
    expect(shown).toMatch(/\[#{5,15}\.{5,15}\]/)
    expect(shown.endsWith('\r\u001b[K')).toBe(true)
    expect((await run(['--dry-run'])).shown).toMatch(/^north: 100 %, 2 studies$/m)
  })
})

describe('what is asked for wrongly', () => {
  // Nothing is changed.
  beforeAll(() => {
    folder = filled
  })

  test.each([
    [['--study', 'x'], '--study: "x" is no DICOM UID'],
    [['--study', '9.9'], 'study 9.9 is in none of the clusters that are compared'],
    [['--cluster', 'west'], '--cluster: the configuration has no cluster west'],
    [['--cluster', 'cardio'], '--cluster: cardio takes no updates'],
    [['--cluster', 'mute'], '--cluster: mute takes no updates'],
    [['--rate', '0'], '--rate: "0" is not allowed'],
  ])('%j is refused: %s', async (args, problem) => {
    const more = [
      { id: 'cardio', role: 'thirdParty', dicomweb },
      ...(args[0] === '--cluster' ? [{ id: 'mute', role: 'linked', updates: 'none', dicomweb }] : []),
    ]
    await writeFile(at('more.json'), configOf(more))
    await expect(run(args, { config: 'more.json' })).rejects.toThrow(problem)
  })
})

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { mappingsCommand } from '../../src/cli/mappings.ts'
import { clustersForCommand } from '../../src/compose/commands.ts'
import { loadConfig } from '../../src/config/load.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { parseMappings } from '../../src/link/mappings.ts'
import type { DryRun } from '../../src/mappings/dry-run.ts'
import { dataDirectory } from '../support/folders.ts'
import { madeInstance } from '../support/made-instance.ts'

/** Two embedded clusters with three studies, and tables; made once, changed by none of the tests. */
let folder: Awaited<ReturnType<typeof dataDirectory>>
beforeAll(async () => {
  folder = await dataDirectory()
  await writeFile(at('link.json'), configOf({ mappings: 'mappings.yaml' }))
  await using opened = clustersForCommand(await loadConfig(at('link.json'), {}))
  const held: Record<string, [uid: string, description: string, date: string][]> = {
    north: [
      ['1.2.1', 'MR BRAIN', '20240131'],
      ['1.2.2', 'MR KNEE', '20190401'],
    ],
    south: [['1.2.3', 'CT HEAD', '']],
  }
  for (const { id, open } of opened.all) {
    const uploads = (held[id] ?? []).map(([study, studyDescription, studyDate]) =>
      madeInstance({ study, studyDescription, studyDate, modality: 'MR' }),
    )
    await (await open()).store(asUploads(uploads.map(({ bytes }) => bytes)), new AbortController().signal)
  }
})
afterAll(() => folder.remove())

beforeEach(async () => {
  await writeFile(at('mappings.yaml'), old)
  await writeFile(at('new.yaml'), fresh)
  await writeFile(at('bad.yaml'), bad)
  await writeFile(at('bare.json'), configOf({}))
})

const at = (name: string) => join(folder.path, name)

const configOf = (settings: object, more: object[] = []) =>
  JSON.stringify({
    site: 'north',
    dataDir: '.',
    clusters: [
      { id: 'north', role: 'home', embedded: {}, priority: 1 },
      { id: 'south', role: 'linked', embedded: {} },
      ...more,
    ],
    ...settings,
  })

async function* asUploads(files: readonly Uint8Array[]) {
  for (const bytes of files) {
    const chunks = (async function* () {
      yield bytes
    })()
    yield await sniffInstance(chunks, { maxHeaderBytes: 65_536 })
  }
}

const tables = (brain: string) => `
specialty:
  - { rule: 10, when: { StudyDescription: '%BRAIN%' }, gives: ${brain} }
  - { rule: 20, when: { StudyDescription: '%LIVER%' }, gives: ABDOMEN }
  - { rule: 90, when: {}, gives: GENERAL }
bodyPart:
  - { rule: 10, when: { Modality: MR }, gives: HEAD }
`
const [old, fresh, bad] = [tables('NEURO'), tables('[NEURO, ONCO]'), tables('""')]

/** Runs a command as its user writes it. */
const run = (...args: string[]) => runAt({}, ...args)

async function runAt({ isTTY = false, impatient = false }, ...args: string[]) {
  const interrupt = new AbortController()
  const shown: string[] = []
  const said: string[] = []
  let status: number | undefined
  const command = mappingsCommand({
    say: (line) => said.push(line),
    progress: {
      isTTY,
      write: (text) => {
        shown.push(text)
        if (impatient) interrupt.abort(new Error('enough'))
      },
    },
    interrupted: () => interrupt.signal,
    end: (code) => {
      status = code
    },
  })
  await command.parseAsync(args, { from: 'user' })
  return { text: said.join('\n'), shown: shown.join(''), status }
}

const withConfig = (name = 'link.json') => ['-c', at(name)]
const resultOf = (text: string) => JSON.parse(text) as DryRun & { applied: boolean }

describe('mappings test', () => {
  test('says which rule fires for a description, why, and what would have fired without it', async () => {
    const { text, status } = await run('test', ...withConfig(), '--description', 'MR BRAIN', '--modality', 'MR')
    expect(text).toContain('specialty: NEURO\n  rule 10: StudyDescription matches %BRAIN%\n  then GENERAL: rule 90')
    expect(text).toContain('body part: HEAD\n  rule 10: Modality matches MR')
    expect(status).toBe(0)
  })

  test('takes tables that are not in use yet, and those of the product when none are named', async () => {
    const described = ['--description', 'MR BRAIN']
    expect((await run('test', ...withConfig(), '--mappings', at('new.yaml'), ...described)).text).toContain(
      'specialty: NEURO, ONCO',
    )
    expect((await run('test', ...described)).text).toContain('examples/mappings.yaml')
    expect((await run('test', ...withConfig('bare.json'), ...described)).text).toContain('examples/mappings.yaml')
  })

  test('takes what may be there several times, and answers in JSON', async () => {
    const lists = ['--procedure-code', 'A', '--procedure-code', 'B', '--body-part', 'HEAD', '--institution', 'North']
    const { text } = await run('test', '--mappings', at('new.yaml'), ...lists, '--json')
    expect(JSON.parse(text)).toMatchObject({
      digest: parseMappings(fresh, 'x').digest,
      facts: { procedureCodes: ['A', 'B'], bodyParts: ['HEAD'], institutions: ['North'] },
      specialty: [{ rule: 90, values: ['GENERAL'] }],
      bodyPart: [],
    })
  })

  test('looks a study up in the clusters', async () => {
    const { text, status } = await run('test', ...withConfig(), '--study', '1.2.3')
    expect(text).toMatch(/StudyDescription +CT HEAD/)
    expect(text).toContain('specialty: GENERAL')
    expect(status).toBe(0)
  })

  test.each([
    [[], '--study: missing'],
    [['--study', '1.2', '--modality', 'MR'], '--study: not together with a description'],
    [['--study', '1.2'], '--config: missing'],
    [['--mappings', '/nowhere.yaml', '--modality', 'MR'], 'cannot be read'],
  ])('%j is refused: %s', async (args, problem) => {
    await expect(run('test', ...args)).rejects.toThrow(problem)
  })

  test('says that a study is not found', async () => {
    await expect(run('test', ...withConfig(), '--study', '9.9')).rejects.toMatchObject({ code: 'not-found' })
    await expect(run('test', ...withConfig(), '--study', 'x')).rejects.toThrow('--study: "x" is no DICOM UID')
  })
})

describe('mappings check', () => {
  test('says what is in a good file', async () => {
    const { text, status } = await run('check', at('new.yaml'))
    expect(text).toBe(
      [
        'ok: 3 rules for specialty, 1 for body part',
        `digest ${parseMappings(fresh, 'x').digest}`,
        'note  bodyPart: no default rule (when: {}); studies that no rule matches have no value',
      ].join('\n'),
    )
    expect(status).toBe(0)
  })

  test('says which rules a default hides', async () => {
    const hiding = 'specialty: [{ rule: 1, when: {}, gives: A }, { rule: 2, when: { Modality: MR }, gives: B }]'
    await writeFile(at('hiding.yaml'), hiding)
    const { text } = await run('check', at('hiding.yaml'), '--json')
    expect(JSON.parse(text)).toMatchObject({
      rules: { specialty: 2, bodyPart: 0 },
      remarks: [
        'specialty: the default rule 1 comes before rules that never fire: 2',
        expect.stringMatching(/^bodyPart: no default rule/),
      ],
    })
  })

  test('says what is wrong with a bad one', async () => {
    await expect(run('check', at('bad.yaml'))).rejects.toThrow('specialty, rule 10: gives: "" is not allowed')
  })
})

describe('mappings apply', () => {
  test('says what would change in a dry run, and changes nothing', async () => {
    const { text, status, shown } = await run('apply', at('new.yaml'), ...withConfig(), '--dry-run')
    for (const line of [
      '3 studies looked at; one that several clusters hold counts for each',
      'specialty: 1 study of 3 changes',
      '  NEURO → NEURO, ONCO: 1 study',
      '    e.g. 1.2.1',
      '    rule 10: 1 study',
      '    rule 90: 2 studies',
      '    never fire: 20',
      'body part: 0 studies of 3 change',
      'cluster north: 2 studies',
      'cluster south: 1 study',
    ]) {
      expect(text.split('\n')).toContain(line)
    }
    expect(status).toBe(0)
    expect(shown.match(/^north: .*$/gm)?.at(-1)).toBe('north: 100 %, 2 studies')
    expect(shown.match(/^south: /gm)?.length).toBeLessThanOrEqual(11)
    expect(await readFile(at('mappings.yaml'), 'utf8')).toBe(old)
  })

  test('puts the new tables in use, keeps the old ones, and says how a proxy gets to know', async () => {
    const { text, status } = await run('apply', at('new.yaml'), ...withConfig())
    expect(status).toBe(0)
    expect(text).toContain(`${at('mappings.yaml')} is replaced; what it was is kept as ${at('mappings.yaml')}.bak`)
    expect(text).toMatch(/SIGHUP.*POST \/link\/v1\/mappings\/reload/)
    expect(await readFile(at('mappings.yaml'), 'utf8')).toBe(fresh)
    expect(await readFile(at('mappings.yaml.bak'), 'utf8')).toBe(old)
  })

  test('compares with the tables of the product in a dry run when the configuration names none', async () => {
    const { text } = await run('apply', at('new.yaml'), ...withConfig('bare.json'), '--dry-run', '--json')
    const { tables: result, applied } = resultOf(text)
    expect(result.specialty.changes).toContainEqual(expect.objectContaining({ from: ['MSK'], to: ['GENERAL'] }))
    expect(applied).toBe(false)
  })

  test('names clusters that fail and those not to be asked, ends with 1, and replaces nothing then', async () => {
    const dicomweb = 'http://127.0.0.1:1/dicom-web'
    const more = [
      { id: 'gone', role: 'linked', dicomweb, timeoutMs: 1000 },
      { id: 'cardio', role: 'thirdParty', dicomweb, constrained: true },
    ]
    await writeFile(at('more.json'), configOf({ mappings: 'mappings.yaml' }, more))
    const { text, status } = await run('apply', at('new.yaml'), ...withConfig('more.json'))
    expect(status).toBe(1)
    expect(text).toContain('cluster gone: 0 studies, then it FAILED\n  cluster gone: ')
    expect(text).toContain('cluster cardio: not looked at, it is constrained')
    expect(text).toContain('is not replaced, since not all clusters could be looked at')
    expect(await readFile(at('mappings.yaml'), 'utf8')).toBe(old)
  })

  test('stops when it is told to, with 130, and changes nothing', async () => {
    const { text, status } = await runAt({ impatient: true }, 'apply', at('new.yaml'), ...withConfig())
    expect(text).toBe('stopped; nothing was changed')
    expect(status).toBe(130)
    expect(await readFile(at('mappings.yaml'), 'utf8')).toBe(old)
  })

  test('shows one line on a terminal, and wipes it in the end', async () => {
    const { shown } = await runAt({ isTTY: true }, 'apply', at('new.yaml'), ...withConfig(), '--dry-run')
    expect(shown).not.toContain('\n')
    expect(shown).toContain('\r\u001b[Knorth: 100 %, 2 studies')
    expect(shown.endsWith('\r\u001b[K')).toBe(true)
  })

  test('names embedded clusters that another process has open', async () => {
    await using opened = clustersForCommand(await loadConfig(at('link.json'), {}))
    await opened.all[0]?.open()
    const { text, status } = await run('apply', at('new.yaml'), ...withConfig(), '--dry-run', '--json')
    expect(status).toBe(1)
    expect(resultOf(text).clusters).toMatchObject([
      { id: 'north', failed: expect.stringContaining('in use by another') },
      { id: 'south', failed: expect.stringContaining('in use by another') },
    ])
  })

  test.each([
    [() => ['new.yaml', 'bare.json'], 'mappings: the configuration does not name a file'],
    [() => ['mappings.yaml', 'link.json'], 'is the file in use'],
    [() => ['bad.yaml', 'link.json'], 'specialty, rule 10: gives'],
    [() => ['nothing.yaml', 'link.json'], 'cannot be read'],
  ])('is refused before anything is asked: %s %s', async (files, problem) => {
    const [file = '', config = ''] = files()
    await expect(run('apply', at(file), ...withConfig(config))).rejects.toThrow(problem)
  })
})

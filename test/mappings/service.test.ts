import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { noLog } from '../../src/core/telemetry.ts'
import { parseMappings } from '../../src/link/mappings.ts'
import { createMappings } from '../../src/mappings/service.ts'
import { shippedMappings } from '../../src/mappings/shipped.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { temporaryFolder } from '../support/folders.ts'

const tables = (value: string) => JSON.stringify({ specialty: [{ rule: 1, when: {}, gives: value }] })

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let path: string
beforeEach(async () => {
  folder = await temporaryFolder()
  path = join(folder.path, 'mappings.yaml')
  await writeFile(path, tables('OLD'))
})
afterEach(() => folder.remove())

/** A log that is kept. */
function kept() {
  const lines: [string, object][] = []
  const log = {
    ...noLog,
    info: (fields: object, event: string) => void lines.push([event, fields]),
    warn: (fields: object, event: string) => void lines.push([event, fields]),
  }
  return { lines, log }
}

async function started() {
  const clock = new FakeClock()
  const { lines, log } = kept()
  const mappings = await createMappings({ path, log, clock })
  return { mappings, clock, lines, value: () => mappings.current().specialty[0]?.gives[0] }
}

describe('the tables in force', () => {
  test('are those of the file at the start', async () => {
    const { mappings, clock, value } = await started()
    expect(value()).toBe('OLD')
    expect(mappings.loadedAt().getTime()).toBe(clock.now())
  })

  test('stay when the file changes, until they are told to be read again', async () => {
    const { mappings, clock, lines, value } = await started()
    await writeFile(path, tables('NEW'))
    expect(value()).toBe('OLD')
    await clock.advance(1000)
    const reloaded = await mappings.reload()
    expect(value()).toBe('NEW')
    expect(mappings.current()).toBe(reloaded)
    expect(mappings.loadedAt().getTime()).toBe(clock.now())
    expect(lines).toEqual([['mappings-reloaded', { digest: reloaded.digest, specialty: 1, bodyPart: 0 }]])
  })

  test('stay when the new file is bad, and what is wrong is thrown and logged', async () => {
    const { mappings, clock, lines, value } = await started()
    const [before, at] = [mappings.current(), mappings.loadedAt()]
    await writeFile(path, tables(''))
    await clock.advance(1000)
    const message = expect.stringContaining('specialty, rule 1: gives: "" is not allowed')
    await expect(mappings.reload()).rejects.toMatchObject({ code: 'config', message })
    expect(mappings.current()).toBe(before)
    expect(mappings.loadedAt()).toBe(at)
    expect(lines).toEqual([['mappings-refused', { error: message }]])
    await writeFile(path, tables('NEW'))
    await mappings.reload()
    expect(value()).toBe('NEW')
  })

  test('are those of the file as it was last, however many readings overlap and whichever of them fail', async () => {
    const readings: ((text: string) => void)[] = []
    const read = () => new Promise<string>((resolve) => readings.push(resolve))
    const starting = createMappings({ path, log: noLog, clock: new FakeClock(), read })
    readings.shift()?.(tables('OLD'))
    const mappings = await starting
    const calls = [mappings.reload(), mappings.reload(), mappings.reload()].map((call) => call.catch(() => 'refused'))
    const contents = [tables('EARLIER'), '', tables('LAST')]
    for (let begun = 0; begun < contents.length; ) {
      await turn()
      const ready = readings.splice(0).map((resolve, at) => () => resolve(contents[begun + at] ?? ''))
      // Whoever began last has its answer first.
      for (const answer of ready.toReversed()) answer()
      begun += ready.length
    }
    expect(await calls[1]).toBe('refused')
    await Promise.all(calls)
    expect(mappings.current().specialty[0]?.gives).toEqual(['LAST'])
  })

  test.each([
    ['is missing', () => rm(path), 'ENOENT'],
    ['is a folder', () => rm(path).then(() => mkdir(path)), 'this is no file'],
    ['is not in UTF-8', () => writeFile(path, Buffer.from([0xff, 0xfe, 0xfd])), 'not valid'],
    ['is longer than anybody writes', () => writeFile(path, ' '.repeat(34_000_000)), 'longer than'],
    ['is none', () => writeFile(path, 'specialty: 5'), 'specialty: 5 is not allowed'],
  ])('cannot be had when the file %s, and the start says so', async (_, spoil, problem) => {
    await spoil()
    await expect(started()).rejects.toMatchObject({ code: 'config', message: expect.stringContaining(problem) })
  })
})

test('tables come with the product, and are found from its folder', async () => {
  const mappings = await createMappings({ path: shippedMappings(), log: noLog, clock: new FakeClock() })
  expect(mappings.current().specialty.length).toBeGreaterThan(10)
  expect(parseMappings('specialty: []', 'x').digest).not.toBe(mappings.current().digest)
})

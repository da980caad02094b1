import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, test } from 'vitest'
import { type LinkedSites, startLinkedSites } from '../support/linked-sites.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { type Step, scheduleOf } from '../support/schedule.ts'
import { ScheduleRun } from '../support/schedule-run.ts'

const wanted = Number(process.env.SCHEDULES ?? 0)
const firstSeed = Number(process.env.SEED ?? 1)
const seeds = wanted > 0 || process.env.SEED !== undefined ? range(firstSeed, Math.max(1, wanted)) : [1, 2]

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index)
}

describe.skipIf(!orthancAvailable)('three linked sites', () => {
  let world: LinkedSites | undefined
  afterAll(() => world?.[Symbol.asyncDispose]())

  /** Sites that a schedule failed on are not used again. */
  async function run(name: string, steps: (world: LinkedSites) => readonly Step[]): Promise<ScheduleRun> {
    world ??= await startLinkedSites()
    const run = new ScheduleRun(world)
    try {
      await run.perform(steps(world))
      await run.settle()
      await run.check()
      return run
    } catch (thrown) {
      const file = await writeTrace(name, run, world)
      await world[Symbol.asyncDispose]()
      world = undefined
      throw new Error(`${name} failed: ${String(thrown)}\nwhat was done and logged is in ${file}`, { cause: thrown })
    }
  }

  test.for(seeds)('agree after the faults of schedule %i', async (seed) => {
    const name = `schedule ${seed} (again: SEED=${seed} npm run schedules)`
    await run(name, ({ database }) => scheduleOf(seed, { withDatabase: database !== undefined }))
  })
})

async function writeTrace(name: string, { trace }: ScheduleRun, { sites }: LinkedSites): Promise<string> {
  const file = join(tmpdir(), `dicomweb-link-${name.replaceAll(/\W+/g, '-')}.log`)
  const logs = Object.values(sites).map((site) => `== ${site.name}\n${site.log}`)
  await writeFile(file, [name, ...trace, ...logs].join('\n'))
  return file
}

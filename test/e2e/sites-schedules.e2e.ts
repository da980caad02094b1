import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type LinkedSites, type SiteName, startLinkedSites } from '../support/linked-sites.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { postgresAvailable } from '../support/postgres.ts'
import { type Fault, type Moment, type Step, scheduleOf } from '../support/schedule.ts'
import { ScheduleRun } from '../support/schedule-run.ts'

/** `npm run schedules`: so many of them, and from which seed on. */
const { SCHEDULES: wanted, SEED: first } = process.env
/** It has every kind of fault. */
const eachTime = [371]
const isLong = wanted !== undefined || first !== undefined
const seeds = isLong ? Array.from({ length: Number(wanted ?? 1) }, (_, index) => Number(first ?? 1) + index) : eachTime

type Victim = `${'proxy' | 'archive'} of ${'north' | 'south'}` | 'database'
type Crashes = readonly (readonly [Moment, from: SiteName, to: SiteName, ...victims: readonly Victim[]])[]

/** What is on its way when somebody is killed, while the south comes to have what is stored in the north. */
const crashes: Crashes = [
  ['store answered', 'north', 'north', 'proxy of north'],
  ['notice answered', 'north', 'south', 'proxy of south'],
  ['pull answered', 'south', 'north', 'archive of north', 'proxy of south'],
  ['store sent', 'south', 'south', 'archive of south'],
  ['store answered', 'south', 'south', 'database'],
]

/** Beside those, in a long run. */
const moreCrashes: Crashes = [
  ['store sent', 'north', 'north', 'proxy of north', 'archive of north'],
  ['store answered', 'north', 'north', 'archive of north'],
  ['notice sent', 'north', 'south', 'proxy of north', 'proxy of south', 'archive of south'],
  ['notice answered', 'north', 'south', 'proxy of north', 'archive of north', 'database'],
  ['pull sent', 'south', 'north', 'proxy of north', 'proxy of south', 'archive of north', 'database'],
  ['pull answered', 'south', 'north', 'proxy of north', 'archive of south'],
  ['store sent', 'south', 'south', 'proxy of south', 'proxy of north', 'database'],
  ['store answered', 'south', 'south', 'proxy of south', 'archive of south', 'proxy of north'],
  ['receipt asked', 'north', 'south', 'proxy of north', 'proxy of south'],
  ['receipt answered', 'north', 'south', 'proxy of north', 'proxy of south'],
]

const chosen = wanted !== undefined ? [...crashes, ...moreCrashes] : first === undefined ? crashes : []
const crashTable = chosen
  .flatMap(([moment, from, to, ...victims]) => victims.map((victim) => ({ moment, from, to, victim })))
  .filter(({ victim }) => victim !== 'database' || postgresAvailable)

function crashSteps({ moment, from, to, victim }: (typeof crashTable)[number]): Step[] {
  const fault = faultOf(victim)
  return [
    { do: 'store', site: 'north', study: 0, count: 4 },
    { do: 'await', moment, from, to },
    { do: 'fault', fault },
    { do: 'mend', fault },
  ]
}

function faultOf(victim: Victim): Fault {
  if (victim === 'database') return { of: 'database' }
  const [of, site] = victim.split(' of ') as ['proxy' | 'archive', SiteName]
  return { of, site, how: 'kill' }
}

describe.skipIf(!orthancAvailable)('three linked sites', () => {
  let world: LinkedSites | undefined
  afterAll(() => world?.[Symbol.asyncDispose]())

  /** Sites that something failed on are not used again. */
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

  test.for(crashTable)('agree after the $victim was killed at "$moment" from $from to $to', async (crash) => {
    const { missed } = await run(Object.values(crash).join(' '), () => crashSteps(crash))
    expect(missed).toBe(0)
  })

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

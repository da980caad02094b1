/**
 * `npm run bench [-- scenario …]`: measures scenarios, prints their tables and keeps them in `results/`. Archives, the
 * proxy and the clients are processes of their own; what is compared is measured in turn in one run.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { cached } from './cached.ts'
import { failover } from './failover.ts'
import { fanout } from './fanout.ts'
import { hung } from './hung.ts'
import { memory } from './memory.ts'
import { merge } from './merge.ts'
import { orthanc } from './orthanc.ts'
import { peers } from './peers.ts'
import { relay } from './relay.ts'
import { retrieveMemory } from './retrieve-memory.ts'
import { scaling } from './scaling.ts'
import type { Scenario } from './scenario.ts'
import { sources } from './sources.ts'
import { store } from './store.ts'
import { type Table, tableText } from './support/measure.ts'
import { updates } from './updates.ts'

const scenarios: readonly Scenario[] = [
  orthanc,
  fanout,
  merge,
  hung,
  peers,
  memory,
  relay,
  cached,
  sources,
  retrieveMemory,
  failover,
  scaling,
  store,
  updates,
]
const results = join(import.meta.dirname, 'results')

const write = (text: string) => void process.stdout.write(`${text}\n`)

function machine(): string {
  const memory = `${Math.round(totalmem() / 1024 ** 3)} GB`
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim()
  return `${availableParallelism()} × ${cpus()[0]?.model}, ${memory}, Node ${process.version}, ${commit}, load ${loadavg()[0]?.toFixed(1)}`
}

function keep(name: string, tables: readonly Table[]): void {
  mkdirSync(results, { recursive: true })
  const content = { measuredAt: new Date().toISOString(), machine: machine(), tables }
  writeFileSync(join(results, `${name}.json`), `${JSON.stringify(content, undefined, 2)}\n`)
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => scenarios.every((it) => it.name !== name))
if (unknown.length > 0) {
  write(`unknown: ${unknown.join(', ')}; there are:`)
  for (const { name, about } of scenarios) write(`  ${name.padEnd(17)}${about}`)
  process.exit(1)
}

write(machine())
for (const scenario of scenarios.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  write(`\n${scenario.name}: ${scenario.about}`)
  if (scenario.missing) {
    write(`  ${scenario.missing}`)
    continue
  }
  const tables = await scenario.run((line) => write(`  ${line}`))
  keep(scenario.name, tables)
  for (const table of tables) write(`\n${tableText(table)}`)
}

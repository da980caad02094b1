/**
 * The one test command. `node scripts/test.ts` runs everything; `node scripts/test.ts lint unit` only those steps.
 * Every step runs even when an earlier one failed; the last line counts tests and checks together.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { add, closingLine, none, type Tally, tallyOfCheck, tallyOfVitest, verdict } from './tally.ts'

const root = join(import.meta.dirname, '..')
const scratch = mkdtempSync(join(tmpdir(), 'dicomweb-link-test-'))

/** Nothing of a test run is told to anybody. */
const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }

const run = (command: string, ...args: string[]): number =>
  spawnSync(command, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] }).status ?? 1

const check =
  (command: string, ...args: string[]) =>
  (): Tally =>
    tallyOfCheck(run(command, ...args))

const vitest =
  (...projects: readonly string[]) =>
  (): Tally => {
    const report = join(scratch, `${projects.join('-')}.json`)
    const status = run(
      'vitest',
      'run',
      ...projects.map((project) => `--project=${project}`),
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    )
    try {
      return tallyOfVitest(JSON.parse(readFileSync(report, 'utf8')), status)
    } catch {
      return tallyOfCheck(status === 0 ? 1 : status)
    }
  }

/** `drizzle/` says what `src/db/schema.ts` says: generating into a copy adds no migration. */
const drift = (): Tally => {
  const copy = join(scratch, 'drizzle')
  cpSync(join(root, 'drizzle'), copy, { recursive: true })
  const before = readdirSync(copy).length
  const status = run(
    'drizzle-kit',
    'generate',
    '--dialect=postgresql',
    '--schema=./src/db/schema.ts',
    `--out=${relative(root, copy)}`,
  )
  const drifted = readdirSync(copy).length !== before
  if (drifted)
    console.error('drizzle/ is behind src/db/schema.ts: run "npx drizzle-kit generate" and commit the result.')
  return tallyOfCheck(drifted ? 1 : status)
}

const steps: Readonly<Record<string, () => Tally>> = {
  typecheck: check('tsc', '--noEmit', '-p', '.'),
  lint: check('biome', 'ci', '.'),
  boundaries: check('node', 'scripts/boundaries.ts'),
  drift,
  openapi: check('redocly', 'lint', 'openapi.yaml'),
  unit: vitest('unit'),
  e2e: vitest('e2e', 'alone'),
}

const main = (chosen: readonly string[]): number => {
  const unknown = chosen.filter((name) => !(name in steps))
  if (unknown.length > 0) {
    console.error(`no such step: ${unknown.join(', ')}; there are ${Object.keys(steps).join(', ')}`)
    return 2
  }
  let total = none
  for (const [name, step] of Object.entries(steps)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue
    console.log(`\n== ${name}`)
    const started = performance.now()
    const tally = step()
    total = add(total, tally)
    console.log(`== ${name}: ${closingLine(tally)} (${Math.round((performance.now() - started) / 1000)} s)`)
  }
  console.log(`\n${closingLine(total)}`)
  return verdict(total)
}

try {
  process.exitCode = main(process.argv.slice(2))
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

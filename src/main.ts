#!/usr/bin/env node
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command } from 'commander'
import type { Console } from './cli/console.ts'
import { mappingsCommand } from './cli/mappings.ts'
import { reconcileCommand } from './cli/reconcile.ts'
import { replicationCommand } from './cli/replication.ts'
import { renderReports } from './clusters/check-report.ts'
import { checkClusters, serve } from './compose.ts'
import { demoConfig, loadConfig } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { LinkError, toError } from './core/errors.ts'

/** The command line; the only file that ends the process. */
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const program = new Command('dicomweb-link')
  .description('One DICOMweb address in front of many PACS clusters.')
  .version(version)
  .addHelpText('after', '\nStart without a configuration to see it work on generated studies: dicomweb-link serve')

program
  .command('serve', { isDefault: true })
  .description('run the proxy; without --config a demo with two embedded clusters')
  .option('-c, --config <file>', 'configuration, YAML or JSON; see examples/ and docs/operations.md')
  .option('-p, --port <number>', 'port to listen on, instead of the configured one (8080)', portNumber)
  .option(
    '-d, --data-dir <folder>',
    'folder for database and embedded clusters, instead of the configured one (./data)',
  )
  .action(async (options: ServeOptions) => {
    const config = withOverrides(
      options.config ? await loadConfig(options.config, process.env) : demoConfig('./data'),
      options,
    )
    const starting = serve(config, { demo: options.config === undefined, say })
    stopOnSignal(async () => (await starting).stop())
    reloadOnSignal(async () => (await starting).reload())
    announce((await starting).address, config)
  })

program
  .command('check')
  .description('say what each configured cluster answers, supports and lacks')
  .requiredOption('-c, --config <file>', 'configuration, YAML or JSON')
  .option('--json', 'machine-readable report')
  .action(async (options: { config: string; json?: boolean }) => {
    const reports = await checkClusters(await loadConfig(options.config, process.env))
    say(options.json ? JSON.stringify(reports, null, 2) : renderReports(reports))
    process.exitCode = reports.every(({ problems }) => problems.length === 0) ? 0 : 1
  })

program
  .command('hash-key')
  .description('make an API key, or hash the one on standard input, for auth.apiKeys')
  .option('--stdin', 'hash the key read from standard input instead of making one')
  .action((options: { stdin?: boolean }) => {
    const key = options.stdin ? readFileSync(0, 'utf8').trim() : randomBytes(32).toString('base64url')
    if (!options.stdin) process.stdout.write(`key:  ${key}\n`)
    process.stdout.write(`hash: sha256:${createHash('sha256').update(key).digest('hex')}\n`)
  })

const terminal: Console = {
  say,
  progress: process.stderr,
  interrupted: stopAtOnce,
  end: (status) => {
    process.exitCode = status
  },
}
program
  .addCommand(reconcileCommand(terminal))
  .addCommand(replicationCommand(terminal))
  .addCommand(mappingsCommand(terminal))

interface ServeOptions {
  readonly config?: string
  readonly port?: number
  readonly dataDir?: string
}

const withOverrides = (config: Config, { port, dataDir }: ServeOptions): Config => ({
  ...config,
  ...(port !== undefined && { listen: { ...config.listen, port } }),
  ...(dataDir !== undefined && { dataDir: resolve(dataDir) }),
})

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Where to look; the first line is also for scripts that wait for it. */
function announce(address: string, { viewer }: Config): void {
  say(`listening on ${address}`)
  if (viewer) say(`  viewer      ${address}/`)
  say(`  DICOMweb    ${address}/dicom-web/studies`)
  say(`  search      ${address}/ui`)
  say(`  API         ${address}/docs`)
  say(`  state       ${address}/readyz   ${address}/metrics`)
}

function portNumber(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new Error(`--port: ${JSON.stringify(text)} is no port; expected a number from 0 to 65535`)
}

/** npm passes on a Ctrl-C that the terminal has sent to all of its children already: two at once are one. */
const sameSignalMs = 1000

/** The first signal lets what runs finish and ends with 0, also while still starting; an impatient later one ends at once. */
function stopOnSignal(stop: () => Promise<void>): void {
  let since: number | undefined
  const onSignal = () => {
    if (since !== undefined && Date.now() - since > sameSignalMs) process.exit(1)
    if (since !== undefined) return
    since = Date.now()
    say('finishing what is running …')
    stop().then(() => process.exit(0), fail)
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}

/** Fires at the first SIGINT or SIGTERM; the next one ends the process. */
function stopAtOnce(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => controller.abort(new LinkError('cancelled', 'stopped')))
  }
  return controller.signal
}

/** SIGHUP is the custom for reading files again; a bad one is said and changes nothing. */
function reloadOnSignal(reload: () => Promise<void>): void {
  process.on('SIGHUP', () => {
    reload().then(
      () => say('mapping tables read again'),
      (thrown: unknown) => say(`mapping tables not read again, the old ones stay: ${toError(thrown).message}`),
    )
  })
}

function fail(thrown: unknown): never {
  process.stderr.write(`dicomweb-link: ${toError(thrown).message}\n`)
  process.exit(1)
}

program.parseAsync().catch(fail)

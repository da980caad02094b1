import { Command } from 'commander'
import { clustersForCommand } from '../compose/commands.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { systemClock as clock } from '../core/clock.ts'
import { badRequest } from '../core/errors.ts'
import { parseUid } from '../dicom/uid.ts'
import { travelsUnless } from '../link/travels.ts'
import { type Finding, type Party, type Reconciliation, reconcile } from '../replicate/reconcile.ts'
import { updatesOf } from '../replicate/targets.ts'
import type { Console } from './console.ts'
import { progressOn } from './progress.ts'
import { renderFinding, renderReconciliation } from './reconcile-text.ts'

export interface ReconcileCommandOptions {
  readonly config: string
  readonly study?: string
  readonly cluster?: string
  readonly dryRun?: boolean
  readonly rate: number
  readonly json?: boolean
}

/** `dicomweb-link reconcile`: compares what home and the linked clusters hold, and sends what is missing. */
export const reconcileCommand = (console: Console): Command =>
  new Command('reconcile')
    .description('compare what home and the linked clusters hold of every study, and send what is missing')
    .requiredOption('-c, --config <file>', 'configuration, YAML or JSON')
    .option('--study <uid>', 'only this study, by its Study Instance UID')
    .option('--cluster <id>', 'repair only this cluster; the others are compared and read from')
    .option('--dry-run', 'only say what is missing where')
    .option('--rate <studies>', 'studies compared in a second at most', rateOf, 20)
    .option('--json', 'machine-readable: a line for each study that was not complete, then one for all')
    .addHelpText(
      'after',
      [
        '',
        'Every study of home and of every linked cluster is looked at. A linked cluster with "updates: all" is to hold',
        'all of every study of which home holds something, one with "updates: holders", and home itself, all of the',
        'studies of which they hold something. Third parties are neither read nor written, and other sites that are',
        'linked by their proxies see to it themselves. Nothing is ever deleted.',
        '',
        'What is missing is sent at once, by this command itself, not through the queue of a running proxy: when it ends',
        'it is certain what became of it. It may run beside a proxy, which then sends nothing twice. Embedded clusters',
        'can be looked at while no proxy has them open.',
        '',
        'A cluster that does not answer is told, and the others are gone on with. Ctrl-C stops it with what was done so',
        'far. Ends with status 0 when all is complete or repaired, with 130 when it was stopped, else with 1.',
        '',
        'Examples:',
        '  dicomweb-link reconcile -c link.yaml --dry-run',
        '  dicomweb-link reconcile -c link.yaml --cluster south --rate 5',
        '  dicomweb-link reconcile -c link.yaml --study 1.2.840.1',
      ].join('\n'),
    )
    .action(async (options: ReconcileCommandOptions) =>
      run(options, await loadConfig(options.config, process.env), console),
    )

function rateOf(text: string): number {
  const rate = Number(text)
  if (rate > 0 && rate <= 10_000) return rate
  throw badRequest(`--rate: ${JSON.stringify(text)} is not allowed; expected a number above 0, at most 10000`)
}

const stopped = 130

async function run(options: ReconcileCommandOptions, config: Config, console: Console): Promise<void> {
  const study = options.study === undefined ? {} : { study: parseUid(options.study, '--study') }
  await using configured = clustersForCommand(config)
  const parties = partiesOf(configured.all, options.cluster)
  const shown = progressOn(console.progress)
  const onFinding = (finding: Finding) => {
    shown.end()
    console.say(options.json ? JSON.stringify(finding) : renderFinding(finding))
  }
  // What waits for time to pass does not keep the process alive by itself.
  const alive = setInterval(() => undefined, 60_000)
  try {
    const result = await reconcile({
      ...study,
      parties,
      repair: !options.dryRun,
      travels: travelsUnless(config.replication.stays),
      studiesPerSecond: options.rate,
      maxRows: config.limits.maxRowsPerCluster,
      maxBufferedPartBytes: config.limits.maxBufferedPartBytes,
      clock,
      signal: console.interrupted(),
      onFinding,
      onProgress: shown.tell,
    })
    shown.end()
    console.say(options.json ? JSON.stringify(result) : renderReconciliation(result))
    console.end(result.stopped ? stopped : isWhole(result) ? 0 : 1)
  } finally {
    clearInterval(alive)
    shown.end()
  }
}

type Configured = ReturnType<typeof clustersForCommand>['all']

/** Home takes part as one that is to be completed; what third parties hold is no one else's. */
function partiesOf(configured: Configured, only: string | undefined): Party[] {
  const updates = new Map(
    configured.map((it) => [it.id, it.role === 'home' ? ('holders' as const) : updatesOf(it)] as const),
  )
  if (only !== undefined && !updates.has(only)) throw badRequest(`--cluster: the configuration has no cluster ${only}`)
  if (only !== undefined && updates.get(only) === 'none') throw badRequest(`--cluster: ${only} takes no updates`)
  if (configured.some(({ id, isPeer }) => isPeer && id === only)) {
    throw badRequest(`--cluster: ${only} is another site; running proxies compare what they have by themselves`)
  }
  return configured
    .filter(({ role, isPeer }) => role !== 'thirdParty' && !isPeer)
    .map(({ id, constrained, open }) => ({
      id,
      updates: only === undefined || only === id ? (updates.get(id) ?? 'none') : 'none',
      ...(constrained && { skip: 'it is constrained; studies of others are compared with it' }),
      open,
    }))
}

const isWhole = ({ studies, complete, repaired, clusters }: Reconciliation): boolean =>
  complete + repaired === studies &&
  clusters.every(({ failed, unanswered, gaps }) => failed === undefined && unanswered === 0 && gaps.length === 0)

import { Command } from 'commander'
import { z } from 'zod'
import { parseUid } from '../dicom/uid.ts'
import type { Console } from './console.ts'
import { type OperateOptions, type Operator, operatorOf } from './operator.ts'
import {
  deadLetter,
  refusedInstance,
  renderDeadLetter,
  renderRefused,
  renderRetried,
  renderState,
  state,
} from './replication-text.ts'

interface ListOptions extends OperateOptions {
  readonly cluster?: string
  readonly json?: boolean
}

interface ClusterOptions extends OperateOptions {
  readonly cluster: string
  readonly study?: string
  readonly json?: boolean
}

const path = '/link/v1/replication'

/** `dicomweb-link replication …`: how a running proxy stands with bringing studies to other clusters, and operating it. */
export function replicationCommand(console: Console): Command {
  const group = new Command('replication')
    .description('say how a running proxy stands with replication, pause and resume it, retry what was given up')
    .addHelpText(
      'after',
      [
        '',
        'The proxy that runs is asked, by HTTP: at the address that --config says, at --url, or at http://127.0.0.1:8080.',
        'Where it wants to know who asks, the environment variable DICOMWEB_LINK_KEY is to hold an API key of the scope',
        'admin. Proxies that share a database share the list too: any of them may be asked.',
        '',
        'Examples:',
        '  dicomweb-link replication status',
        '  dicomweb-link replication dead-letters -c link.yaml --cluster south',
        '  dicomweb-link replication pause -c link.yaml --cluster south',
        '  dicomweb-link replication retry --url https://link.example.org --cluster south --study 1.2.840.1',
      ].join('\n'),
    )
  for (const command of [
    statusCommand(console),
    deadLettersCommand(console),
    refusedCommand(console),
    switchCommand(console, 'pause', 'send nothing to a cluster until it is resumed; what is under way goes on'),
    switchCommand(console, 'resume', 'send to a paused cluster again'),
    retryCommand(console),
  ]) {
    group.addCommand(command)
  }
  return group
}

const commandNamed = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .option('-c, --config <file>', 'configuration of the proxy, for its address')
    .option('--url <address>', 'address of the proxy, instead of the configured one')
    .option('--json', 'machine-readable answer')

const ofCluster = ['--cluster <id>', 'only of this cluster'] as const
const toCluster = ['--cluster <id>', 'the cluster, by its id in the configuration'] as const

const statusCommand = (console: Console): Command =>
  commandNamed('status', 'say what waits for each cluster, what was given up, and what failed last')
    .option(...ofCluster)
    .action(async (options: ListOptions) => {
      const { clusters } = await (await operatorOf(options, console)).get(path, z.object({ clusters: z.array(state) }))
      const chosen = clusters.filter(({ cluster }) => options.cluster === undefined || options.cluster === cluster)
      if (options.json) console.say(JSON.stringify({ clusters: chosen }, null, 2))
      else for (const line of chosen.length > 0 ? chosen.map(renderState) : [nobody(options.cluster)]) console.say(line)
      console.end(chosen.length === 0 && options.cluster !== undefined ? 1 : 0)
    })

const nobody = (cluster: string | undefined) =>
  cluster === undefined ? 'no cluster takes updates' : `no cluster ${cluster} takes updates`

const deadLettersCommand = (console: Console): Command =>
  commandNamed('dead-letters', 'list the studies that are not tried again by themselves, and why')
    .option(...ofCluster)
    .action(async (options: ListOptions) => {
      const pages = z.object({ deadLetters: z.array(deadLetter), next })
      const operator = await operatorOf(options, console)
      for await (const { deadLetters } of pagesOf(operator, ['dead-letters', options.cluster], pages)) {
        for (const it of deadLetters) console.say(options.json ? JSON.stringify(it) : renderDeadLetter(it))
      }
      console.end(0)
    })

const refusedCommand = (console: Console): Command =>
  commandNamed('refused', 'list the instances that clusters refuse for good, with their Failure Reasons')
    .option(...ofCluster)
    .action(async (options: ListOptions) => {
      const pages = z.object({ refusedInstances: z.array(refusedInstance), next })
      const operator = await operatorOf(options, console)
      for await (const { refusedInstances } of pagesOf(operator, ['refused-instances', options.cluster], pages)) {
        for (const it of refusedInstances) console.say(options.json ? JSON.stringify(it) : renderRefused(it))
      }
      console.end(0)
    })

const next = z.string().nullable()

async function* pagesOf<Page extends { readonly next: string | null }>(
  operator: Operator,
  [list, cluster]: readonly [string, string | undefined],
  page: z.ZodType<Page>,
): AsyncGenerator<Page> {
  const query = new URLSearchParams(cluster === undefined ? {} : { cluster })
  for (;;) {
    const answer = await operator.get(`${path}/${list}?${query}`, page)
    yield answer
    if (answer.next === null) return
    query.set('cursor', answer.next)
  }
}

const switchCommand = (console: Console, verb: 'pause' | 'resume', description: string): Command =>
  commandNamed(verb, description)
    .requiredOption(...toCluster)
    .action(async (options: ClusterOptions) => {
      const operator = await operatorOf(options, console)
      const answer = await operator.post(`${path}/${encodeURIComponent(options.cluster)}/${verb}`, state)
      console.say(options.json ? JSON.stringify(answer, null, 2) : renderState(answer))
      console.end(0)
    })

const retryCommand = (console: Console): Command =>
  commandNamed('retry', 'try again what was given up, and what a cluster refused')
    .requiredOption(...toCluster)
    .option('--study <uid>', 'only this study, by its Study Instance UID')
    .action(async (options: ClusterOptions) => {
      const study = options.study === undefined ? '' : `?study=${parseUid(options.study, '--study')}`
      const operator = await operatorOf(options, console)
      const retried = z.object({ cluster: z.string(), studies: z.int() })
      const answer = await operator.post(`${path}/${encodeURIComponent(options.cluster)}/retry${study}`, retried)
      console.say(options.json ? JSON.stringify(answer, null, 2) : renderRetried(answer))
      console.end(0)
    })

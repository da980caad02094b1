import { createHash } from 'node:crypto'
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import type { Config } from '../config/schema.ts'
import { age } from '../core/age.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { DeadLetter } from '../db/outbox.ts'
import type { Outbox, OutboxState } from '../replicate/outbox.ts'
import { linkPath, replicationPage } from './addresses.ts'
import { stream } from './answer.ts'
import type { Env, Route } from './context.ts'
import type { Lifecycle } from './server.ts'
import { type Html, layout, pageResponse, table } from './ui-page.ts'
import { wherePath } from './ui-where.ts'

export interface ReplicationPageDependencies {
  readonly config: Pick<Config, 'viewer'>
  readonly outbox: Pick<Outbox, 'states' | 'deadLetters'>
  readonly lifecycle: Lifecycle
  readonly clock: Clock
}

/** Of the dead letters; the command line and the API give all. */
const shownDeadLetters = 50
/** How often an open page is brought up to date, and how many may be open. */
const refreshMs = 2000
const maxOpen = 32
/** So often something is sent, whether anything changed or not: who has gone is noticed. */
const quietRounds = 10

/** What is to reach the clusters, for people: what `GET /link/v1/replication` tells, live where scripts run. */
export function replicationPages(deps: ReplicationPageDependencies): Route[] {
  const open = { pages: 0 }
  return [
    { method: 'GET', path: replicationPage, scope: 'admin', handle: () => page(deps) },
    { method: 'GET', path: `${replicationPage}/events`, scope: 'admin', handle: (c) => events(c, deps, open) },
  ]
}

/** Without it the page shows what was when it was loaded. */
const script = `new EventSource('${replicationPage}/events').onmessage = ({ data }) => {
  if (!document.querySelector('#live').contains(document.activeElement)) document.querySelector('#live').innerHTML = data
}`
const scriptHash = `'sha256-${createHash('sha256').update(script).digest('base64')}'`

async function page({ config, outbox, clock }: ReplicationPageDependencies): Promise<Response> {
  const content = html`
      <section id="queues" aria-labelledby="queues-heading" tabindex="-1">
        <h2 id="queues-heading">Replication</h2>
        <div id="live">${await live(outbox, clock)}</div>
        <script>${raw(script)}</script>
      </section>`
  const parts = { queues: 'queues' }
  return pageResponse(
    layout({ title: 'Replication', parts, current: 'replication', hasViewer: config.viewer, content }),
    {
      status: 200,
      script: scriptHash,
      // Else browsers would not say where a form comes from, and it would be taken for one of another page.
      headers: { 'Referrer-Policy': 'same-origin' },
    },
  )
}

/** Server-sent events, each with the part of the page that changes. Ends when the service does. */
function events(c: Context<Env>, deps: ReplicationPageDependencies, open: { pages: number }): Promise<Response> {
  if (open.pages >= maxOpen)
    throw new LinkError('unavailable', `${maxOpen} pages are kept up to date already; close one of them`)
  c.header('Cache-Control', 'no-store')
  return stream(c, { status: 200, contentType: 'text/event-stream', body: changes(deps, c.env.exchange.signal, open) })
}

async function* changes(
  { outbox, lifecycle, clock }: ReplicationPageDependencies,
  signal: AbortSignal,
  open: { pages: number },
): AsyncGenerator<Uint8Array> {
  open.pages++
  try {
    let shown = ''
    for (let quiet = 0; !lifecycle.draining; quiet++) {
      const now = String(await live(outbox, clock))
      if (now !== shown || quiet >= quietRounds) {
        yield Buffer.from(now === shown ? ':\n\n' : eventOf(now))
        shown = now
        quiet = 0
      }
      await clock.sleep(refreshMs, signal)
    }
  } finally {
    open.pages--
  }
}

const eventOf = (text: string): string =>
  `${text
    .split('\n')
    .map((line) => `data: ${line}`)
    .join('\n')}\n\n`

async function live(outbox: ReplicationPageDependencies['outbox'], clock: Clock): Promise<Html> {
  const states = await outbox.states()
  const dead = states.some(({ deadLetters }) => deadLetters > 0)
    ? await outbox.deadLetters({ cluster: undefined, after: undefined, limit: shownDeadLetters })
    : []
  return html`
          ${table({ id: 'clusters', caption: captionOf(states), columns: stateColumns, rows: states.map(stateRow) })}
          ${
            dead.length === 0
              ? ''
              : table({
                  id: 'dead-letters',
                  caption: 'Studies that are not tried again by themselves',
                  columns: ['Study', 'Cluster', 'Attempts', 'Failing for', 'Last error', ''],
                  rows: dead.map((letter) => letterRow(letter, clock.now())),
                })
          }`
}

function captionOf(states: readonly OutboxState[]): string {
  const waiting = states.reduce((sum, state) => sum + state.waiting + state.running, 0)
  if (waiting === 0) return 'Every cluster has what it is to have'
  return waiting === 1 ? '1 study is on its way' : `${waiting} studies are on their way`
}

const stateColumns = [
  'Cluster',
  'State',
  'Waiting',
  'Running',
  'Oldest',
  'Sent in a minute',
  'Dead letters',
  'Refused',
  'Last error',
  '',
]

const stateRow = (state: OutboxState) => [
  state.cluster,
  html`<span class="state ${state.pausedSince ? 'down' : 'up'}">${state.pausedSince ? 'paused' : 'sending'}</span>`,
  state.waiting,
  state.running,
  state.waiting + state.running > 0 ? age(state.oldestAgeMs) : '',
  state.sentLastMinute,
  state.deadLetters,
  state.refusedInstances,
  state.lastFailure?.error,
  html`${button(state.cluster, state.pausedSince ? 'resume' : 'pause')}
    ${state.deadLetters + state.refusedInstances > 0 ? button(state.cluster, 'retry') : ''}`,
]

const letterRow = ({ study, cluster, attempts, failingSince, error }: DeadLetter, now: number) => [
  html`<a href="${wherePath}/${study}">${study}</a>`,
  cluster,
  attempts,
  failingSince ? age(now - failingSince.getTime()) : '',
  error,
  button(cluster, 'retry', `?study=${study}`),
]

const button = (cluster: string, verb: 'pause' | 'resume' | 'retry', query = ''): Html =>
  html`<form method="post" action="${linkPath}/replication/${cluster}/${verb}${query}"><button aria-label="${verb} ${cluster}">${verb}</button></form>`

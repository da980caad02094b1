import type { Context } from 'hono'
import { html } from 'hono/html'
import type { Config } from '../config/schema.ts'
import type { Criterion } from '../retrieve/choose.ts'
import type { HolderReport, RetrieveReport } from '../retrieve/explain.ts'
import type { RetrieveService } from '../retrieve/service.ts'
import { linkPath } from './addresses.ts'
import { requesterOf } from './caller.ts'
import type { Env, Route } from './context.ts'
import { targetIn } from './parameters.ts'
import { describeProblem } from './problem.ts'
import { alertText, type Html, layout, milliseconds, pageResponse, table, warningsRegion } from './ui-page.ts'

export interface WhereRoutesDependencies {
  readonly config: Pick<Config, 'viewer'>
  readonly retrieve: Pick<RetrieveService, 'explain'>
}

/** The page about one study, by its UID. */
export const wherePath = '/ui/studies'

/** Where a study is, for people: what `GET /link/v1/explain/studies/{study}` tells. */
export const whereRoutes = (deps: WhereRoutesDependencies): Route[] => [
  { method: 'GET', path: `${wherePath}/:study`, scope: 'retrieve', handle: (c) => where(c, deps) },
]

async function where(c: Context<Env>, { config, retrieve }: WhereRoutesDependencies): Promise<Response> {
  const page = (title: string, content: Html) =>
    layout({ title, parts: { copies: 'copies' }, hasViewer: config.viewer, content })
  try {
    const report = await retrieve.explain(targetIn(c), requesterOf(c))
    return await pageResponse(page(titleOf(report), copiesSection(html`${facts(report)}${clusters(report)}`)))
  } catch (error) {
    const { problem, headers } = describeProblem(error, c.env.exchange.id)
    if (problem.code === 'internal' || problem.code === 'cancelled') throw error
    return await pageResponse(page('Error', copiesSection(alertText(problem.detail))), {
      status: problem.status,
      headers,
    })
  }
}

const titleOf = ({ holders }: RetrieveReport): string =>
  `Held by ${holders.length} ${holders.length === 1 ? 'cluster' : 'clusters'}`

const copiesSection = (content: Html): Html => html`
      <section id="copies" aria-labelledby="copies-heading" tabindex="-1">
        <h2 id="copies-heading">Copies of a study</h2>
        ${content}
      </section>`

function facts({ target: { study }, union, silent, holders }: RetrieveReport): Html {
  const unlisted = holders.flatMap(({ cluster, unlisted: reason }) => (reason ? [{ cluster, reason }] : []))
  const missing = [
    ...silent.map(({ cluster, reason }) => `cluster ${cluster} did not say whether it holds it: ${reason}`),
    ...unlisted.map(({ cluster, reason }) => `cluster ${cluster} does not list what it holds: ${reason}`),
  ]
  return html`
        ${warningsRegion(missing)}
        <p>Study <code>${study}</code> has ${union.instances} images in ${union.series} series over all its copies;
        as JSON at <a href="${linkPath}/explain/studies/${study}">${linkPath}/explain/studies/${study}</a>.</p>`
}

const clusters = ({ holders, skipped }: RetrieveReport): Html => html`
        ${table({ id: 'holders', caption: 'Clusters in the order in which they are asked', columns: holderColumns, rows: holders.map(holderRow) })}
        ${
          skipped.length === 0
            ? ''
            : table({
                id: 'skipped',
                caption: 'Clusters that are not asked',
                columns: ['Cluster', 'Role', 'Why'],
                rows: skipped.map(({ cluster, role, why }) => [cluster, role, why]),
              })
        }`

const holderColumns = [
  'Cluster',
  'Role',
  'Why here',
  'State',
  'Availability',
  'Series',
  'Images',
  'Only here',
  'Priority',
  'In line',
  'First byte',
  'Throughput',
]

const holderRow = ({ cluster, role, decidedBy, merits, status, listed, unlisted }: HolderReport) => [
  cluster,
  role,
  decidedBy ? whyHere[decidedBy] : 'asked first',
  status && html`<span class="state ${status.state}">${status.state}</span>`,
  merits.availability,
  merits.series,
  listed?.instances ?? unlisted,
  listed?.onlyHere,
  merits.priority,
  status?.pool.waiting,
  status?.firstByteMs === undefined ? '' : milliseconds(status.firstByteMs),
  status?.bytesPerSecond === undefined ? '' : `${(status.bytesPerSecond / 1e6).toFixed(1)} MB/s`,
]

/** What puts a cluster behind the one before it. */
const whyHere: Readonly<Record<Criterion, string>> = {
  health: 'down',
  availability: 'not as close to its cache',
  series: 'fewer series',
  instances: 'fewer images',
  priority: 'lower priority',
  load: 'requests wait in line for it',
  speed: 'slower',
  id: 'as good, later by its id',
}

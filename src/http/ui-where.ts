import type { Context } from 'hono'
import { html } from 'hono/html'
import type { Config } from '../config/schema.ts'
import type { StudyUpdates } from '../db/study-updates.ts'
import { failureReasonText } from '../dicom/failure-reason.ts'
import type { Outbox } from '../replicate/outbox.ts'
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
  readonly outbox: Pick<Outbox, 'study'>
}

/** The page about one study, by its UID. */
export const wherePath = '/ui/studies'

/** Where a study is, for people: what `GET /link/v1/explain/studies/{study}` tells. */
export const whereRoutes = (deps: WhereRoutesDependencies): Route[] => [
  { method: 'GET', path: `${wherePath}/:study`, scope: 'retrieve', handle: (c) => where(c, deps) },
]

async function where(c: Context<Env>, { config, retrieve, outbox }: WhereRoutesDependencies): Promise<Response> {
  const page = (title: string, content: Html, more: Readonly<Record<string, string>> = {}) =>
    layout({ title, parts: { copies: 'copies', ...more }, hasViewer: config.viewer, content })
  try {
    const report = await retrieve.explain(targetIn(c), requesterOf(c))
    const copies = copiesSection(html`${facts(report)}${clusters(report)}`)
    // Who may not operate the service sees where the study is, and no more.
    if (!c.env.exchange.principal?.scopes.has('admin')) return await pageResponse(page(titleOf(report), copies))
    const updates = updatesSection(await outbox.study(report.target.study))
    return await pageResponse(page(titleOf(report), html`${copies}${updates}`, { updates: 'updates' }))
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

const updatesSection = ({ study, version, jobs, refused }: StudyUpdates): Html => html`
      <section id="updates" aria-labelledby="updates-heading" tabindex="-1">
        <h2 id="updates-heading">Updates of the study</h2>
        <p>${jobs.length === 0 ? 'Nothing of it is on its way.' : 'Not all of it is where it is to be.'}
        Changes: ${versionText(version)}; as JSON at
        <a href="${linkPath}/replication/studies/${study}">${linkPath}/replication/studies/${study}</a>.</p>
        ${jobs.length === 0 ? '' : table({ id: 'jobs', caption: 'On its way', columns: jobColumns, rows: jobs.map(jobRow) })}
        ${
          refused.length === 0
            ? ''
            : table({
                id: 'refused',
                caption: 'Instances that are not taken',
                columns: ['Cluster', 'Instance', 'Why'],
                rows: refused.map(({ cluster, instance, reason }) => [cluster, instance, refusedBecause(reason)]),
              })
        }
      </section>`

const versionText = (version: StudyUpdates['version']): string =>
  Object.entries(version)
    .toSorted()
    .map(([site, changes]) => `${changes} of ${site}`)
    .join(', ') || 'none'

const jobColumns = ['Cluster', 'State', 'Attempts', 'Last error']

const jobRow = ({ cluster, state, attempts, error }: StudyUpdates['jobs'][number]) => [cluster, state, attempts, error]

/** An instance that is there with other content. */
const duplicate = 0x0111

const refusedBecause = (reason: number): string =>
  reason === duplicate ? 'conflict: it is there with other content' : failureReasonText(reason)

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

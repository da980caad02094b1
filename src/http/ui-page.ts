import { createHash } from 'node:crypto'
import { html, raw } from 'hono/html'
import type { ClusterStatus } from '../clusters/registry.ts'
import { replicationPage } from './addresses.ts'
import { style } from './ui-style.ts'

/**
 * Markup whose values are escaped. Written with the tagged template of `hono/html`, which shares its escaping with
 * `hono/jsx`: TypeScript runs here by stripping its types, and that leaves no place for the syntax of .tsx files.
 */
export type Html = ReturnType<typeof html>

/** The one style sheet is in the page and known by its hash; so is a script, where there is one, and none else may run. */
const pagePolicy = (script: string | undefined): string =>
  [
    "default-src 'none'",
    ...(script ? [`script-src ${script}`, "connect-src 'self'"] : []),
    `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')

interface Layout {
  readonly title: string
  /** Parts of the page to skip to, by their ids. */
  readonly parts: Readonly<Record<string, string>>
  /** Which of the pages it is that have their place in the navigation. */
  readonly current?: 'search' | 'replication'
  readonly hasViewer: boolean
  readonly content: Html
}

/** The whole page. The empty icon keeps browsers from asking for one. */
export const layout = ({ title, parts, current, hasViewer, content }: Layout): Html => html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${title} – dicomweb-link</title>
    <link rel="icon" href="data:,">
    <style>${raw(style)}</style>
  </head>
  <body>
    ${Object.entries(parts).map(([id, name]) => html`<a class="skip" href="#${id}">Skip to ${name}</a>`)}
    <header>
      <h1>dicomweb-link</h1>
      <nav aria-label="Pages">
        ${hasViewer ? html`<a href="/">Viewer</a>` : ''}
        <a href="/ui"${current === 'search' ? isCurrent : ''}>Linked search</a>
        <a href="${replicationPage}"${current === 'replication' ? isCurrent : ''}>Replication</a>
        <a href="/docs">API</a>
      </nav>
    </header>
    <main>${content}</main>
  </body>
</html>
`

const isCurrent = html` aria-current="page"`

interface Table {
  /** Prefix of the ids in the page. */
  readonly id: string
  readonly caption: string
  readonly columns: readonly string[]
  /** The first cell names the row. */
  readonly rows: readonly (readonly unknown[])[]
}

/** A table that scrolls by itself, by keyboard too, so that the page never does sideways. */
export const table = ({ id, caption, columns, rows }: Table): Html => html`
      <div class="scroller" role="region" aria-labelledby="${id}-caption" tabindex="0">
        <table>
          <caption id="${id}-caption">${caption}</caption>
          <thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
          <tbody>${rows.map(tableRow)}</tbody>
        </table>
      </div>`

/** Said at the top of a page on which nothing else can be; it has the focus. */
export const alertText = (text: string): Html => html`<p class="error" role="alert" tabindex="-1" autofocus>${text}</p>`

/** There also when it is empty: assistive technology watches regions that it knows. */
export const warningsRegion = (warnings: readonly string[]): Html => html`
        <div role="status" aria-label="Warnings">
          ${warnings.length > 0 ? html`<ul class="warnings">${warnings.map((text) => html`<li>${text}</li>`)}</ul>` : ''}
        </div>`

const tableRow = ([name, ...cells]: readonly unknown[]): Html => html`
            <tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`

/** Health and latency of every cluster, as `/readyz` tells them. */
export const clustersSection = (states: readonly ClusterStatus[]): Html => html`
      <section aria-labelledby="clusters-heading">
        <h2 id="clusters-heading">Clusters</h2>
        ${table({
          id: 'clusters',
          caption: `${states.filter(({ state }) => state === 'up').length} of ${states.length} clusters are up`,
          columns: ['Cluster', 'Role', 'State', 'Reason', 'Breaker', 'Latency', 'Since'],
          rows: states.map(clusterRow),
        })}
      </section>`

const clusterRow = ({ id, role, state, reason, breaker, latencyMs, since }: ClusterStatus) => [
  id,
  role,
  html`<span class="state ${state}">${state}</span>`,
  reason,
  breaker,
  latencyMs === undefined ? '' : milliseconds(latencyMs),
  moment(since),
]

/** Of a point in time in milliseconds since the epoch, to the second and in UTC. */
function moment(at: number): Html {
  const text = new Date(at).toISOString()
  return html`<time datetime="${text}">${text.slice(0, 19).replace('T', ' ')} UTC</time>`
}

/** A page as it is sent: nobody is to keep it, and no script may run in it but the one with this hash. */
export const pageResponse = async (
  page: Html,
  { status, headers, script }: PageStatus = { status: 200 },
): Promise<Response> =>
  new Response(String(await page), {
    status,
    headers: {
      ...headers,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': pagePolicy(script),
      'Cache-Control': 'no-store',
    },
  })

interface PageStatus {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** As `script-src` has it. */
  readonly script?: string
}

/** A duration as the tables show it. */
export const milliseconds = (duration: number): string => `${Math.round(duration)} ms`

/** `2024-01-31`; what is no date of PS3.5 6.2 stays as it came. */
export const dateText = (date: string): string => date.replace(/^(\d{4})(\d{2})(\d{2})$/, '$1-$2-$3')

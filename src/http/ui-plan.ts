import { html } from 'hono/html'
import type { QueryReport, RoundReport, SourceReport } from '../query/report.ts'
import { dateText, type Html, milliseconds, table } from './ui-page.ts'

/** Which cluster was asked what, what came of it, and in which order. */
export const planDetails = (report: QueryReport): Html => html`
      <details class="plan">
        <summary>How this answer came about</summary>
        <p>${summaryOf(report)}</p>
        ${table({ id: 'sources', caption: 'What each cluster had to do with it', columns: sourceColumns, rows: report.sources.map(sourceRow) })}
        ${table({ id: 'rounds', caption: 'Rounds of questions', columns: roundColumns, rows: report.rounds.map(roundRow) })}
      </details>`

function summaryOf({ resumed, remaining, durationMs }: QueryReport): string {
  const beginning = resumed ? 'Gone on from earlier pages of the same search' : 'Asked from the beginning'
  const { atLeast, exact } = remaining
  const after = exact ? `${atLeast} more studies match` : `at least ${atLeast} more studies match`
  return `${beginning}; ${milliseconds(durationMs)}; after this page ${after}.`
}

const sourceColumns = [
  'Cluster',
  'Role',
  'Outcome',
  'Constraints sent to it',
  'Compared here instead',
  'Could not be compared',
  'Requests',
  'Rows',
  'Time',
]

const sourceRow = (source: SourceReport) => [
  source.cluster,
  source.role,
  outcomeText(source),
  list(source.pushed),
  list(source.withheld),
  list(source.unhonoured),
  source.requests,
  source.rows,
  milliseconds(source.durationMs),
]

function outcomeText({ outcome, why, known }: SourceReport): string {
  const reason = why === undefined ? '' : `: ${why}`
  const missed = known === undefined ? '' : ` (${known} studies are known to be there)`
  return outcome + reason + missed
}

const list = (texts: readonly string[]): Html | string =>
  texts.length === 0 ? '' : html`<ul>${texts.map((text) => html`<li><code>${text}</code></li>`)}</ul>`

const roundColumns = ['Asked for', 'Clusters', 'Rows', 'Time']

const roundRow = ({ asked, clusters, rows, durationMs }: RoundReport) => [
  windowText(asked),
  clusters.join(', '),
  rows,
  milliseconds(durationMs),
]

/** `20240101-` as `2024-01-01 and later`. */
function windowText(asked: string): string {
  if (asked === 'whole') return 'all rows'
  if (asked === 'undated') return 'studies without a date'
  const [from = '', to = from] = asked.split('-').map(dateText)
  if (to === '') return `${from} and later`
  if (from === '') return `until ${to}`
  return from === to ? from : `${from} to ${to}`
}

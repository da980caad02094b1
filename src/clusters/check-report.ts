import type { ClusterRole } from './cluster.ts'

export type Verdict = 'yes' | 'no' | 'not tested'

export const services = [
  'search',
  'search below',
  'search all series',
  'search all instances',
  'metadata',
  'instances',
  'frames',
  'bulk data',
  'rendered',
  'thumbnail',
  'store',
] as const
export type Service = (typeof services)[number]

/** What a cluster was found to be. For the console of an administrator: it names hosts. */
export interface CheckReport {
  readonly cluster: string
  readonly role: ClusterRole
  /** Of its DICOMweb root, or `embedded`. */
  readonly address: string
  /** Whether it answers searches for studies. */
  readonly reached: boolean
  /** What is wrong and what to do about it; empty when it does all that its role asks of it. */
  readonly problems: readonly string[]
  /** Median of a few smallest searches, in milliseconds. */
  readonly latencyMs?: number
  readonly studies?: { readonly count: number; readonly orMore: boolean }
  readonly services: Readonly<Record<Service, Verdict>>
  /** Peculiarities that are dealt with, but explain what one may see. */
  readonly habits: readonly string[]
}

/** A table with one line a cluster, then what there is to say of each. */
export function renderReports(reports: readonly CheckReport[]): string {
  const table = [['CLUSTER', 'ROLE', 'REACHED', 'MEDIAN', 'STUDIES', 'ADDRESS'], ...reports.map(row)]
  return [columns(table), ...reports.map(details)].join('\n\n')
}

const row = ({ cluster, role, reached, latencyMs, studies, address }: CheckReport): string[] => [
  cluster,
  role,
  reached ? 'yes' : 'NO',
  latencyMs === undefined ? '-' : `${Math.round(latencyMs)} ms`,
  studies === undefined ? '-' : `${studies.count}${studies.orMore ? '+' : ''}`,
  address,
]

function details(report: CheckReport): string {
  const lines = [report.cluster]
  for (const verdict of ['yes', 'no', 'not tested'] as const) {
    const names = services.filter((service) => report.services[service] === verdict)
    if (report.reached && names.length > 0) lines.push(`  ${labels[verdict]} ${names.join(', ')}`)
  }
  for (const problem of report.problems) lines.push(`  PROBLEM   ${problem}`)
  for (const habit of report.habits) lines.push(`  note      ${habit}`)
  if (report.problems.length === 0) lines.push('  ok')
  return lines.join('\n')
}

const labels = { yes: 'offers   ', no: 'lacks    ', 'not tested': 'untested ' } as const satisfies Record<
  Verdict,
  string
>

function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0))) ?? []
  const line = (cells: readonly string[]) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')
  return rows.map((cells) => line(cells).trimEnd()).join('\n')
}

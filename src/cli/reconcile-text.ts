import type { Finding, Reconciliation } from '../replicate/reconcile.ts'
import type { Repair, TallyOfCluster } from '../replicate/tally.ts'
import { countOf } from './progress.ts'

const instances = (count: number): string => `${count.toLocaleString('en')} ${count === 1 ? 'instance' : 'instances'}`

/** A study, and under it each cluster that lacked something and what became of it. */
export const renderFinding = ({ study, instances: all, lacking }: Finding): string =>
  [`${study}: ${instances(all)}`, ...lacking.map((it) => `  ${it.cluster} lacks ${it.missing}${outcomeOf(it)}`)].join(
    '\n',
  )

function outcomeOf(repair: Repair): string {
  const told = [...doneWith(repair), ...(repair.failed === undefined ? [] : [`FAILED: ${repair.failed}`])]
  return told.length > 0 ? `: ${told.join(', ')}` : ''
}

/** All of the studies, then each cluster with what was missing there and what could not be found out. */
export function renderReconciliation({ studies, complete, repaired, clusters, stopped }: Reconciliation): string {
  const left = studies - complete - repaired
  return [
    ...(stopped ? ['stopped before the end; so far:'] : []),
    `${countOf(studies)} looked at: ${complete} complete, ${repaired} repaired, ${left} not complete`,
    ...clusters.flatMap(renderCluster),
  ].join('\n')
}

function renderCluster(tally: TallyOfCluster): string[] {
  const { id, missing, failures, failure, unanswered, silence, gaps, skipped, failed } = tally
  const found =
    missing === 0 ? 'nothing found missing' : [`${instances(missing)} missing`, ...doneWith(tally)].join(', ')
  return [
    `cluster ${id}: ${found}`,
    ...(failures > 0 ? [`  ${countOf(failures)} FAILED, the last: ${failure}`] : []),
    ...(unanswered > 0 ? [`  ${countOf(unanswered)} without an answer, the last: ${silence}`] : []),
    ...(skipped === undefined ? [] : [`  its studies were not gone through: ${skipped}`]),
    ...(failed === undefined ? [] : [`  not gone through to the end: ${failed}`]),
    ...gaps.map((gap) => `  not complete: ${gap}`),
  ]
}

const doneWith = ({ sent = 0, conflicts = 0, refused = 0 }: Repair | TallyOfCluster): string[] => [
  ...(sent > 0 ? [`${sent} sent`] : []),
  ...(conflicts > 0 ? [`${conflicts} in conflict with what is there`] : []),
  ...(refused > 0 ? [`${refused} refused`] : []),
]

import type { Context } from 'hono'
import type { HolderReport, RetrieveReport } from '../retrieve/explain.ts'
import type { RetrieveService } from '../retrieve/service.ts'
import { linkPath } from './addresses.ts'
import { answerJson } from './answer.ts'
import { requesterOf } from './caller.ts'
import type { Env, Route } from './context.ts'
import { targetIn } from './parameters.ts'

export interface ExplainRoutesDependencies {
  readonly retrieve: Pick<RetrieveService, 'explain'>
}

const study = `${linkPath}/explain/studies/:study`
const series = `${study}/series/:series`
const instance = `${series}/instances/:instance`

/** Where a study, series or instance is, and in which order its holders would be asked for it. */
export const explainRoutes = (deps: ExplainRoutesDependencies): Route[] =>
  [study, series, instance].map((path) => ({
    method: 'GET',
    path,
    scope: 'retrieve',
    handle: (c) => explain(c, deps),
  }))

async function explain(c: Context<Env>, { retrieve }: ExplainRoutesDependencies): Promise<Response> {
  return answerJson(c, describe(await retrieve.explain(targetIn(c), requesterOf(c))))
}

const describe = ({ target: { study, series, instance }, holders, ...report }: RetrieveReport) => ({
  studyInstanceUID: study,
  seriesInstanceUID: series,
  sopInstanceUID: instance,
  holders: holders.map(describeHolder),
  ...report,
})

/** In the order of the criteria; members without a value are left out by JSON. */
const describeHolder = ({ cluster, role, decidedBy, merits, status, listed, unlisted }: HolderReport) => ({
  cluster,
  role,
  decidedBy,
  state: status?.state,
  breaker: status?.breaker,
  reason: status?.reason,
  availability: merits.availability,
  series: merits.series,
  instances: merits.instances,
  priority: merits.priority,
  running: status?.pool.running,
  waiting: status?.pool.waiting,
  expectedMs: Math.round(merits.expectedMs),
  firstByteMs: rounded(status?.firstByteMs),
  firstByteP95Ms: rounded(status?.firstByteP95Ms),
  bytesPerSecond: rounded(status?.bytesPerSecond),
  listed,
  unlisted,
})

const rounded = (value: number | undefined) => (value === undefined ? undefined : Math.round(value))

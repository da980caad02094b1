import type { Context } from 'hono'
import type { Config } from '../config/schema.ts'
import { parseQuery } from '../dicom/query.ts'
import type { QueryReport, SourceReport } from '../query/report.ts'
import type { QueryRequest, QueryService } from '../query/service.ts'
import { dicomwebPath, dicomwebRoot, linkPath } from './addresses.ts'
import { answerJson, warn } from './answer.ts'
import { callerOf } from './caller.ts'
import type { Env, Route } from './context.ts'
import { acceptedTypes, negotiateDatasets } from './negotiate.ts'
import { targetIn } from './parameters.ts'
import { sendRows } from './query-answer.ts'

export interface QueryRoutesDependencies {
  readonly config: Pick<Config, 'site' | 'publicUrl'>
  readonly query: QueryService
}

type Level = QueryRequest['level']

const resources = [
  ['/studies', 'study'],
  ['/series', 'series'],
  ['/instances', 'instance'],
  ['/studies/:study/series', 'series'],
  ['/studies/:study/instances', 'instance'],
  ['/studies/:study/series/:series/instances', 'instance'],
] as const

/** QIDO-RS, PS3.18 10.6, and how an answer of it comes about. */
export const queryRoutes = (deps: QueryRoutesDependencies): Route[] => [
  ...resources.map(
    ([path, level]): Route => ({
      method: 'GET',
      path: `${dicomwebPath}${path}`,
      scope: 'query',
      handle: (c) => search(c, level, deps),
    }),
  ),
  { method: 'GET', path: `${linkPath}/explain`, scope: 'query', handle: (c) => explain(c, deps) },
]

async function search(c: Context<Env>, level: Level, deps: QueryRoutesDependencies): Promise<Response> {
  const form = negotiateDatasets(acceptedTypes(c))
  const { rows, warnings, report } = await deps.query.search(requestOf(c, level, deps), c.env.exchange.signal)
  warn(c, deps.config.site, warnings)
  const sources = sourcesHeader(report)
  if (sources !== '') c.header('Link-Sources', sources)
  return sendRows(c, rows, form)
}

/** Runs the search of studies that the same query would be, and answers with how it went instead of its rows. */
async function explain(c: Context<Env>, deps: QueryRoutesDependencies): Promise<Response> {
  const { rows, warnings, report } = await deps.query.search(requestOf(c, 'study', deps), c.env.exchange.signal)
  return answerJson(c, { rows: rows.length, ...report, warnings })
}

function requestOf(c: Context<Env>, level: Level, { config }: QueryRoutesDependencies): QueryRequest {
  const { study, series } = c.req.param('study') === undefined ? {} : targetIn(c)
  return {
    level,
    ...(study === undefined ? {} : { study }),
    ...(series === undefined ? {} : { series }),
    query: parseQuery(level, new URL(c.req.url).search.slice(1)),
    base: dicomwebRoot(c, config),
    caller: callerOf(c),
  }
}

/** Beyond what proxies take for one header, an answer of hundreds of clusters names only those that matter. */
const maxSourcesLength = 4096

/**
 * A structured field (RFC 9651), a list of one string a cluster with parameters:
 * `"north";role=home;outcome=ok;rows=12;ms=34, "south";role=linked;outcome=timed-out;known=120`.
 */
export function sourcesHeader({ sources }: Pick<QueryReport, 'sources'>): string {
  const all = sources.map(sourceMember)
  const text = all.join(', ')
  if (text.length <= maxSourcesLength) return text
  return sources
    .filter(({ outcome }) => outcome !== 'ok')
    .map(sourceMember)
    .slice(0, Math.floor(maxSourcesLength / 128))
    .join(', ')
}

function sourceMember({ cluster, role, outcome, rows, durationMs, known }: SourceReport): string {
  const figures = outcome === 'ok' ? [`rows=${rows}`, `ms=${Math.round(durationMs)}`] : []
  const missed = known === undefined ? [] : [`known=${known}`]
  return [`"${cluster}"`, `role=${role}`, `outcome=${outcome}`, ...figures, ...missed].join(';')
}

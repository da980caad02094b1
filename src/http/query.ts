import type { Context } from 'hono'
import type { Config } from '../config/schema.ts'
import { parseQuery } from '../dicom/query.ts'
import type { QueryService } from '../query/service.ts'
import { dicomwebPath, dicomwebRoot } from './addresses.ts'
import { warn } from './answer.ts'
import type { Env, Route } from './context.ts'
import { acceptedTypes, negotiateJson } from './negotiate.ts'
import { targetIn } from './parameters.ts'

export interface QueryRoutesDependencies {
  readonly config: Pick<Config, 'site' | 'publicUrl'>
  readonly query: QueryService
}

const resources = [
  ['/studies', 'study'],
  ['/series', 'series'],
  ['/instances', 'instance'],
  ['/studies/:study/series', 'series'],
  ['/studies/:study/instances', 'instance'],
  ['/studies/:study/series/:series/instances', 'instance'],
] as const

/** QIDO-RS, PS3.18 10.6. */
export const queryRoutes = (deps: QueryRoutesDependencies): Route[] =>
  resources.map(([path, level]) => ({
    method: 'GET',
    path: `${dicomwebPath}${path}`,
    scope: 'query',
    handle: (c) => search(c, level, deps),
  }))

async function search(
  c: Context<Env>,
  level: (typeof resources)[number][1],
  { config, query }: QueryRoutesDependencies,
): Promise<Response> {
  const contentType = negotiateJson(acceptedTypes(c))
  const { study, series } = c.req.param('study') === undefined ? {} : targetIn(c)
  const request = {
    level,
    ...(study === undefined ? {} : { study }),
    ...(series === undefined ? {} : { series }),
    query: parseQuery(level, new URL(c.req.url).search.slice(1)),
    base: dicomwebRoot(c, config),
  }
  const { rows, warnings } = await query.search(request, c.env.exchange.signal)
  warn(c, config.site, warnings)
  return c.body(JSON.stringify(rows), 200, { 'Content-Type': contentType })
}

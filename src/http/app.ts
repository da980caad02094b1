import { type Context, Hono } from 'hono'
import type { Config } from '../config/schema.ts'
import { LinkError } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { Authenticate } from './auth.ts'
import { readCaller } from './caller.ts'
import type { Env, Exchange, Route } from './context.ts'
import { docsRoutes } from './docs.ts'
import { explainRoutes } from './explain.ts'
import {
  crossOrigin,
  guardHost,
  limitAddress,
  refuseExpectation,
  refuseOtherPages,
  securityHeaders,
} from './headers.ts'
import { type LinkRoutesDependencies, linkRoutes } from './link.ts'
import { type MappingsRoutesDependencies, mappingsRoutes } from './mappings.ts'
import { type OperateRoutesDependencies, operateRoutes } from './operate.ts'
import { type PeersRoutesDependencies, peersRoutes } from './peers.ts'
import { requireScope } from './principal.ts'
import { describeProblem, ProblemError, problemResponse } from './problem.ts'
import { abandon } from './pump.ts'
import { type QueryRoutesDependencies, queryRoutes } from './query.ts'
import { renderedRoutes } from './rendered.ts'
import { type ReplicationRoutesDependencies, replicationRoutes } from './replication.ts'
import { type RetrieveRoutesDependencies, retrieveRoutes } from './retrieve.ts'
import { type StoreRoutesDependencies, storeRoutes } from './store.ts'
import { tombstonesRoutes } from './tombstones.ts'
import { uiRoutes } from './ui.ts'
import { wadoUriRoutes } from './wado-uri.ts'

export interface AppDependencies
  extends QueryRoutesDependencies,
    RetrieveRoutesDependencies,
    StoreRoutesDependencies,
    LinkRoutesDependencies,
    MappingsRoutesDependencies,
    Omit<OperateRoutesDependencies, 'outbox'>,
    ReplicationRoutesDependencies,
    PeersRoutesDependencies {
  readonly config: Config
  /** Made by `createAuthenticate` of the same configuration. */
  readonly authenticate: Authenticate
  readonly log: Log
  /** Pages for people, asked for whatever no route of the API answers. */
  readonly pages?: Hono<Env>
}

/** Every route of the API. `openapi.yaml` describes each of them; a test compares. */
export const routeTable = (deps: AppDependencies): Route[] => [
  ...queryRoutes(deps),
  ...retrieveRoutes(deps),
  ...renderedRoutes(deps),
  ...storeRoutes(deps),
  ...wadoUriRoutes(deps),
  ...explainRoutes(deps),
  ...linkRoutes(deps),
  ...mappingsRoutes(deps),
  ...replicationRoutes(deps),
  ...peersRoutes(deps),
  ...tombstonesRoutes(deps),
  ...operateRoutes(deps),
  ...docsRoutes(),
  ...uiRoutes(deps),
]

/**
 * The application. It decides; what it does not write itself (`exchange.stream`) is written by `listen`, without
 * which it cannot run.
 */
export function createApp(deps: AppDependencies): Hono<Env> {
  const { config } = deps
  const app = new Hono<Env>({ strict: false })
  app.use(securityHeaders(config), limitAddress(config), refuseExpectation, guardHost(config), crossOrigin(config))
  const routes = routeTable(deps)
  for (const route of routes) app.on(route.method, route.path, (c) => serve(c, route, deps))
  for (const path of new Set(routes.map((route) => route.path))) {
    const methods = routes.filter((route) => route.path === path).map(({ method }) => method)
    app.all(path, (c) => refuseMethod(c, path, methods))
  }
  if (deps.pages) app.route('/', deps.pages)
  app.notFound((c) =>
    problemResponse(new LinkError('not-found', 'there is nothing at this address'), c.env.exchange.id),
  )
  app.onError((error, c) => failed(error, c, deps.log))
  return app
}

async function serve(c: Context<Env>, route: Route, { authenticate, config }: AppDependencies): Promise<Response> {
  const { exchange } = c.env
  exchange.route = route.path
  if (route.scope !== 'public') {
    const { headers } = c.req.raw
    const principal = await authenticate(headers)
    if (principal) exchange.principal = principal
    requireScope(principal, route.scope)
    if (route.scope === 'admin' && route.method !== 'GET') refuseOtherPages(c, config)
    if (asksAboutStudies(route))
      Object.assign(exchange, readCaller(headers, principal, config) satisfies Partial<Exchange>)
  }
  return route.handle(c)
}

/** What depends on for whom it is asked, whatever it is asked by. */
const asksAboutStudies = ({ scope, method }: Route) => scope === 'query' || scope === 'retrieve' || method === 'PATCH'

function refuseMethod(c: Context<Env>, path: string, methods: readonly Route['method'][]): never {
  c.env.exchange.route = path
  const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ')
  throw new ProblemError('method-not-allowed', `${c.req.method} is not possible here; allowed: ${allow}`, {
    headers: { Allow: allow },
  })
}

/** Defects are logged with what caused them; what clusters and clients did wrong only when someone debugs. */
function failed(error: Error, c: Context<Env>, log: Log): Response {
  const { id, route, stream } = c.env.exchange
  if (stream) abandon(stream)
  delete c.env.exchange.stream
  const { problem } = describeProblem(error, id)
  const fields = { requestId: id, route, code: problem.code, err: error }
  if (problem.status === 500) log.error(fields, 'request-failed')
  else log.debug(fields, 'request-refused')
  return problemResponse(error, id)
}

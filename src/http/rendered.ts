import type { Context } from 'hono'
import type { RenderedRequest } from '../clusters/cluster.ts'
import type { Config } from '../config/schema.ts'
import type { RetrieveService } from '../retrieve/service.ts'
import { sendParts } from './answer.ts'
import { requesterOf } from './caller.ts'
import type { Env, Route } from './context.ts'
import { acceptedTypes, negotiateRendered } from './negotiate.ts'
import { parseFrames, queryOf, renderingNames, renderingParameters, targetIn } from './parameters.ts'
import { instancePath, targetPaths } from './retrieve.ts'

export interface RenderedRoutesDependencies {
  readonly config: Pick<Config, 'site'>
  readonly retrieve: Omit<RetrieveService, 'forget'>
}

const kinds = ['rendered', 'thumbnail'] as const

/** Pictures of studies, series, instances and frames, PS3.18 10.4.1.1.3 and 10.4.1.1.4. */
export const renderedRoutes = (deps: RenderedRoutesDependencies): Route[] =>
  [...targetPaths, `${instancePath}/frames/:frames`].flatMap((path) =>
    kinds.map((kind) => ({
      method: 'GET',
      path: `${path}/${kind}`,
      scope: 'retrieve',
      handle: (c) => rendered(c, kind, deps),
    })),
  )

function rendered(c: Context<Env>, kind: RenderedRequest['kind'], deps: RenderedRoutesDependencies): Promise<Response> {
  const frames = c.req.param('frames')
  const request: RenderedRequest = {
    kind,
    target: targetIn(c),
    ...(frames === undefined ? {} : { frames: parseFrames(frames) }),
    mediaTypes: negotiateRendered(acceptedTypes(c), kind),
    parameters: renderingParameters(queryOf(c, renderingNames)),
  }
  return sendRendered(c, request, deps)
}

/** One picture is the body itself; a study, a series or several frames come in parts. */
export async function sendRendered(
  c: Context<Env>,
  request: RenderedRequest,
  { config, retrieve }: RenderedRoutesDependencies,
): Promise<Response> {
  const answer = await retrieve.rendered(request, requesterOf(c))
  const several = request.target.instance === undefined || (request.frames?.length ?? 1) > 1
  const single = request.kind === 'thumbnail' || !several
  return sendParts(c, { site: config.site, answer, single, defaultType: 'image/jpeg' })
}

import type { Context } from 'hono'
import type { Config } from '../config/schema.ts'
import { badRequest } from '../core/errors.ts'
import type { RetrieveService } from '../retrieve/service.ts'
import { dicomwebPath, dicomwebRoot } from './addresses.ts'
import { sendParts } from './answer.ts'
import { requesterOf } from './caller.ts'
import type { Env, Exchange, Handler, Likewise, Route } from './context.ts'
import { sendMetadata } from './metadata.ts'
import {
  acceptedTypes,
  firstAcceptable,
  negotiateBulkdata,
  negotiateDatasets,
  negotiateFrames,
  negotiateInstances,
  offeredFrames,
  offeredInstances,
  offering,
} from './negotiate.ts'
import { instanceIn, parseFrames, targetIn } from './parameters.ts'

export interface RetrieveRoutesDependencies {
  readonly config: Pick<Config, 'site' | 'publicUrl'>
  readonly retrieve: Omit<RetrieveService, 'forget'>
}

const study = `${dicomwebPath}/studies/:study`
const series = `${study}/series/:series`
export const instancePath = `${series}/instances/:instance`
/** What objects hang under, PS3.18 10.4.1. */
export const targetPaths = [study, series, instancePath]

/** WADO-RS but for pictures, PS3.18 10.4. */
export function retrieveRoutes(deps: RetrieveRoutesDependencies): Route[] {
  const route = (path: string, handle: Handler): Route => ({ method: 'GET', path, scope: 'retrieve', handle })
  return [
    ...targetPaths.map((path) => route(path, (c) => instances(c, deps))),
    ...targetPaths.map((path) => route(`${path}/metadata`, (c) => metadata(c, deps))),
    ...targetPaths.map((path) => route(`${path}/pixeldata`, (c) => pixelData(c, deps))),
    route(`${instancePath}/frames/:frames`, (c) => frames(c, deps)),
    route(`${instancePath}/bulkdata/:token`, (c) => bulkdata(c, deps)),
  ]
}

async function instances(c: Context<Env>, { config, retrieve }: RetrieveRoutesDependencies): Promise<Response> {
  const target = targetIn(c)
  const one = target.instance !== undefined
  const choices = negotiateInstances(acceptedTypes(c), one)
  const { choice, answer } = await firstAcceptable(choices, offeredInstances(one), ({ single: _, ...wanted }) =>
    retrieve.instances({ target, ...wanted }, requesterOf(c)),
  )
  return sendParts(c, { site: config.site, answer, single: choice.single, defaultType: 'application/dicom' })
}

async function metadata(c: Context<Env>, { config, retrieve }: RetrieveRoutesDependencies): Promise<Response> {
  const target = targetIn(c)
  const form = negotiateDatasets(acceptedTypes(c))
  const answer = await retrieve.metadata(target, dicomwebRoot(c, config), requesterOf(c))
  return sendMetadata(c, { site: config.site, answer, form })
}

async function frames(c: Context<Env>, { config, retrieve }: RetrieveRoutesDependencies): Promise<Response> {
  const target = instanceIn(c)
  const list = parseFrames(c.req.param('frames') ?? '')
  const one = list.length === 1
  const choices = negotiateFrames(acceptedTypes(c), one)
  const { choice, answer } = await firstAcceptable(
    choices,
    offeredFrames(one),
    ({ single: _, ...wanted }) =>
      begunIn(c.env.exchange) ?? retrieve.frames({ target, frames: list, ...wanted }, requesterOf(c)),
  )
  const { single, ...wanted } = choice
  const form = { site: config.site, single, defaultType: 'application/octet-stream' }
  if (one && choice === choices[0]) {
    const frame: Likewise['frame'] = (another, number, requester) =>
      retrieve.frames({ target: another, frames: [number], ...wanted }, requester)
    c.env.exchange.likewise = { frame, form }
  }
  return sendParts(c, { ...form, answer })
}

function begunIn(exchange: Exchange): Exchange['begun'] {
  const { begun } = exchange
  delete exchange.begun
  return begun
}

/** One part a frame; the one frame of an instance alone for who likes it so. */
async function pixelData(c: Context<Env>, { config, retrieve }: RetrieveRoutesDependencies): Promise<Response> {
  const target = targetIn(c)
  const one = target.instance !== undefined
  const accepted = acceptedTypes(c)
  const forms = negotiateFrames(accepted, one).map(({ single: _, ...form }) => form)
  const answer = await offering(offeredFrames(one), () =>
    retrieve.pixelData({ target, forms }, dicomwebRoot(c, config), requesterOf(c)),
  )
  const single = (contentType: string, total: number) => one && negotiateBulkdata(accepted, contentType, total).single
  return sendParts(c, { site: config.site, answer, single, defaultType: 'application/octet-stream', located: true })
}

async function bulkdata(c: Context<Env>, { config, retrieve }: RetrieveRoutesDependencies): Promise<Response> {
  const target = instanceIn(c)
  const token = c.req.param('token') ?? ''
  if (!/^[\w-]{1,2048}$/.test(token)) {
    throw badRequest('bulkdata: the address is none that metadata of this service contains')
  }
  const accepted = acceptedTypes(c)
  const answer = await retrieve.bulkdata(target, token, requesterOf(c))
  const single = (contentType: string, total: number) => negotiateBulkdata(accepted, contentType, total).single
  return sendParts(c, { site: config.site, answer, single, defaultType: 'application/octet-stream' })
}

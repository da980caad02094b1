import type { Context } from 'hono'
import type { Config } from '../config/schema.ts'
import { badRequest, LinkError } from '../core/errors.ts'
import { parseMediaType } from '../dicom/media-type.ts'
import { readMultipart } from '../dicom/multipart.ts'
import type { StoreRequest, StoreService } from '../store/service.ts'
import { dicomwebPath, dicomwebRoot } from './addresses.ts'
import { warn } from './answer.ts'
import type { Env, Route } from './context.ts'
import { acceptedTypes, negotiateJson } from './negotiate.ts'
import { targetIn } from './parameters.ts'
import { openUpload } from './upload.ts'

export interface StoreRoutesDependencies {
  readonly config: Pick<Config, 'site' | 'publicUrl' | 'limits'>
  readonly store: StoreService
}

/** STOW-RS, PS3.18 10.5. */
export const storeRoutes = (deps: StoreRoutesDependencies): Route[] =>
  ['/studies', '/studies/:study'].map((path) => ({
    method: 'POST',
    path: `${dicomwebPath}${path}`,
    scope: 'store',
    handle: (c) => storeInstances(c, deps),
  }))

async function storeInstances(c: Context<Env>, { config, store }: StoreRoutesDependencies): Promise<Response> {
  const study = c.req.param('study') === undefined ? {} : { study: targetIn(c).study }
  const contentType = negotiateJson(acceptedTypes(c))
  const { boundary, representation } = formOf(c.req.header('content-type'))
  const upload = openUpload(c.env, config.limits)
  const parts = readMultipart(upload.body, boundary, config.limits)
  try {
    const request = { ...study, parts, representation, base: dicomwebRoot(c, config) }
    const { status, response, isSpooled } = await store.store(request, c.env.exchange.signal)
    if (isSpooled) warn(c, config.site, ['Home is not reachable; kept, and delivered when it is back'])
    return c.body(JSON.stringify(response), status, { 'Content-Type': contentType })
  } catch (error) {
    throw upload.failure ?? error
  }
}

/** What the parts are, PS3.18 table 10.5.2-1: whole instances, or metadata in JSON with its bulk data. */
const representations: ReadonlyMap<string, StoreRequest['representation']> = new Map([
  ['application/dicom', 'instances'],
  ['application/dicom+json', 'metadata'],
])

function formOf(header: string | undefined): Pick<StoreRequest, 'representation'> & { boundary: string } {
  const type = parseMediaType(header ?? '')
  const partType = type?.parameters.get('type')?.toLowerCase() ?? 'application/dicom'
  const representation = representations.get(partType)
  if (type?.type !== 'multipart/related' || !representation) {
    const given = type ? `${type.type}${type.parameters.has('type') ? ` of ${partType}` : ''}` : 'no media type'
    throw new LinkError(
      'unsupported-media-type',
      `Content-Type: ${given.slice(0, 120)} is not taken; send multipart/related of application/dicom or application/dicom+json`,
    )
  }
  const boundary = type.parameters.get('boundary')
  if (!boundary) throw badRequest('Content-Type: multipart/related names no boundary')
  return { boundary, representation }
}

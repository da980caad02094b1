import type { Context } from 'hono'
import { badRequest } from '../core/errors.ts'
import { parseAccept } from '../dicom/media-type.ts'
import { parseUid } from '../dicom/uid.ts'
import { wadoUriPath } from './addresses.ts'
import { sendParts } from './answer.ts'
import { requesterOf } from './caller.ts'
import type { Env, Route } from './context.ts'
import { defaultTransferSyntax, negotiateRendered, offering } from './negotiate.ts'
import { parseFrames, queryOf, renderingParameters } from './parameters.ts'
import { type RenderedRoutesDependencies, sendRendered } from './rendered.ts'

const known = [
  'requestType',
  'studyUID',
  'seriesUID',
  'objectUID',
  'contentType',
  'transferSyntax',
  'frameNumber',
  'windowCenter',
  'windowWidth',
  'rows',
  'columns',
  'imageQuality',
  'annotation',
  'anonymize',
]

type Query = ReadonlyMap<string, string>

/** WADO-URI, PS3.18 chapter 9: one object, the instance itself or a picture of it. */
export const wadoUriRoutes = (deps: RenderedRoutesDependencies): Route[] => [
  { method: 'GET', path: wadoUriPath, scope: 'retrieve', handle: (c) => retrieveOne(c, deps) },
]

async function retrieveOne(c: Context<Env>, deps: RenderedRoutesDependencies): Promise<Response> {
  const query = queryOf(c, known)
  if (query.get('requestType') !== 'WADO') throw badRequest('requestType: expected WADO')
  if (query.get('anonymize') === 'yes') throw badRequest('anonymize: this service does not anonymize')
  const target = {
    study: parseUid(query.get('studyUID') ?? '', 'studyUID'),
    series: parseUid(query.get('seriesUID') ?? '', 'seriesUID'),
    instance: parseUid(query.get('objectUID') ?? '', 'objectUID'),
  }
  const accepted = parseAccept(query.get('contentType') ?? 'image/jpeg', 'contentType')
  if (accepted[0]?.type === 'application/dicom') return sendInstance(c, query, target, deps)
  const mediaTypes = negotiateRendered(accepted, 'rendered')
  const parameters = renderingParameters(asRenderingParameters(query), ownNames)
  return sendRendered(c, { kind: 'rendered', target, ...frameIn(query), mediaTypes, parameters }, deps)
}

function frameIn(query: Query): { frames?: number[] } {
  const frame = query.get('frameNumber')
  if (frame === undefined) return {}
  const frames = parseFrames(frame, 'frameNumber')
  if (frames.length > 1) throw badRequest('frameNumber: expected one number')
  return { frames }
}

type InstanceTarget = Parameters<RenderedRoutesDependencies['retrieve']['bulkdata']>[0]

async function sendInstance(
  c: Context<Env>,
  query: Query,
  target: InstanceTarget,
  { config, retrieve }: RenderedRoutesDependencies,
): Promise<Response> {
  const given = query.get('transferSyntax')
  const wanted =
    given === undefined
      ? { transferSyntax: defaultTransferSyntax, orAsStored: true }
      : { transferSyntax: given === '*' ? given : parseUid(given, 'transferSyntax') }
  const answer = await offering('application/dicom, with transferSyntax=* as it is stored', () =>
    retrieve.instances({ target, ...wanted }, requesterOf(c)),
  )
  return sendParts(c, { site: config.site, answer, single: true, defaultType: 'application/dicom' })
}

const ownNames = { window: 'windowCenter and windowWidth', viewport: 'rows and columns', quality: 'imageQuality' }

/** The words of WADO-URI (9.1.2) in those of WADO-RS (8.3.5). One of rows and columns bounds both sides. */
function asRenderingParameters(query: Query): Query {
  const [center, width] = [query.get('windowCenter'), query.get('windowWidth')]
  if ((center === undefined) !== (width === undefined)) throw badRequest('windowCenter and windowWidth: give both')
  const [rows, columns] = ['rows', 'columns'].map((name) => sideIn(query, name))
  const side = columns ?? rows
  const quality = query.get('imageQuality')
  const annotation = query.get('annotation')
  return new Map([
    ...(center === undefined ? [] : [['window', `${center},${width},linear`] as const]),
    ...(side === undefined ? [] : [['viewport', `${side},${rows ?? side}`] as const]),
    ...(quality === undefined ? [] : [['quality', quality] as const]),
    ...(annotation === undefined ? [] : [['annotation', annotation] as const]),
  ])
}

function sideIn(query: Query, name: string): string | undefined {
  const text = query.get(name)
  if (text === undefined || /^\d{1,5}$/.test(text)) return text
  throw badRequest(`${name}: expected a number of pixels`)
}

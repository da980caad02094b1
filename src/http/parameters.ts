import type { Context } from 'hono'
import type { Target } from '../clusters/cluster.ts'
import { badRequest } from '../core/errors.ts'
import { parseUid } from '../dicom/uid.ts'
import type { Env } from './context.ts'

const maxFrames = 10_000
/** Pixels along a side; more would be memory spent on a picture nobody can show. */
const maxViewportSide = 16_384

/** The study, series and instance that the path names. Throws `bad-request` for what is no UID. */
export function targetIn(c: Context<Env>): Target {
  const { study = '', series, instance } = c.req.param() as Partial<Record<keyof Target, string>>
  return {
    study: parseUid(study, 'study'),
    ...(series === undefined ? {} : { series: parseUid(series, 'series') }),
    ...(instance === undefined ? {} : { instance: parseUid(instance, 'instance') }),
  }
}

/** The target of a route below an instance. */
export function instanceIn(c: Context<Env>): Required<Target> {
  const { study = '', series = '', instance = '' } = c.req.param() as Partial<Record<keyof Target, string>>
  return {
    study: parseUid(study, 'study'),
    series: parseUid(series, 'series'),
    instance: parseUid(instance, 'instance'),
  }
}

/** A frame list, PS3.18 10.4.1.1.6: numbers from 1, separated by commas. */
export function parseFrames(text: string, name = 'frames'): number[] {
  const items = text.split(',', maxFrames + 1)
  if (items.length > maxFrames) throw badRequest(`${name}: more than ${maxFrames} in one request`)
  return items.map((item) => {
    if (/^[1-9]\d{0,7}$/.test(item)) return Number(item)
    throw badRequest(`${name}: ${show(item)} is no frame number; expected a list such as 1,2,3 counted from 1`)
  })
}

/** The query of a request as a map. Throws `bad-request` when one of `single` is given twice. */
export function queryOf(c: Context<Env>, single: readonly string[]): ReadonlyMap<string, string> {
  const query = new URL(c.req.url).searchParams
  for (const name of single) {
    if (query.getAll(name).length > 1) throw badRequest(`${name}: given more than once`)
  }
  return new Map(query)
}

/** The size of a page that a client asks for. */
export function parseLimit(text: string | undefined, size: { readonly default: number; readonly max: number }): number {
  if (text === undefined) return size.default
  if (/^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= size.max) return Number(text)
  throw badRequest(`limit: expected a number from 1 to ${size.max}`)
}

const decimal = String.raw`[+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(?:[eE][+-]?\d{1,2})?`
const windowPattern = new RegExp(`^(${decimal}),(${decimal})(?:,(linear|linear-exact|sigmoid))?$`, 'i')
const viewportPattern = new RegExp(String.raw`^(\d{1,6}),(\d{1,6})((?:,(?:${decimal})?){0,4})$`)

/** The names of {@link renderingParameters}. */
export const renderingNames = ['window', 'viewport', 'quality', 'annotation'] as const
type RenderingName = (typeof renderingNames)[number]

const parsers: Readonly<Record<RenderingName, (text: string, name: string) => string>> = {
  window: parseWindow,
  viewport: parseViewport,
  quality: parseQuality,
  annotation: parseAnnotation,
}

/**
 * How a picture is to be made, PS3.18 8.3.5. Throws `bad-request`, by the name that the client used; what this service
 * does not know is ignored.
 */
export function renderingParameters(
  query: ReadonlyMap<string, string>,
  names: Partial<Record<RenderingName, string>> = {},
): Record<string, string> {
  const given = renderingNames.flatMap((name) => {
    const text = query.get(name)
    return text === undefined ? [] : [[name, parsers[name](text, names[name] ?? name)] as const]
  })
  return Object.fromEntries(given)
}

/** Center, width and function; `linear` when there is none. */
function parseWindow(text: string, name: string): string {
  const [, center, width, shape = 'linear'] = windowPattern.exec(text) ?? []
  if (center === undefined || width === undefined || !(Number(width) > 0)) {
    throw badRequest(
      `${name}: ${show(text)}; expected center,width,function such as 40,400,linear with a width above 0`,
    )
  }
  return [center, width, shape.toLowerCase()].join(',')
}

/** Width and height of the picture, then optionally the region of the image that is shown. */
function parseViewport(text: string, name: string): string {
  const [, width, height, region = ''] = viewportPattern.exec(text) ?? []
  for (const side of [Number(width), Number(height)]) {
    if (!(side >= 1 && side <= maxViewportSide)) {
      throw badRequest(`${name}: ${show(text)}; expected width,height from 1 to ${maxViewportSide}, e.g. 512,512`)
    }
  }
  return `${Number(width)},${Number(height)}${region}`
}

function parseQuality(text: string, name: string): string {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 100) return String(Number(text))
  throw badRequest(`${name}: ${show(text)}; expected a whole number from 1 to 100`)
}

function parseAnnotation(text: string, name: string): string {
  if (/^[a-z]{1,32}(,[a-z]{1,32}){0,7}$/i.test(text)) return text
  throw badRequest(`${name}: ${show(text)}; expected a list of patient and technique`)
}

const show = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import { pipeline } from 'node:stream'
import { createGzip } from 'node:zlib'
import { type Context, Hono } from 'hono'
import { stream } from './answer.ts'
import type { Env } from './context.ts'
import { endpointsPage } from './viewer-page.ts'

/** The viewer as it stands: its folder, how far it is fetched, why there is none (a sentence), or unwanted. */
export type ViewerState =
  | { readonly status: 'ready'; readonly dist: string }
  | { readonly status: 'fetching'; readonly receivedBytes: number; readonly totalBytes: number }
  | { readonly status: 'unavailable'; readonly reason: string }
  | { readonly status: 'off' }

/** First path segments that belong to the API: what is not found there is the API's to answer. */
const apiSegments: ReadonlySet<string> = new Set([
  'dicom-web',
  'wado',
  'link',
  'ui',
  'docs',
  'openapi.yaml',
  'healthz',
  'readyz',
  'metrics',
])

interface Asset {
  readonly path: string
  readonly size: number
  readonly type: string
  readonly etag: string
  readonly cacheControl: string
}

interface Site {
  readonly assets: ReadonlyMap<string, Asset>
  readonly headers: Readonly<Record<string, string>>
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.jsonc': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.webapp': 'application/manifest+json',
  '.woff2': 'font/woff2',
  '.xml': 'application/xml',
}

/**
 * The OHIF viewer at `/`, for mounting behind the API's routes: API paths are passed on, files come from a list made
 * once (so no path reaches outside of it), every other page address gets index.html. While there is no viewer every
 * page address tells so and lists the endpoints.
 */
export const viewer = (state: () => ViewerState): Hono<Env> => {
  const app = new Hono<Env>()
  const site = lastSite()
  app.get('*', async (context, next) => {
    const path = decoded(context.req.path)
    if (path === undefined || apiSegments.has(path.split('/')[1] ?? '')) return next()
    const current = state()
    if (current.status !== 'ready') return extname(path) === '' ? page(context, current) : next()
    const { assets, headers } = await site(current.dist)
    if (path === '/app-config.js') return configuration(context, headers)
    const asset = assets.get(path) ?? (extname(path) === '' ? assets.get('/index.html') : undefined)
    return asset ? send(context, asset, headers) : next()
  })
  return app
}

const decoded = (path: string): string | undefined => {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** The list of files is read when the viewer has come, and again only for another folder. */
const lastSite = () => {
  let known: { readonly dist: string; readonly site: Promise<Site> } | undefined
  return (dist: string): Promise<Site> => {
    if (known?.dist !== dist) {
      const site = readSite(dist)
      known = { dist, site }
      site.catch(() => {
        known = undefined
      })
    }
    return known.site
  }
}

const readSite = async (dist: string): Promise<Site> => {
  const entries = await readdir(dist, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const assets = await Promise.all(files.map((file) => readAsset(dist, file)))
  const html = await readFile(join(dist, 'index.html'), 'utf8')
  return { assets: new Map(assets), headers: securityHeaders(html) }
}

const readAsset = async (dist: string, path: string): Promise<[string, Asset]> => {
  const { size, mtimeMs } = await stat(path)
  const url = `/${relative(dist, path).split(sep).join('/')}`
  const type = types[extname(path)] ?? 'application/octet-stream'
  const etag = `W/"${size.toString(36)}-${Math.trunc(mtimeMs).toString(36)}"`
  return [url, { path, size, type, etag, cacheControl: hashed.test(url) ? forever : 'no-cache' }]
}

/** Names that carry the hash of their content, e.g. `app.bundle.0f6159c501addfe9.js`: never another content. */
const hashed = /(^|[./])[0-9a-f]{16}\.[a-z0-9]+$/
const forever = 'public, max-age=31536000, immutable'

/**
 * OHIF decodes and renders in workers and WebAssembly on shared memory, hence COOP and COEP, `blob:` and `eval` (its
 * libraries compile shaders and accessors with `new Function`). Nothing is loaded from or sent to another host.
 */
const securityHeaders = (html: string): Readonly<Record<string, string>> => {
  const inline = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(
    ([, code = '']) => `'sha256-${createHash('sha256').update(code).digest('base64')}'`,
  )
  const policy = [
    "default-src 'self'",
    `script-src 'self' blob: 'wasm-unsafe-eval' 'unsafe-eval' ${inline.join(' ')}`,
    "worker-src 'self' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self' data: blob:",
    "frame-src 'self' blob:",
    "object-src 'self' blob:",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'",
  ]
  return {
    'Content-Security-Policy': policy.join('; '),
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  }
}

const send = async (
  context: Context<Env>,
  asset: Asset,
  headers: Readonly<Record<string, string>>,
): Promise<Response> => {
  const common = { ...headers, ETag: asset.etag, 'Cache-Control': asset.cacheControl, Vary: 'Accept-Encoding' }
  if (context.req.header('If-None-Match')?.includes(asset.etag)) return context.body(null, 304, common)
  const gzip = isCompressible(asset) && takesGzip(context.req.header('Accept-Encoding'))
  const file = createReadStream(asset.path)
  const content = gzip ? { body: pipeline(file, createGzip(), noted) } : { body: file, length: asset.size }
  const response = await stream(context, { status: 200, contentType: asset.type, ...content })
  // Only now: a file that cannot be read gets another answer, which must not be kept.
  const all = { ...common, ...(gzip ? { 'Content-Encoding': 'gzip' } : {}) }
  for (const [name, value] of Object.entries(all)) response.headers.set(name, value)
  return response
}

/** Whoever reads the end of the pipeline is told of a failure as well. */
const noted = (): void => undefined

const isCompressible = ({ size, type }: Asset): boolean =>
  size >= 1024 && /^(text\/|image\/svg|application\/(json|manifest|wasm|xml))/.test(type)

/** RFC 9110 12.5.3. */
const takesGzip = (accepted = ''): boolean => {
  const codings = accepted.split(',').map((it): [string, number] => {
    const [name = '', weight = '1'] = it.toLowerCase().split(/;\s*q=/)
    return [name.trim(), Number(weight)]
  })
  const weights = new Map(codings)
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}

/** How OHIF talks to this proxy: every address is relative to the page's own origin. */
const ohifConfiguration = {
  name: 'dicomweb-link',
  routerBasename: null,
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: true,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  experimentalStudyBrowserSort: false,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  allowMultiSelectExport: false,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  showErrorDetails: 'always',
  defaultDataSourceName: 'dicomweb-link',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb-link',
      configuration: {
        friendlyName: 'All linked clusters',
        name: 'dicomweb-link',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        wadoUriRoot: '/wado',
        qidoSupportsIncludeField: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        dicomUploadEnabled: true,
        omitQuotationForMultipartRequest: true,
        singlepart: 'bulkdata,video,pdf',
        bulkDataURI: { enabled: true },
      },
    },
  ],
}

const configuration = (context: Context<Env>, headers: Readonly<Record<string, string>>): Response =>
  context.body(`window.config = ${JSON.stringify(ohifConfiguration, null, 2)}\n`, 200, {
    ...headers,
    'Content-Type': types['.js'] ?? '',
    'Cache-Control': 'no-cache',
  })

/** 200 at `/`, where people and health checks look; elsewhere a page that is not there yet is a 503. */
const page = (
  context: Context<Env>,
  state: Exclude<ViewerState, { status: 'ready' }>,
): Response | Promise<Response> => {
  const status = context.req.path === '/' ? 200 : 503
  return context.html(endpointsPage(state), status, {
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    ...(state.status === 'fetching' ? { 'Retry-After': '5' } : {}),
  })
}

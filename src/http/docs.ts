import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Context } from 'hono'
import { LinkError } from '../core/errors.ts'
import type { Env, Handler, Route } from './context.ts'

const openapiFile = new URL('../../openapi.yaml', import.meta.url)
const swaggerFolder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))

/** React sets styles through the DOM, which no policy forbids; pictures in the style sheet are `data:`. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>dicomweb-link: API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="icon" href="/docs/favicon-32x32.png">
  </head>
  <body>
    <div id="api"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`

const start = `SwaggerUIBundle({ url: '/openapi.yaml', dom_id: '#api', deepLinking: true, validatorUrl: null })
`

interface Page {
  readonly type: string
  readonly read: () => string | Uint8Array<ArrayBuffer>
}

const swagger = (name: string, type: string) =>
  [name, { type, read: () => readFileSync(join(swaggerFolder, name)) }] as const

/** Everything the page is made of. */
const files: ReadonlyMap<string, Page> = new Map<string, Page>([
  ['start.js', { type: 'text/javascript; charset=utf-8', read: () => start }],
  swagger('swagger-ui-bundle.js', 'text/javascript; charset=utf-8'),
  swagger('swagger-ui.css', 'text/css; charset=utf-8'),
  swagger('favicon-32x32.png', 'image/png'),
])

const description: Page = { type: 'application/yaml', read: () => readFileSync(openapiFile, 'utf8') }
const index: Page = { type: 'text/html; charset=utf-8', read: () => page }

/** The description of the interface, and a page to read and try it; nothing is loaded from elsewhere. */
export function docsRoutes(): Route[] {
  const read = new Map<Page, ReturnType<Page['read']>>()
  const send = (c: Context<Env>, it: Page | undefined) => {
    if (!it) throw new LinkError('not-found', 'there is nothing at this address')
    const content = read.get(it) ?? it.read()
    read.set(it, content)
    const headers = { 'Content-Type': it.type, 'Content-Security-Policy': policy, 'Cache-Control': 'no-cache' }
    return c.body(content, 200, headers)
  }
  const route = (path: string, handle: Handler): Route => ({ method: 'GET', path, scope: 'public', handle })
  return [
    route('/openapi.yaml', (c) => send(c, description)),
    route('/docs', (c) => send(c, index)),
    route('/docs/:file', (c) => send(c, files.get(c.req.param('file') ?? ''))),
  ]
}

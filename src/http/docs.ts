import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Route } from './context.ts'

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

const swagger = (name: string, type: string): Page => ({ type, read: () => readFileSync(join(swaggerFolder, name)) })

const pages: Readonly<Record<string, Page>> = {
  '/openapi.yaml': { type: 'application/yaml', read: () => readFileSync(openapiFile, 'utf8') },
  '/docs': { type: 'text/html; charset=utf-8', read: () => page },
  '/docs/start.js': { type: 'text/javascript; charset=utf-8', read: () => start },
  '/docs/swagger-ui-bundle.js': swagger('swagger-ui-bundle.js', 'text/javascript; charset=utf-8'),
  '/docs/swagger-ui.css': swagger('swagger-ui.css', 'text/css; charset=utf-8'),
  '/docs/favicon-32x32.png': swagger('favicon-32x32.png', 'image/png'),
}

/** The description of the interface, and a page to read and try it; nothing is loaded from elsewhere. */
export const docsRoutes = (): Route[] =>
  Object.entries(pages).map(([path, { type, read }]) => {
    let content: ReturnType<Page['read']> | undefined
    return {
      method: 'GET',
      path,
      scope: 'public',
      handle: (c) => {
        content ??= read()
        return c.body(content, 200, {
          'Content-Type': type,
          'Content-Security-Policy': policy,
          'Cache-Control': 'no-cache',
        })
      },
    }
  })

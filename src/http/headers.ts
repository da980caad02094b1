import type { Context, MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import type { Config } from '../config/schema.ts'
import { isLoopback } from '../config/schema.ts'
import { LinkError } from '../core/errors.ts'
import { dicomwebPath, wadoUriPath } from './addresses.ts'
import type { Env } from './context.ts'
import { ProblemError } from './problem.ts'

/** Pages of the configured origins may call and read; credentials travel in headers, never in cookies. */
export function crossOrigin({ cors: { origins } }: Pick<Config, 'cors'>): MiddlewareHandler {
  const allowed = new Set(origins)
  return cors({
    origin: allowed.has('*') ? '*' : (origin) => (allowed.has(origin) ? origin : undefined),
    allowMethods: ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'],
    allowHeaders: [
      'Authorization',
      'Accept',
      'Content-Type',
      'X-API-Key',
      'Range',
      'If-Range',
      'If-Match',
      'If-None-Match',
    ],
    exposeHeaders: [
      'Warning',
      'Link-Sources',
      'X-Request-Id',
      'Content-Location',
      'Location',
      'Retry-After',
      'ETag',
      'Content-Range',
      'Accept-Ranges',
    ],
    maxAge: 600,
  })
}

const dataHeaders = {
  // Lists of patients and whole studies must not stay behind on the disks of shared workstations.
  'Cache-Control': 'no-store',
  // Viewers run isolated, to share memory, and a page that is isolated frames only what asks for the same.
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

/**
 * What every answer carries unless its route says otherwise. Pages that may read answers may also frame them: viewers
 * show PDF that way.
 */
export function securityHeaders({ cors: { origins } }: Pick<Config, 'cors'>): MiddlewareHandler<Env> {
  const resourcePolicy = origins.length > 0 ? 'cross-origin' : 'same-origin'
  const ancestors = ["'self'", ...origins].join(' ')
  const noPage = `default-src 'none'; frame-ancestors ${ancestors}; base-uri 'none'; form-action 'none'`
  return async (c, next) => {
    await next()
    const isPdf = c.res.headers.get('Content-Type')?.startsWith('application/pdf')
    const isData = c.req.path.startsWith(dicomwebPath) || c.req.path === wadoUriPath
    const defaults = {
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cross-Origin-Resource-Policy': resourcePolicy,
      // PDF viewers of browsers do not run in a sandbox; everything else that a cluster may call a page does.
      'Content-Security-Policy': isPdf ? noPage : `${noPage}; sandbox`,
      ...(isData ? dataHeaders : {}),
    }
    for (const [name, value] of Object.entries(defaults)) if (!c.res.headers.has(name)) c.header(name, value)
    c.header('X-Request-Id', c.env.exchange.id)
  }
}

/** Answers 414 to addresses that are too long, before anything looks at them. */
export function limitAddress({ limits }: Pick<Config, 'limits'>): MiddlewareHandler<Env> {
  return async (c, next) => {
    if ((c.env.incoming.url?.length ?? 0) > limits.maxUrlBytes) {
      throw new ProblemError('too-large', `the address is longer than ${limits.maxUrlBytes} bytes`, { status: 414 })
    }
    await next()
  }
}

/** Answers 417 to expectations other than `100-continue`, which nothing here knows how to meet. */
export const refuseExpectation: MiddlewareHandler<Env> = async (c, next) => {
  const expected = c.env.incoming.headers.expect
  if (expected !== undefined && expected.toLowerCase() !== '100-continue') {
    throw new ProblemError('bad-request', 'Expect: only 100-continue is known', { status: 417 })
  }
  await next()
}

/**
 * Without authentication only this machine may ask, and its browsers carry pages from everywhere: a page whose own
 * host name resolves to 127.0.0.1 ("DNS rebinding") is told apart by the `Host` it sends.
 */
export function guardHost({ auth, publicUrl }: Pick<Config, 'auth' | 'publicUrl'>): MiddlewareHandler<Env> {
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname
  return async (c, next) => {
    const { hostname } = new URL(c.req.url)
    if (auth === undefined && !isLoopback(hostname) && hostname !== publicHost) {
      throw new ProblemError(
        'forbidden',
        'without authentication this service answers only at its loopback address; set publicUrl or configure auth',
      )
    }
    await next()
  }
}

/** A page of another origin that a browser shows can send a request without a body anywhere, unasked. */
export function refuseOtherPages(c: Context<Env>, { cors: { origins } }: Pick<Config, 'cors'>): void {
  const origin = c.req.header('origin')
  if (origin === undefined || origins.includes('*') || origins.includes(origin)) return
  if (URL.canParse(origin) && new URL(origin).host === c.req.header('host')) return
  throw new LinkError('forbidden', 'Origin: this page may not operate the service; allow it in cors.origins')
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener, RequestError } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Hono } from 'hono'
import type { Config } from '../config/schema.ts'
import { LinkError, toError } from '../core/errors.ts'
import { withRequestId } from '../core/request-context.ts'
import type { Log } from '../core/telemetry.ts'
import type { Bindings, Env, Stream } from './context.ts'
import { type OpenExchange, openExchange } from './exchange.ts'
import type { Metrics } from './metrics.ts'
import { describeProblem, ProblemError, problemResponse } from './problem.ts'
import { abandon, cut, pump } from './pump.ts'

/** Longer than load balancers keep idle connections, so that it is they who close them. */
const keepAliveTimeoutMs = 75_000

/** Whether this process is on its way out; `/readyz` tells it. */
export interface Lifecycle {
  draining: boolean
}

export interface ServerOptions {
  readonly config: Pick<Config, 'listen' | 'limits' | 'drainTimeoutMs'>
  readonly lifecycle: Lifecycle
  readonly log: Log
  readonly metrics: Metrics
}

export interface Listening extends AsyncDisposable {
  /** Where it can be reached: `http://127.0.0.1:8080`. */
  readonly address: string
  /**
   * Drains: takes no more connections, lets running requests finish for at most `drainTimeoutMs`, then cuts them.
   * May be called more than once.
   */
  close(): Promise<void>
}

/** Serves the application. Throws `LinkError` with code `config` when the address cannot be had. */
export async function listen(app: Hono<Env>, options: ServerOptions): Promise<Listening> {
  const running = new Set<OpenExchange>()
  const { limits, listen: where } = options.config
  const server = createServer({
    // Node counts the request line among the headers.
    maxHeaderSize: limits.maxHeaderBytes + limits.maxUrlBytes,
    headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    // A request without it is answered as any other that is malformed, which Node would do without a word.
    requireHostHeader: false,
    connectionsCheckingInterval: Math.min(5000, limits.headersTimeoutMs),
  })
  const listener = createListener(app, options, running)
  server.on('request', (incoming, outgoing) => {
    // Node closes connections that idle when a drain begins, not those that idle later.
    outgoing.once('close', () => options.lifecycle.draining && server.closeIdleConnections())
    listener(incoming, outgoing)
  })
  // Whoever reads the body says 100 Continue: an upload that is refused is not sent at all.
  server.on('checkContinue', listener)
  server.on('clientError', refuseUnreadable)
  await bind(server, where)
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= drain(server, running, options)
    return closed
  }
  return { address: addressOf(server), close, [Symbol.asyncDispose]: close }
}

function createListener(app: Hono<Env>, options: ServerOptions, running: Set<OpenExchange>) {
  const { limits } = options.config
  const exchangeOptions = { ...options, requestTimeoutMs: limits.requestTimeoutMs }
  const idleMs = limits.clientIdleTimeoutMs

  async function answer(request: Request, bindings: Bindings): Promise<Response> {
    const response = await app.fetch(request, bindings)
    const { stream } = bindings.exchange
    if (!stream) return response
    await sendStream(stream, response, bindings, { idleMs, log: options.log })
    return RESPONSE_ALREADY_SENT
  }

  const open = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const exchange = openExchange(incoming, outgoing, exchangeOptions)
    running.add(exchange)
    outgoing.once('close', () => running.delete(exchange))
    if (options.lifecycle.draining) outgoing.shouldKeepAlive = false
    return exchange
  }

  return (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const exchange = open(incoming, outgoing)
    const respond = getRequestListener(
      (request) => withRequestId(exchange.id, () => answer(request, { incoming, outgoing, exchange })),
      { errorHandler: (error) => refuse(error, exchange, options.log) },
    )
    void respond(incoming, outgoing)
  }
}

/** What the adapter cannot make a request of, an address or a `Host` that is none; anything else is a defect. */
function refuse(error: unknown, { id }: OpenExchange, log: Log): Response {
  if (error instanceof RequestError) return problemResponse(new LinkError('bad-request', error.message), id)
  log.error({ requestId: id, err: error }, 'request-failed')
  return problemResponse(error, id)
}

async function sendStream(
  stream: Stream,
  response: Response,
  { incoming, outgoing, exchange }: Bindings,
  { idleMs, log }: { idleMs: number; log: Log },
): Promise<void> {
  outgoing.statusCode = response.status
  for (const [name, value] of response.headers) outgoing.setHeader(name, value)
  if (stream.length !== undefined) outgoing.setHeader('Content-Length', stream.length)
  if (incoming.method === 'HEAD') {
    abandon(stream)
    outgoing.end()
    return
  }
  try {
    await pump(stream, outgoing, { signal: exchange.signal, idleMs })
  } catch (error) {
    if (!outgoing.destroyed) log.warn({ requestId: exchange.id, route: exchange.route, err: error }, 'answer-cut')
    cut(incoming)
  }
}

type Unreadable = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

/** The parser gave up: there is no request, but the client may still read why. */
function refuseUnreadable(error: Unreadable, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const { problem, headers } = describeProblem(unreadable(error), 'none')
  const body = JSON.stringify(problem)
  const head = [`HTTP/1.1 ${problem.status} ${problem.title}`, ...Object.entries(headers).map((it) => it.join(': '))]
  head.push(`Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close')
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

function unreadable({ code, rawPacket }: Unreadable): LinkError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      // Without a line end in sight it was the address that did not end.
      return rawPacket?.includes('\r\n') === false
        ? new ProblemError('too-large', 'the address is too long', { status: 414 })
        : new ProblemError('too-large', 'the headers of the request are too large', { status: 431 })
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ProblemError('bad-request', 'the request did not arrive in time', { status: 408 })
    default:
      return new LinkError('bad-request', 'this is no HTTP/1.1 request')
  }
}

async function bind(server: Server, { host, port }: Config['listen']): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host: host.replace(/^\[(.*)\]$/, '$1'), port }, resolve)
  try {
    await promise
  } catch (error) {
    const { message } = toError(error)
    throw new LinkError('config', `listen: ${host}:${port} cannot be had (${message}); choose another listen.port`, {
      cause: error,
    })
  } finally {
    server.off('error', reject)
  }
}

function addressOf(server: Server): string {
  const address = server.address()
  if (typeof address === 'string' || address === null) return String(address)
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
}

async function drain(server: Server, running: ReadonlySet<OpenExchange>, options: ServerOptions): Promise<void> {
  options.lifecycle.draining = true
  options.log.info({ running: running.size, drainTimeoutMs: options.config.drainTimeoutMs }, 'draining')
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  const timer = setTimeout(() => {
    options.log.warn({ running: running.size }, 'drain-cut')
    for (const exchange of running) exchange.abort(new LinkError('unavailable', 'the service is shutting down'))
    server.closeAllConnections()
  }, options.config.drainTimeoutMs)
  await closed
  clearTimeout(timer)
}

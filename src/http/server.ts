import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener, RequestError } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Hono } from 'hono'
import type { Config } from '../config/schema.ts'
import { LinkError, toError } from '../core/errors.ts'
import { withRequest } from '../core/request-context.ts'
import type { Log } from '../core/telemetry.ts'
import { leave } from '../retrieve/relay.ts'
import type { Authenticate } from './auth.ts'
import type { Bindings, Env, Exchange } from './context.ts'
import { type OpenExchange, openExchange } from './exchange.ts'
import { wholeStream } from './in-hand.ts'
import { type FrameAsked, Likes } from './likes.ts'
import type { Metrics } from './metrics.ts'
import { problemResponse } from './problem.ts'
import { type Repeated, Repeats } from './repeats.ts'
import { send, sendWhole } from './send.ts'
import { refuseUnreadable, type Unreadable } from './unreadable.ts'

/** Longer than load balancers keep idle connections, so that it is they who close them. */
const keepAliveTimeoutMs = 75_000
/** Of an answer, written before it is waited for its client to take it: fewer and larger writes. */
const writeAheadBytes = 512 * 1024

/** Whether this process is on its way out; `/readyz` tells it. */
export interface Lifecycle {
  draining: boolean
}

export interface ServerOptions {
  readonly config: Pick<Config, 'listen' | 'limits' | 'drainTimeoutMs'>
  readonly lifecycle: Lifecycle
  readonly log: Log
  readonly metrics: Metrics
  /** As the application has it. */
  readonly authenticate: Authenticate
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
    highWaterMark: writeAheadBytes,
    // A request without it is answered as any other that is malformed, which Node would do without a word.
    requireHostHeader: false,
    connectionsCheckingInterval: Math.min(5000, limits.headersTimeoutMs),
  })
  const listener = createListener(app, options, running)
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    // Node closes connections that idle when a drain begins, not those that idle later.
    outgoing.once('close', () => options.lifecycle.draining && server.closeIdleConnections())
    listener(incoming, outgoing)
  }
  server.on('request', onRequest)
  // Whoever reads the body says 100 Continue: an upload that is refused is not sent at all.
  server.on('checkContinue', onRequest)
  // Any other expectation is refused as whatever else is wrong with a request.
  server.on('checkExpectation', onRequest)
  server.on('clientError', (error: Unreadable, socket) => {
    const midAnswer = [...running].some((it) => it.socket === socket && it.midAnswer)
    refuseUnreadable(error, socket as Socket, midAnswer)
  })
  await bind(server, where)
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= drain(server, running, options)
    return closed
  }
  return { address: addressOf(server), close, [Symbol.asyncDispose]: close }
}

function createListener(app: Hono<Env>, options: ServerOptions, running: Set<OpenExchange>) {
  const { requestTimeoutMs, clientIdleTimeoutMs: idleMs } = options.config.limits
  const { log, metrics, lifecycle } = options
  const repeats = new Repeats(options.authenticate)
  const likes = new Likes(options.authenticate)

  const open = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const exchange = openExchange(incoming, outgoing, { requestTimeoutMs, idleMs, log, metrics })
    running.add(exchange)
    outgoing.once('close', () => {
      running.delete(exchange)
      // Nothing of it will be written any more.
      exchange.stream?.source?.lending.done()
      exchange.begun?.then(({ body }) => leave(body)).catch(() => undefined)
    })
    return exchange
  }

  const closesWhenDraining = (outgoing: ServerResponse) => {
    if (lifecycle.draining) outgoing.shouldKeepAlive = false
  }

  const answer = async (bindings: Bindings): Promise<void> => {
    // The adapter only makes the request: what it would write itself could wait for its client without end.
    const write = async (response: Response) => {
      closesWhenDraining(bindings.outgoing)
      await send(response, bindings, { idleMs, log })
      repeats.remember(bindings)
      likes.remember(bindings)
      return RESPONSE_ALREADY_SENT
    }
    const { incoming, outgoing, exchange } = bindings
    const respond = getRequestListener(
      (request) => withRequest(exchange, async () => write(await app.fetch(request, bindings))),
      { errorHandler: (error) => write(refuse(error, exchange, log)) },
    )
    await respond(incoming, outgoing)
  }

  const answerAgain = async (bindings: Bindings, found: Promise<Repeated | undefined>): Promise<void> => {
    const repeated = await found
    if (!repeated) return answer(bindings)
    closesWhenDraining(bindings.outgoing)
    const { route, principal, headers, chunks, source } = repeated
    Object.assign(bindings.exchange, { route, principal, stream: { ...wholeStream(chunks, 0), source } })
    await sendWhole(headers, chunks, bindings, { idleMs, log })
  }

  const answerLikewise = async (bindings: Bindings, asked: FrameAsked): Promise<void> => {
    const headers = await withRequest(bindings.exchange, () => likes.answerTo(asked, bindings))
    const chunks = bindings.exchange.stream?.whole
    if (!headers || !chunks) return answer(bindings)
    closesWhenDraining(bindings.outgoing)
    await sendWhole(headers, chunks, bindings, { idleMs, log })
    repeats.remember(bindings, headers)
  }

  return (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const bindings = { incoming, outgoing, exchange: open(incoming, outgoing) }
    const found = repeats.find(incoming)
    if (found) return void answerAgain(bindings, found)
    const asked = likes.find(incoming)
    void (asked ? answerLikewise(bindings, asked) : answer(bindings))
  }
}

/** What the adapter cannot make a request of, an address or a `Host` that is none; anything else is a defect. */
function refuse(error: unknown, { id }: Pick<Exchange, 'id'>, log: Log): Response {
  if (error instanceof RequestError) return problemResponse(new LinkError('bad-request', error.message), id)
  log.error({ requestId: id, err: error }, 'request-failed')
  return problemResponse(error, id)
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

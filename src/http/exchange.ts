import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { LinkError } from '../core/errors.ts'
import type { Log } from '../core/telemetry.ts'
import type { Exchange } from './context.ts'
import type { Metrics } from './metrics.ts'
import { cut } from './pump.ts'

/** An id from outside goes into logs and to clusters: only what cannot be mistaken for anything else. */
const saneId = /^[\w.-]{1,64}$/

export interface ExchangeOptions {
  readonly requestTimeoutMs: number
  /** Longest time the client may take nothing; also what is left to say so when the time of a request is up. */
  readonly idleMs: number
  readonly log: Log
  readonly metrics: Metrics
}

/** An exchange under way, with the means to end it. */
export interface OpenExchange extends Exchange {
  readonly socket: Socket
  /** The header of the answer has gone out and not yet its end. */
  readonly midAnswer: boolean
  abort(reason: LinkError): void
}

/** Watches one request until its answer is complete or its client has left; then accounts for it. */
export function openExchange(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  options: ExchangeOptions,
): OpenExchange {
  const controller = new AbortController()
  const abort = (reason: LinkError) => controller.abort(reason)
  const exchange: OpenExchange = {
    id: requestId(incoming),
    signal: controller.signal,
    abort,
    route: 'unmatched',
    hops: [],
    socket: incoming.socket,
    get midAnswer() {
      return outgoing.headersSent && !outgoing.writableFinished
    },
  }
  // An answer that waited in line behind another does not take over the time limit of that one.
  outgoing.once('socket', (socket: Socket) => socket.setTimeout(0))
  const measure = startMeasure(incoming, outgoing)
  const { requestTimeoutMs, idleMs } = options
  let timer = setTimeout(() => {
    abort(new LinkError('timed-out', `the request was not done within ${requestTimeoutMs} ms`))
    timer = setTimeout(() => cut(incoming), idleMs)
    timer.unref()
  }, requestTimeoutMs)
  timer.unref()
  outgoing.once('close', () => {
    clearTimeout(timer)
    const complete = outgoing.writableFinished
    if (!complete) abort(new LinkError('cancelled', 'the client left before its answer was complete'))
    account(exchange, { ...measure(), complete }, options)
  })
  return exchange
}

function requestId({ headers }: IncomingMessage): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && saneId.test(given) ? given : randomUUID()
}

type Measured = ReturnType<ReturnType<typeof startMeasure>>

/** How much of a connection earlier requests have accounted for: a header is read before there is a request. */
const accounted = new WeakMap<Socket, number>()

/** Bytes are counted on the connection, headers included: it counts them anyway. */
function startMeasure({ method = '', socket }: IncomingMessage, outgoing: ServerResponse) {
  const start = { at: performance.now(), read: accounted.get(socket) ?? 0, written: socket.bytesWritten }
  outgoing.once('close', () => accounted.set(socket, socket.bytesRead))
  return () => ({
    method,
    status: outgoing.statusCode,
    durationMs: Math.round((performance.now() - start.at) * 10) / 10,
    bytesReceived: socket.bytesRead - start.read,
    bytesSent: socket.bytesWritten - start.written,
  })
}

/** One line a request. Never its address: queries carry names and ids of patients. */
function account(exchange: Exchange, ended: Measured & { complete: boolean }, { log, metrics }: ExchangeOptions): void {
  const { id, route, principal } = exchange
  const { complete, bytesReceived, bytesSent, ...rest } = ended
  metrics.requestEnded({ route, ...rest, bytesReceived, bytesSent })
  const who = principal === undefined ? {} : { principal: principal.name }
  const incomplete = complete ? {} : { incomplete: true }
  log.info({ ...rest, bytes: bytesSent, route, requestId: id, ...who, ...incomplete }, 'request')
}

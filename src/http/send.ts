import type { Log } from '../core/telemetry.ts'
import type { Bindings, Stream } from './context.ts'
import { wholeStream } from './in-hand.ts'
import { abandon, cut, finish, inHand, type PumpOptions, pump } from './pump.ts'

export interface SendOptions {
  /** Longest time the client may take nothing. */
  readonly idleMs: number
  readonly log: Log
}

/**
 * Writes an answer: status and headers of `response`, and `exchange.stream` as its body, else what `response` holds
 * in memory. Resolves when the client's system has all of it; an answer that cannot be completed, or that the client
 * does not take, ends as a reset connection. Throws only before anything is sent.
 */
export async function send(response: Response, bindings: Bindings, { idleMs, log }: SendOptions): Promise<void> {
  const { exchange } = bindings
  const stream = exchange.stream ?? inHand(new Uint8Array(await response.arrayBuffer()))
  writeHead(response, stream, bindings)
  const signal = exchange.stream ? exchange.signal : signalOfShort(exchange.signal)
  await writeBody(stream, bindings, { idleMs, log, signal })
}

/** An answer that is all in memory, and its headers but for the id: names and values in turn. */
export async function sendWhole(
  headers: readonly string[],
  chunks: readonly Uint8Array[],
  bindings: Bindings,
  options: SendOptions,
): Promise<void> {
  const { outgoing, exchange } = bindings
  outgoing.writeHead(200, [...headers, 'X-Request-Id', exchange.id])
  await writeBody(wholeStream(chunks, 0), bindings, { ...options, signal: exchange.signal })
}

async function writeBody(stream: Stream, bindings: Bindings, { log, ...options }: SendOptions & PumpOptions) {
  const { incoming, outgoing, exchange } = bindings
  try {
    if (incoming.method === 'HEAD') {
      abandon(stream)
      await finish(outgoing, options)
    } else if (stream.whole) {
      outgoing.cork()
      for (const chunk of stream.whole) outgoing.write(chunk)
      await finish(outgoing, options)
    } else await pump(stream, outgoing, options)
  } catch (error) {
    if (!outgoing.destroyed) log.warn({ requestId: exchange.id, route: exchange.route, err: error }, 'answer-cut')
    cut(incoming)
  }
}

function writeHead(response: Response, stream: Stream, { outgoing, exchange }: Bindings): void {
  try {
    outgoing.statusCode = response.status
    for (const [name, value] of response.headers) outgoing.setHeader(name, value)
    if (exchange.stream ? stream.length !== undefined : stream.length) {
      outgoing.setHeader('Content-Length', Number(stream.length))
    }
  } catch (error) {
    abandon(stream)
    delete exchange.stream
    throw error
  }
}

/** That the time of a request is up is said to its client in an answer, which that very fact must not cut. */
const signalOfShort = (signal: AbortSignal): AbortSignal => (signal.aborted ? new AbortController().signal : signal)

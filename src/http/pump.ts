import type { IncomingMessage, ServerResponse } from 'node:http'
import { LinkError } from '../core/errors.ts'
import type { Stream } from './context.ts'

/** Takes the first chunk, so that what fails before anything is sent can still become an error answer. */
export async function begin(body: AsyncIterable<Uint8Array>, length?: number): Promise<Stream> {
  const rest = body[Symbol.asyncIterator]()
  const first = await rest.next()
  return length === undefined ? { first, rest } : { first, rest, length }
}

/** Lets go of a body that nobody will read to its end; whoever makes it may take its time to notice. */
export function abandon({ rest }: { readonly rest: AsyncIterator<unknown> }): void {
  rest.return?.().catch(() => undefined)
}

export interface PumpOptions {
  readonly signal: AbortSignal
  /** Longest time the client may take nothing. */
  readonly idleMs: number
}

/**
 * Writes a body as fast as the client takes it: the next chunk is asked for when the last one has gone out, so a
 * slow client slows the cluster and memory does not grow. Throws when the body fails, when its length is not what
 * was announced or when the client leaves or takes nothing; the caller then cuts the connection.
 */
export async function pump(stream: Stream, outgoing: ServerResponse, options: PumpOptions): Promise<void> {
  let sent = 0
  try {
    for (let step = stream.first; !step.done; step = await stream.rest.next()) {
      options.signal.throwIfAborted()
      sent += step.value.byteLength
      if (sent > (stream.length ?? sent)) break
      if (!outgoing.write(step.value)) await drained(outgoing, options)
    }
    if (stream.length !== undefined && sent !== stream.length) {
      throw new LinkError('bad-gateway', `a body of ${stream.length} bytes was announced, its source gave another`)
    }
  } catch (error) {
    abandon(stream)
    throw error
  }
  outgoing.end()
}

function drained(outgoing: ServerResponse, { signal, idleMs }: PumpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: unknown) => {
      clearTimeout(timer)
      outgoing.off('drain', settle)
      signal.removeEventListener('abort', left)
      if (error === undefined) resolve()
      else reject(error)
    }
    const left = () => settle(signal.reason)
    const timer = setTimeout(
      () => settle(new LinkError('cancelled', `the client took nothing of its answer for ${idleMs} ms`)),
      idleMs,
    )
    outgoing.once('drain', settle)
    signal.addEventListener('abort', left)
    if (signal.aborted) left()
  })
}

/**
 * Ends a connection so that no client takes what it got for complete: with a reset, because to an HTTP/1.0 client
 * a plain close is the end of the body.
 */
export function cut(incoming: IncomingMessage): void {
  incoming.socket.resetAndDestroy()
}

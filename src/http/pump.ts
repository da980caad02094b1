import type { IncomingMessage, ServerResponse } from 'node:http'
import { LinkError } from '../core/errors.ts'
import type { Stream } from './context.ts'

/** Takes the first chunk, so that what fails before anything is sent can still become an error answer. */
export async function begin(body: AsyncIterable<Uint8Array>, length?: number): Promise<Stream> {
  const rest = body[Symbol.asyncIterator]()
  const first = await rest.next()
  return length === undefined ? { first, rest } : { first, rest, length }
}

/** A body that is there already. */
export const inHand = (bytes: Uint8Array): Stream => ({
  first: { done: false, value: bytes },
  rest: { next: async () => ({ done: true, value: undefined }) },
  length: bytes.byteLength,
})

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
 * Writes a body as fast as the client takes it, to its last byte: the next chunk is asked for when the last one has
 * gone out, so a slow client slows the cluster and memory does not grow. Throws when the body fails, when its length
 * is not what was announced or when the client leaves or takes nothing; the caller then cuts the connection.
 */
export async function pump(stream: Stream, outgoing: ServerResponse, options: PumpOptions): Promise<void> {
  let sent = 0
  try {
    for (let step = stream.first; !step.done; step = await stream.rest.next()) {
      options.signal.throwIfAborted()
      sent += step.value.byteLength
      if (sent > (stream.length ?? sent)) break
      await write(step.value, outgoing, options)
    }
    if (stream.length !== undefined && sent !== stream.length) {
      throw new LinkError('bad-gateway', `a body of ${stream.length} bytes was announced, its source gave another`)
    }
  } catch (error) {
    abandon(stream)
    throw error
  }
  await finish(outgoing, options)
}

/** Ends an answer and waits until all of it has gone out. Throws as {@link pump} does. */
export async function finish(outgoing: ServerResponse, options: PumpOptions): Promise<void> {
  outgoing.end()
  await taken(outgoing, 'finish', options)
}

/** How much a client has taken shows only when a write is complete: in pieces, a slow one differs from a stuck one. */
const pieceBytes = 64 * 1024

async function write(chunk: Uint8Array, outgoing: ServerResponse, options: PumpOptions): Promise<void> {
  for (let from = 0; from < chunk.byteLength; from += pieceBytes) {
    if (!outgoing.write(chunk.subarray(from, from + pieceBytes))) await taken(outgoing, 'drain', options)
  }
}

function taken(outgoing: ServerResponse, event: 'drain' | 'finish', { signal, idleMs }: PumpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: unknown) => {
      clearTimeout(timer)
      outgoing.off(event, settle)
      outgoing.off('close', gone)
      signal.removeEventListener('abort', aborted)
      if (error === undefined) resolve()
      else reject(error)
    }
    const aborted = () => settle(signal.reason)
    const gone = () => settle(new LinkError('cancelled', 'the client left before its answer was complete'))
    const idle = () => {
      // An answer in line behind another of the same connection has no socket yet: its client cannot take it.
      if (outgoing.socket === null) timer.refresh()
      else settle(new LinkError('cancelled', `the client took nothing of its answer for ${idleMs} ms`))
    }
    const timer = setTimeout(idle, idleMs)
    outgoing.once(event, settle)
    outgoing.once('close', gone)
    signal.addEventListener('abort', aborted)
    if (signal.aborted) aborted()
    else if (outgoing.destroyed) gone()
  })
}

/**
 * Ends a connection so that no client takes what it got for complete: with a reset, because to an HTTP/1.0 client
 * a plain close is the end of the body.
 */
export function cut(incoming: IncomingMessage): void {
  incoming.socket.resetAndDestroy()
}

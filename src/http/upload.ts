import type { IncomingMessage } from 'node:http'
import { badRequest, LinkError } from '../core/errors.ts'
import type { Bindings } from './context.ts'

export interface UploadLimits {
  readonly maxBodyBytes: number
  /** Longest silence of the client. */
  readonly clientIdleTimeoutMs: number
}

/** The body of a request, to be read once. */
export interface Upload {
  readonly body: AsyncIterable<Uint8Array>
  /** What went wrong while reading, whatever the reader made of it. */
  readonly failure: LinkError | undefined
}

/**
 * Opens the body of a request. Throws `too-large` for an announced length beyond the limit; what is not announced is
 * counted. A client that asked with `Expect: 100-continue` is told to go on when reading begins, so that a refused
 * upload costs nothing.
 */
export function openUpload({ incoming, outgoing }: Bindings, limits: UploadLimits): Upload {
  const announced = Number(incoming.headers['content-length'] ?? 0)
  if (announced > limits.maxBodyBytes) throw tooLarge(limits)
  let failure: LinkError | undefined
  async function* read(): AsyncGenerator<Uint8Array> {
    if (/^100-continue$/i.test(incoming.headers.expect ?? '')) outgoing.writeContinue()
    try {
      yield* counted(incoming, limits)
    } catch (error) {
      failure =
        error instanceof LinkError
          ? error
          : new LinkError('cancelled', 'the client left before its request was complete', { cause: error })
      throw failure
    }
  }
  return {
    body: read(),
    get failure() {
      return failure
    },
  }
}

async function* counted(incoming: IncomingMessage, limits: UploadLimits): AsyncGenerator<Uint8Array> {
  // The answer still goes out over the connection of a body that was not read to its end.
  const chunks: AsyncIterator<Uint8Array> = incoming.iterator({ destroyOnReturn: false })
  let received = 0
  try {
    for (;;) {
      const step = await withinIdleTime(chunks.next(), limits.clientIdleTimeoutMs)
      if (step.done) return
      received += step.value.byteLength
      if (received > limits.maxBodyBytes) throw tooLarge(limits)
      yield step.value
    }
  } finally {
    chunks.return?.().catch(() => undefined)
  }
}

/** Only the client's silence counts: while the reader is busy no timer runs. */
async function withinIdleTime<T>(work: Promise<T>, ms: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(badRequest(`the request's body stopped for more than ${ms} ms`)), ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

const tooLarge = ({ maxBodyBytes }: UploadLimits) =>
  new LinkError('too-large', `the request's body is larger than ${maxBodyBytes} bytes; send it in several requests`)

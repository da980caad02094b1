import type { Limits } from '../config/schema.ts'
import { type MultipartLimits, type Part, type Parts, readMultipart } from '../dicom/multipart.ts'
import type { DicomwebClient, Exchange } from './dicomweb-client.ts'

export interface PartsOptions {
  readonly limits: Limits
  readonly signal: AbortSignal
}

/**
 * The parts of an answer, or the one it consists of when it is not multipart. What goes wrong while they are read is
 * thrown as `ClusterError`; leaving the loop discards the rest, even before it has begun.
 */
export function readParts(client: DicomwebClient, exchange: Exchange, options: PartsOptions): Parts {
  const parts = isMultipart(exchange.contentType)
    ? multipart(exchange, { ...options.limits, lengths: client.partLengths })
    : single(exchange, options.limits)
  const explained = (thrown: unknown): never => {
    exchange.cancel()
    throw client.explain(thrown, exchange, options.signal)
  }
  let isReading = false
  const iterator: AsyncIterator<Part> = {
    next: async () => {
      isReading = true
      const next = await parts.next().catch(explained)
      isReading = false
      if (next.done === true) return next
      return { done: false, value: { ...next.value, body: guarded(next.value.body, explained) } }
    },
    return: async () => {
      // What does not come is not waited for.
      if (isReading) exchange.cancel()
      else exchange.discard()
      await parts.return().catch(() => undefined)
      return { done: true, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}

/** Parts of several answers after each other; the next is asked for when the one before has been read. */
export async function* concatenated(first: Parts, next: readonly (() => Promise<Parts>)[]): AsyncGenerator<Part> {
  yield* first
  for (const ask of next) yield* await ask()
}

export const isMultipart = (contentType: string): boolean => /^\s*multipart\//i.test(contentType)

const multipart = (exchange: Exchange, limits: MultipartLimits): AsyncGenerator<Part, void> =>
  readMultipart(exchange.body, boundaryOf(exchange.contentType), limits)

/** The boundary parameter, empty when there is none. Archives put parameters with semicolons into a quoted `type`. */
function boundaryOf(contentType: string): string {
  const unquoted = contentType.replace(/;\s*type\s*=\s*"[^"]*"/i, '')
  const found = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^;\s]+))/i.exec(unquoted)
  return found?.[1] ?? found?.[2] ?? ''
}

async function* single(exchange: Exchange, limits: Limits): AsyncGenerator<Part, void> {
  const announced = Number(exchange.header('content-length') ?? Number.NaN)
  const known = Number.isSafeInteger(announced) && exchange.header('content-encoding') === undefined
  yield {
    contentType: exchange.contentType,
    ...(known && { length: announced }),
    body: bounded(exchange.body, limits.maxPartBytes),
  }
}

/** Not more than so many bytes, and not none: there is no empty instance, frame or picture. */
async function* bounded(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array, void> {
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxBytes) throw Object.assign(new Error(`more than ${maxBytes} bytes`), { kind: 'too-large' })
    yield chunk
  }
  if (size === 0) throw Object.assign(new Error('it is empty'), { kind: 'malformed' })
}

function guarded(body: AsyncIterable<Uint8Array>, explained: (thrown: unknown) => never): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = body[Symbol.asyncIterator]()
      return {
        next: () => inner.next().catch(explained),
        return: async () => {
          await inner.return?.()
          return { done: true, value: undefined }
        },
      }
    },
  }
}

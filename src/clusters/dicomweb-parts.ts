import type { Limits } from '../config/schema.ts'
import { chained } from '../core/chained.ts'
import { type MultipartLimits, type Part, type Parts, readMultipart } from '../dicom/multipart.ts'
import { splitMultipart } from '../dicom/multipart-whole.ts'
import type { DicomwebClient, Exchange } from './dicomweb-client.ts'

export interface PartsOptions {
  readonly limits: Limits
  readonly signal: AbortSignal
  /** An answer of so many bytes at most is read whole before its first part is given: it costs less. */
  readonly atOnceBytes?: number
}

/**
 * The parts of an answer, or the one it consists of when it is not multipart. What goes wrong while they are read is
 * thrown as `ClusterError`; leaving the loop discards the rest, even before it has begun.
 */
export function readParts(client: DicomwebClient, exchange: Exchange, options: PartsOptions): Parts {
  const explained = (thrown: unknown): never => {
    exchange.cancel()
    throw client.explain(thrown, exchange, options.signal)
  }
  let parts: AsyncIterator<Part> | undefined
  let isReading = false
  const read = async () => {
    parts ??= await open(client, exchange, options)
    return parts.next()
  }
  const iterator: AsyncIterator<Part> = {
    next: async () => {
      isReading = true
      const next = await read().catch(explained)
      isReading = false
      if (next.done === true || next.value.held) return next
      return { done: false, value: { ...next.value, body: guarded(next.value.body, explained) } }
    },
    return: async () => {
      // What does not come is not waited for.
      if (isReading) exchange.cancel()
      else exchange.discard()
      await parts?.return?.().catch(() => undefined)
      return { done: true, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}

async function open(
  client: DicomwebClient,
  exchange: Exchange,
  { limits, atOnceBytes }: PartsOptions,
): Promise<AsyncIterator<Part>> {
  const whole = atOnceBytes === undefined ? undefined : await exchange.body.whole(atOnceBytes)
  const body = whole ? chained([whole]) : exchange.body
  if (!isMultipart(exchange.contentType)) return single(exchange, body, limits, whole)
  const boundary = boundaryOf(exchange.contentType)
  const bounds: MultipartLimits = { ...limits, lengths: client.partLengths }
  const parts = whole && splitMultipart(whole, boundary, bounds)
  return parts ? chained(parts) : readMultipart(body, boundary, bounds)
}

/** Parts of several answers after each other; the next is asked for when the one before has been read. */
export async function* concatenated(first: Parts, next: readonly (() => Promise<Parts>)[]): AsyncGenerator<Part> {
  yield* first
  for (const ask of next) yield* await ask()
}

export const isMultipart = (contentType: string): boolean => /^\s*multipart\//i.test(contentType)

/** The boundary parameter, empty when there is none. Archives put parameters with semicolons into a quoted `type`. */
function boundaryOf(contentType: string): string {
  const unquoted = contentType.replace(/;\s*type\s*=\s*"[^"]*"/i, '')
  const found = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^;\s]+))/i.exec(unquoted)
  return found?.[1] ?? found?.[2] ?? ''
}

async function* single(
  exchange: Exchange,
  body: AsyncIterable<Uint8Array>,
  { maxPartBytes }: Limits,
  whole: Buffer | undefined,
): AsyncGenerator<Part, void> {
  const announced = Number(exchange.header('content-length') ?? Number.NaN)
  const known = Number.isSafeInteger(announced) && exchange.header('content-encoding') === undefined
  const length = whole ? whole.length : known ? announced : undefined
  yield {
    contentType: exchange.contentType,
    ...(length !== undefined && { length }),
    ...(whole && whole.length > 0 && whole.length <= maxPartBytes && { held: [whole] }),
    body: bounded(body, maxPartBytes),
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

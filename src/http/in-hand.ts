import type { Context } from 'hono'
import type { InHand } from '../retrieve/in-hand.ts'
import { answerIfKnown } from './conditional.ts'
import type { Env, Stream } from './context.ts'
import { rangeFor, slice } from './range.ts'

/** A body that is all in memory. */
export interface BodyInHand {
  readonly contentType: string
  /** In their order. */
  readonly chunks: readonly Uint8Array[]
  readonly length: number
  readonly tag: string
  readonly source: InHand
  /** Whether parts of it may be asked for; its tag is a strong one then. */
  readonly hasRanges?: boolean
}

/** Answers with a body, or with a part of it, or that the client has it already. */
export function sendInHand(
  c: Context<Env>,
  { contentType, chunks, length, tag, hasRanges, source }: BodyInHand,
): Response {
  const known = answerIfKnown(c, tag, contentType)
  if (known) return known
  const range = hasRanges ? rangeFor(c, length, tag) : undefined
  c.env.exchange.stream = range
    ? wholeStream(slice(chunks, range), range.length)
    : { ...wholeStream(chunks, length), source }
  return c.body(null, range ? 206 : 200, { 'Content-Type': contentType })
}

export const wholeStream = (whole: readonly Uint8Array[], length: number): Stream => ({
  whole,
  length,
  first: { done: true, value: undefined },
  rest: { next: async () => ({ done: true, value: undefined }) },
})

/**
 * The boundary of a message whose parts have a digest, so that the same parts are the same bytes. It is in none of them
 * by accident; who puts it there deceives nobody but the readers of their own.
 */
export const boundaryOf = (digest: string): string => `dicomweb-link-${digest}`

/** Parts in memory as a `multipart/related` body (RFC 2046 5.1). */
export function framed(
  parts: readonly { readonly contentType: string; readonly chunks: readonly Uint8Array[] }[],
  boundary: string,
): Pick<BodyInHand, 'chunks' | 'length'> {
  const heads = parts.map(({ contentType }, index) =>
    Buffer.from(`${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${contentType}\r\n\r\n`, 'latin1'),
  )
  const end = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')
  const chunks = [...parts.flatMap((part, index) => [heads[index] ?? end, ...part.chunks]), end]
  return { chunks, length: chunks.reduce((total, { byteLength }) => total + byteLength, 0) }
}

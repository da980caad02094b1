import type { Context } from 'hono'
import { chained } from '../core/chained.ts'
import { LinkError } from '../core/errors.ts'
import { contentTypeOf, newBoundary, type Part, type Parts, writeMultipart } from '../dicom/multipart.ts'
import type { InHand } from '../retrieve/in-hand.ts'
import type { RetrieveAnswer } from '../retrieve/service.ts'
import type { Env } from './context.ts'
import { type BodyInHand, boundaryOf, framed, sendInHand } from './in-hand.ts'
import { abandon, begin } from './pump.ts'

const maxWarnings = 16
const maxWarningLength = 240

/**
 * `Warning: 299 <site>: <text>` (PS3.18 8.3.4), a header line each. Texts may carry anything a cluster or a client
 * said: what is no visible Latin-1 becomes `?`, and the whole stays below what proxies take.
 */
export function warn(c: Context<Env>, site: string, texts: readonly string[]): void {
  if (texts.length === 0) return
  const shown = texts.length > maxWarnings ? texts.slice(0, maxWarnings - 1) : texts
  const more = texts.length - shown.length
  const lines = more > 0 ? [...shown, `There are ${more} more warnings`] : shown
  c.env.outgoing.setHeader(
    'Warning',
    lines.map((text) => `299 ${site}: ${headerText(text)}`),
  )
}

const headerText = (text: string) => text.slice(0, maxWarningLength).replaceAll(/[^\x20-\x7e\xa1-\xff]/g, '?')

/** An answer of this product's own, in JSON, that nobody is to keep. */
export const answerJson = (c: Context<Env>, body: object, status: 200 | 202 | 503 = 200): Response =>
  c.body(JSON.stringify(body), status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })

export interface StreamAnswer {
  readonly status: 200 | 206
  readonly contentType: string
  readonly body: AsyncIterable<Uint8Array>
  readonly length?: number | undefined
}

/** Hands a body over to the server. What fails before its first chunk is thrown here and becomes an error answer. */
export async function stream(c: Context<Env>, { status, contentType, body, length }: StreamAnswer): Promise<Response> {
  c.env.exchange.stream = await begin(body, length)
  return c.body(null, status, { 'Content-Type': contentType })
}

/** Parts whose first is known. Read `all` or `cancel`. */
interface OpenedParts {
  readonly first: Part
  readonly all: Parts
  cancel(): void
}

/** Takes the first part, whose type decides the header of the whole. Throws `not-found` when there is none. */
async function openParts(parts: Parts): Promise<OpenedParts> {
  const rest = parts[Symbol.asyncIterator]()
  const step = await rest.next()
  if (step.done) throw nothingThere()
  return { first: step.value, all: chained([step.value], rest), cancel: () => abandon({ rest }) }
}

const nothingThere = () => new LinkError('not-found', 'nothing is there to retrieve')

export interface PartsAnswer {
  readonly site: string
  readonly answer: RetrieveAnswer<Parts>
  /** Whether only the first part is sent, as the body itself; may depend on the parts, and throw `not-acceptable`. */
  readonly single: boolean | ((contentType: string, total: number) => boolean)
  /** For parts whose cluster gave no type. */
  readonly defaultType: string
  /** Whether the parts say where they are, in addresses of this service. */
  readonly located?: boolean
}

type Form = Omit<PartsAnswer, 'answer'>

/** Parts as multipart/related, or the first one alone. Where a cluster says they come from is kept to ourselves. */
export function sendParts(c: Context<Env>, options: PartsAnswer): Response | Promise<Response> {
  c.header('Vary', 'Accept', { append: true })
  const { inHand } = options.answer
  return inHand ? sendPieces(c, inHand, options) : sendAsTheyCome(c, options)
}

function sendPieces(c: Context<Env>, source: InHand, options: PartsAnswer): Response {
  warn(c, options.site, options.answer.warnings)
  return sendInHand(c, bodyOf(source, options))
}

/** What is in memory as the body of an answer. */
export function bodyOf(source: InHand, options: Form): BodyInHand {
  const { pieces, digest } = source
  const [first] = pieces
  if (!first) throw nothingThere()
  const { contentType, bareType, single } = formOf(first, pieces.length, options)
  if (single) return { ...first, contentType, tag: `"${digest}"`, hasRanges: true, source }
  const boundary = boundaryOf(digest)
  const parts = pieces.map((piece) => ({ contentType: typeOf(piece, options), chunks: piece.chunks }))
  const body = framed(parts, boundary)
  return { ...body, contentType: contentTypeOf(boundary, bareType), tag: `"${digest}-parts"`, source }
}

async function sendAsTheyCome(c: Context<Env>, options: PartsAnswer): Promise<Response> {
  const { answer } = options
  const parts = await openParts(answer.body)
  try {
    const { contentType, bareType, single } = formOf(parts.first, parts.first.total ?? 1, options)
    warn(c, options.site, answer.warnings)
    const { status } = answer
    const mayBeMore = typeof options.single === 'function' && parts.first.total === undefined
    const one = mayBeMore ? theOnlyOne(parts.all) : onlyFirst(parts)
    if (single) return await stream(c, { status, contentType, body: one, length: parts.first.length })
    const boundary = newBoundary()
    const body = writeMultipart(described(parts.all, options), boundary)
    return await stream(c, { status, contentType: contentTypeOf(boundary, bareType), body })
  } catch (error) {
    parts.cancel()
    throw error
  }
}

/** The type of the first of so many parts, without parameters too, and whether it is sent alone. */
function formOf(first: Pick<Part, 'contentType'>, total: number, options: Form) {
  const contentType = typeOf(first, options)
  const bareType = contentType.replace(/\s*;.*/, '').toLowerCase()
  const single = typeof options.single === 'function' ? options.single(bareType, total) : options.single
  return { contentType, bareType, single }
}

const typeOf = (part: Pick<Part, 'contentType'>, { defaultType }: Form) => cleanType(part.contentType) ?? defaultType

async function* described(parts: Parts, options: PartsAnswer): Parts {
  for await (const part of parts) {
    const { body, location } = part
    yield { contentType: typeOf(part, options), body, ...(options.located && location !== undefined && { location }) }
  }
}

async function* onlyFirst({ first, cancel }: OpenedParts): AsyncGenerator<Uint8Array> {
  try {
    yield* first.body
  } finally {
    cancel()
  }
}

/** Ends badly when another one follows: the first would be taken for all there is. */
async function* theOnlyOne(parts: Parts): AsyncGenerator<Uint8Array> {
  let given = 0
  for await (const { body } of parts) {
    if (++given > 1) throw new LinkError('bad-gateway', 'this comes in several parts, of which one alone is no answer')
    yield* body
  }
}

/** A media type a cluster wrote, when it is one and may stand in a header. */
const cleanType = (text: string): string | undefined =>
  /^[\w.+-]+\/[\w.+-]+(?:\s*;[\x20-\x7e]*)?$/.test(text) && text.length < 256 ? text : undefined

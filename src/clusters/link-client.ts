import { z } from 'zod'
import type { ClusterConfig } from '../config/schema.ts'
import { deadline } from '../core/deadline.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { noticeMediaType } from '../link/notice.ts'
import type { Receipt } from '../link/receipt.ts'
import { type Call, type ClientDeps, DicomwebClient, type Exchange } from './dicomweb-client.ts'
import { explain } from './dicomweb-errors.ts'

/** A cluster that is the proxy of another site. */
export type PeerConfig = ClusterConfig & { readonly link: string }

/** A notice as it is sent, however often. */
export interface OutgoingNotice {
  /** Its `noticeId`. */
  readonly id: string
  /** Its JSON. */
  readonly body: Uint8Array
}

/** Which digests are wanted: of what changed, a page at a time, or of these studies. */
export type DigestsQuestion =
  | {
      readonly since?: Date | undefined
      /** The `next` of the page before. */
      readonly cursor?: string | undefined
      readonly limit: number
    }
  | { readonly studies: readonly Uid[] }

const maxReceiptBytes = 64 * 1024
/** Of 200 studies, with versions of 256 sites each. */
const maxDigestsBytes = 4 * 1024 ** 2
/** Of what a peer says a pull failed of. */
const maxErrorLength = 1000
/** From a request to the end of its answer: a notice may be large, and an answer that drips is none. */
const answerWithinMs = 60_000
/** Notices are few beside what is queried and retrieved, over connections of its own. */
const maxConnections = 4

const uid = z.custom<Uid>(isUid, 'a UID')
const count = z.int().min(0)
const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

const receiptSchema = z
  .object({
    noticeId: z.string().max(64),
    studyInstanceUID: uid,
    state: z.enum(['ACCEPTED', 'PULLING', 'COMPLETE', 'PARTIAL', 'FAILED', 'STALE', 'IGNORED_LOOP']),
    promised: count,
    held: count,
    pulled: count,
    refused: count,
    error: z
      .string()
      .transform((text) => text.slice(0, maxErrorLength))
      .optional(),
    receivedAt: time,
    updatedAt: time,
  })
  .transform(
    ({ studyInstanceUID: study, error, ...receipt }): Receipt => ({ study, ...receipt, ...(error && { error }) }),
  )

const digestSchema = z
  .object({
    studyInstanceUID: uid,
    instances: count,
    digest: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex'),
    version: z
      .record(z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/), count)
      .refine((version) => Object.keys(version).length <= 256),
  })
  .transform(({ studyInstanceUID: study, ...digest }) => ({ study, ...digest }))

const digestPageSchema = z.object({
  studies: z.array(digestSchema).max(200),
  next: z
    .string()
    .max(256)
    .nullish()
    .transform((next) => next ?? undefined),
})

export type PeerDigestPage = z.infer<typeof digestPageSchema>

/**
 * The link API of one peer: notices, receipts, digests (`docs/linking-specification.md`). What goes wrong is thrown as
 * `ClusterError`, as `Cluster` does it; a caller that aborts gets its signal's reason.
 */
export class LinkClient {
  readonly #client: DicomwebClient
  readonly #clock: ClientDeps['clock']

  /** Throws `LinkError` `config` when certificates or keys cannot be used. */
  constructor(config: PeerConfig, deps: ClientDeps) {
    const connections = Math.min(config.maxConnections, maxConnections)
    this.#client = new DicomwebClient({ ...config, dicomweb: config.link, maxConnections: connections }, deps)
    this.#clock = deps.clock
  }

  /** Tells of a study. A connection that is lost before the answer is tried once more, with the same bytes. */
  async send({ id, body }: OutgoingNotice, signal: AbortSignal): Promise<Receipt> {
    const call = {
      method: 'POST',
      path: '/study-updates',
      content: { type: noticeMediaType, body },
      headers: { 'idempotency-key': id },
    } as const
    return this.#of(id, await this.#ask(call, { schema: receiptSchema, maxBytes: maxReceiptBytes, signal }))
  }

  /** What became of a notice; an `error` in it is in the peer's words. */
  async receipt(id: string, signal: AbortSignal): Promise<Receipt> {
    const call = { method: 'GET', path: `/receipts/${encodeURIComponent(id)}` } as const
    return this.#of(id, await this.#ask(call, { schema: receiptSchema, maxBytes: maxReceiptBytes, signal }))
  }

  /** Studies as the peer has them; of those asked for, what it has nothing of is missing. */
  digests(question: DigestsQuestion, signal: AbortSignal): Promise<PeerDigestPage> {
    const call = { method: 'GET', path: `/digests?${queryOf(question)}` } as const
    return this.#ask(call, { schema: digestPageSchema, maxBytes: maxDigestsBytes, signal })
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  #of(id: string, receipt: Receipt): Receipt {
    if (receipt.noticeId === id) return receipt
    throw this.#client.error('malformed', 'it answers with the receipt of another notice')
  }

  async #ask<T>(call: Omit<Call, 'accept' | 'signal'>, { schema, maxBytes, signal }: Wanted<T>): Promise<T> {
    using time = deadline(this.#clock, answerWithinMs, signal)
    try {
      const exchange = await this.#client.request({ ...call, accept: 'application/json', signal: time.signal })
      return await this.#read(exchange, schema, maxBytes)
    } catch (thrown) {
      signal.throwIfAborted()
      throw explain(this.#client.cluster, thrown)
    }
  }

  async #read<T>({ status, contentType, body, cancel }: Exchange, schema: z.ZodType<T>, maxBytes: number): Promise<T> {
    const malformed = (message: string) => this.#client.error('malformed', message, { status })
    if (!/^application\/json\b/i.test(contentType)) {
      cancel()
      throw malformed('its answer is not JSON; is the path of its link API right?')
    }
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of body) {
      size += chunk.length
      if (size > maxBytes) throw this.#client.error('too-large', `its answer exceeds ${maxBytes} bytes`, { status })
      chunks.push(chunk)
    }
    const result = schema.safeParse(parse(Buffer.concat(chunks)))
    if (result.success) return result.data
    // Deeper members may be named by the peer.
    const member = result.error.issues[0]?.path[0]
    throw malformed(`its answer is not what the linking specification says${member ? `: ${String(member)}` : ''}`)
  }
}

interface Wanted<T> {
  readonly schema: z.ZodType<T>
  readonly maxBytes: number
  readonly signal: AbortSignal
}

function queryOf(question: DigestsQuestion): URLSearchParams {
  if ('studies' in question) return new URLSearchParams({ study: question.studies.join(',') })
  const { since, cursor, limit } = question
  return new URLSearchParams({
    limit: String(limit),
    ...(since && { since: since.toISOString() }),
    ...(cursor !== undefined && { cursor }),
  })
}

/** `undefined`, which no schema takes, for what is no JSON. */
function parse(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text))
  } catch {
    return undefined
  }
}

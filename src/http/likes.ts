import type { IncomingMessage } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { Target } from '../clusters/cluster.ts'
import { isUid } from '../dicom/uid.ts'
import { dicomwebPath } from './addresses.ts'
import { bodyOf } from './answer.ts'
import type { Authenticate } from './auth.ts'
import { cacheControlOf } from './conditional.ts'
import type { Bindings, Exchange, Likewise } from './context.ts'
import { wholeStream } from './in-hand.ts'
import type { Principal } from './principal.ts'
import { headersOf, headersSent, headersThatCount, whoIs } from './repeats.ts'

/** How a request for one frame was answered, as much of it as is the same for every other frame. */
interface Like extends Pick<Exchange, 'route' | 'hops'>, Required<Pick<Exchange, 'caller'>> {
  readonly likewise: Likewise
  /** Names and values in turn, but for those that tell of the frame. */
  readonly headers: readonly string[]
}

/** A request for one frame that may be like one that was answered. */
export interface FrameAsked {
  readonly target: Required<Target>
  readonly frame: number
  /** What its answer may depend on beside the principal. */
  readonly headers: string
}

/** Sets of headers that are remembered, of each principal: a viewer sends few. */
const maxLikes = 500
const maxHeadersLength = 4096

/** Which preconditions and ranges there are depends on the frame. */
const conditional = /\n(?:if-[a-z-]+|range):/

const framePath = new RegExp(
  `^${dicomwebPath}/studies/([^/?#]+)/series/([^/?#]+)/instances/([^/?#]+)/frames/([1-9]\\d{0,6})$`,
)

/**
 * Requests for one frame after the other, by the same principal and with the same headers: what a viewer takes is found
 * out for the first of them, the others are answered likewise. All that is unusual, an error too, is left to the whole
 * way that requests go.
 */
export class Likes {
  readonly #authenticate: Authenticate
  readonly #likes = new LRUCache<string, Like>({ max: maxLikes })

  constructor(authenticate: Authenticate) {
    this.#authenticate = authenticate
  }

  /** `undefined` for a request that is like none. */
  find(incoming: IncomingMessage): FrameAsked | undefined {
    if (incoming.method !== 'GET' || this.#likes.size === 0) return undefined
    const [, study, series, instance, frame] = framePath.exec(incoming.url ?? '') ?? []
    if (!isUid(study) || !isUid(series) || !isUid(instance)) return undefined
    const headers = headersThatCount(incoming)
    return conditional.test(headers)
      ? undefined
      : { target: { study, series, instance }, frame: Number(frame), headers }
  }

  /**
   * The headers of an answer, names and values in turn, whose body `exchange.stream` has, all of it in memory;
   * `undefined` when there is none like the others.
   */
  async answerTo({ target, frame, headers }: FrameAsked, bindings: Bindings): Promise<string[] | undefined> {
    const { incoming, exchange } = bindings
    const principal = await this.#authenticate({ get: headersOf(incoming) }).catch(() => undefined)
    const like = principal && this.#likes.get(keyOf(principal, headers))
    if (!like) return undefined
    const { route, hops, caller, likewise } = like
    Object.assign(exchange, { route, principal, caller, hops })
    const requester = { audience: caller.audience, signal: exchange.signal }
    // Whatever it is, it is asked for once: what is unusual is answered by the whole way, which takes it from here.
    exchange.begun = likewise.frame(target, frame, requester)
    const answer = await exchange.begun.catch(() => undefined)
    if (!answer?.inHand || answer.status !== 200 || answer.warnings.length > 0) return undefined
    delete exchange.begun
    const body = bodyOf(answer.inHand, likewise.form)
    exchange.stream = { ...wholeStream(body.chunks, body.length), source: body.source }
    const own = ['Content-Type', body.contentType, 'ETag', body.tag, 'Content-Length', String(body.length)]
    return [...like.headers, ...own, 'Cache-Control', cacheControlOf(body.contentType)]
  }

  /** To be called when an answer is complete. */
  remember({ incoming, outgoing, exchange }: Bindings): void {
    const { likewise, principal, caller, route, hops, stream } = exchange
    if (!likewise || !principal || !caller || !stream?.source || outgoing.statusCode !== 200) return
    const headers = headersThatCount(incoming)
    if (incoming.method !== 'GET' || headers.length > maxHeadersLength || conditional.test(headers)) return
    if (outgoing.hasHeader('warning') || !framePath.test(incoming.url ?? '')) return
    const like = { likewise, caller, route, hops, headers: sameForAll(headersSent(outgoing)) }
    this.#likes.set(keyOf(principal, headers), like)
  }
}

const keyOf = (principal: Principal, headers: string) => `${whoIs(principal)}${headers}`

const ofTheFrame: ReadonlySet<string> = new Set(['content-type', 'content-length', 'etag', 'cache-control'])

const sameForAll = (headers: readonly string[]): string[] =>
  headers.filter((_, index) => !ofTheFrame.has(headers[index - (index % 2)] ?? ''))

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'hono'
import type { Target } from '../clusters/cluster.ts'
import type { Scope } from '../config/schema.ts'
import type { Caller } from '../core/audience.ts'
import type { RequestContext } from '../core/request-context.ts'
import type { Parts } from '../dicom/multipart.ts'
import type { InHand } from '../retrieve/in-hand.ts'
import type { Requester, RetrieveAnswer } from '../retrieve/service.ts'
import type { PartsAnswer } from './answer.ts'
import type { Principal } from './principal.ts'

/** A body on its way: its first chunk is there, so that what fails before it still gets a proper error answer. */
export interface Stream {
  readonly first: IteratorResult<Uint8Array>
  /** Gives its chunks away: nobody else may look at them later. */
  readonly rest: AsyncIterator<Uint8Array>
  /** Bytes in the whole body when known: becomes Content-Length. */
  readonly length?: number
  /** All of it, when it is in memory: written in one go, and what the others say of a body is not looked at. */
  readonly whole?: readonly Uint8Array[]
  /** What `whole` was made of, all of it. */
  readonly source?: InHand
}

/** How to answer a request that differs from one that was answered in nothing but the frame that it names. */
export interface Likewise {
  frame(target: Required<Target>, frame: number, requester: Requester): Promise<RetrieveAnswer<Parts>>
  /** What `sendParts` needs to know beside the answer. */
  readonly form: Omit<PartsAnswer, 'answer'>
}

/** One request and its answer, from the first byte to the last. */
export interface Exchange extends RequestContext {
  /** Goes to the client, into the log and to the clusters as `X-Request-Id`. */
  readonly id: string
  /**
   * Fires with a `LinkError` when the client leaves before its answer is complete, when the request takes longer
   * than `limits.requestTimeoutMs`, or when the process ends. (The signal of the request as `@hono/node-server`
   * makes it aborts with a bare string, which is no good as something thrown.)
   */
  readonly signal: AbortSignal
  /** Pattern of the route that answers; set by the router, for the log and the metrics. */
  route: string
  /** Who asks; set by the authentication. */
  principal?: Principal
  /**
   * For whom a query, a retrieval or a change of link attributes asks, and the sites it came through; set when both are
   * known to be in order.
   */
  caller?: Caller
  hops: readonly string[]
  /** Set by a handler that leaves the body to the server, which writes it with backpressure. */
  stream?: Stream
  /** The frame that is asked for, when somebody has asked for it already; who takes it removes it from here. */
  begun?: Promise<RetrieveAnswer<Parts>>
  /** Set by a handler that can answer for another frame as it did for this one. */
  likewise?: Likewise
}

/** What handlers find in `c.env`. */
export interface Bindings {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly exchange: Exchange
}

export interface Env {
  Bindings: Bindings
}

export type Handler = (context: Context<Env>) => Response | Promise<Response>

/** One row of the routing table; `openapi.yaml` has the same rows. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** In the syntax of Hono: `/dicom-web/studies/:study`. */
  readonly path: string
  /** What the caller must be allowed to do; `public` needs no credentials. */
  readonly scope: Scope | 'public'
  readonly handle: Handler
}

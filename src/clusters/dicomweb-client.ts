import type { Readable } from 'node:stream'
import { Pool } from 'undici'
import type { ClusterConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { ClusterError, type FailureReason } from '../core/outcome.ts'
import { currentRequest } from '../core/request-context.ts'
import { slabs } from '../core/slabs.ts'
import { Slots } from '../core/slots.ts'
import type { Telemetry } from '../core/telemetry.ts'
import { productVersion } from '../core/version.ts'
import type { PartLengths } from '../dicom/multipart-message.ts'
import { type Patience, patienceFactor } from './cluster.ts'
import { createCredentials, readTlsMaterial } from './credentials.ts'
import type { Credentials } from './credentials-header.ts'
import { Body } from './dicomweb-body.ts'
import { explain, lostConnection, reasonOfStatus, statusText } from './dicomweb-errors.ts'
import { Incoming } from './dicomweb-incoming.ts'

/** Of a header of an answer: far above what archives send, far below what hurts. */
const maxHeaderBytes = 32 * 1024
/** Requests that may wait for each connection; more are refused, since they would time out in line. */
const waitingPerConnection = 32
/** Parts that were as long as they said, in a row, after which lengths are believed. */
const rightEnough = 8
/** How long the lengths of parts are looked at with suspicion after one was wrong, for which any broken answer may be. */
const suspicionMs = 10 * 60_000
/** How connections read: not more than one read ahead, since several would be copied into one. */
const reading = { highWaterMark: 1, onread: slabs.onread }
/** An archive may index all of a request before it answers a STOW-RS. */
const storeAnswerTimeoutMs = 60_000

export interface Call extends Patience {
  readonly method: 'GET' | 'POST'
  /** Below the DICOMweb root, with its query: `/studies?limit=1`. */
  readonly path: string
  readonly accept: string
  /** Covers the answer's body too. */
  readonly signal: AbortSignal
  /** What is in memory can be sent again, a stream cannot. */
  readonly content?: { readonly type: string; readonly body: AsyncIterable<Uint8Array> | Uint8Array }
  /** Beside those of every request. */
  readonly headers?: Readonly<Record<string, string>>
  /** Statuses that mean something else here than they usually do. */
  readonly disguises?: Readonly<Record<number, FailureReason>>
}

/** An answer whose header has arrived. Read `body` to its end, leave it early, or `discard` it. */
export interface Exchange {
  readonly status: number
  /** As it came; empty when there is none. */
  readonly contentType: string
  /** Path of the request on the cluster's host, that relative addresses in the answer start from. */
  readonly requestPath: string
  header(name: string): string | undefined
  readonly body: Pick<Body, 'whole'> & AsyncIterable<Uint8Array>
  /** Gives the connection back without reading more than a little of what is left. */
  discard(): void
  /** Closes the connection. */
  cancel(): void
}

export interface ClientDeps {
  /** Our own id, for peers: clusters that have a `link` and so are proxies like this one. */
  readonly site: string
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/** HTTP to one DICOMweb origin: a bounded pool, credentials, deadlines, and failures named for what they are. */
export class DicomwebClient {
  readonly cluster: string
  /** Path of the DICOMweb root on its host, without a trailing slash. */
  readonly rootPath: string
  /** Whether the archive is known to tell the truth about them. */
  readonly partLengths: PartLengths
  readonly #config: ClusterConfig
  readonly #deps: ClientDeps
  readonly #pool: Pool
  readonly #slots: Slots
  readonly #credentials: Credentials
  /** By the signal of the call they were made for. */
  readonly #waitedMs = new WeakMap<AbortSignal, number>()

  /** Throws `LinkError` `config` when certificates or keys cannot be used. */
  constructor(config: ClusterConfig & { readonly dicomweb: string }, deps: ClientDeps) {
    const url = new URL(config.dicomweb)
    this.cluster = config.id
    this.rootPath = url.pathname.replace(/\/+$/, '')
    this.#config = config
    this.#deps = deps
    this.partLengths = believedWhenProven(deps.clock)
    this.#slots = new Slots(config.maxConnections, config.maxConnections * waitingPerConnection)
    // Before the credentials: it says which key names a file that cannot be read.
    const tls = readTlsMaterial(config)
    this.#credentials = createCredentials(config, deps.clock)
    this.#pool = new Pool(url.origin, {
      connections: config.maxConnections,
      // One request on a connection, so that a lost one takes no other with it.
      pipelining: 1,
      allowH2: false,
      connect: { timeout: config.timeoutMs, ...tls, ...reading },
      bodyTimeout: config.idleTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      keepAliveTimeout: 4000,
      // Orthanc announces one second, of which the default threshold would leave nothing.
      keepAliveTimeoutThreshold: 100,
    })
  }

  get pool(): { running: number; waiting: number } {
    return { running: this.#slots.running, waiting: this.#slots.waiting }
  }

  /** How long the requests under this signal have waited for a connection, in milliseconds. */
  waitedMs(signal: AbortSignal): number {
    return this.#waitedMs.get(signal) ?? 0
  }

  /** Throws unless the cluster answers with success. */
  async request(call: Call): Promise<Exchange> {
    const exchange = await this.exchange(call)
    const reason = call.disguises?.[exchange.status] ?? reasonOfStatus(exchange.status)
    if (!reason) return exchange
    exchange.discard()
    throw this.error(reason, statusText(exchange.status), { status: exchange.status })
  }

  /**
   * Resolves when the header of an answer, whatever its status, has arrived. Throws `ClusterError`, or the signal's
   * reason when the caller left, or what the caller's own `content` threw.
   */
  async exchange(call: Call): Promise<Exchange> {
    const authorization = await this.#authorization(call.signal)
    const first = await this.#send(call, authorization)
    if (first.status !== 401 || !isRepeatable(call) || !this.#credentials.refused(authorization)) return first
    first.discard()
    return this.#send(call, await this.#authorization(call.signal))
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool.destroy(), this.#credentials.close()])
  }

  /** What to throw for what went wrong in an answer of this status. */
  explain(thrown: unknown, { status }: Pick<Exchange, 'status'>, signal: AbortSignal): unknown {
    return signal.aborted ? signal.reason : explain(this.cluster, thrown, status)
  }

  /** `status` when it is about an answer. */
  error(reason: FailureReason, message: string, options: { cause?: unknown; status?: number } = {}): ClusterError {
    return new ClusterError(this.cluster, reason, message, options)
  }

  /**
   * A peer is asked for its own content only, and told which sites the request came through, so that rings of sites
   * end. Other archives are not told who is linked with whom.
   */
  #headersForPeers(): Record<string, string> {
    if (this.#config.link === undefined) return {}
    const hops = [...(currentRequest()?.hops ?? []), this.#deps.site]
    return { 'dicomweb-link-scope': 'home', 'dicomweb-link-hops': hops.join(', ') }
  }

  async #authorization(signal: AbortSignal): Promise<string | undefined> {
    try {
      return await this.#credentials.authorization(signal)
    } catch (thrown) {
      signal.throwIfAborted()
      throw explain(this.cluster, thrown)
    }
  }

  async #send(call: Call, authorization: string | undefined): Promise<Exchange> {
    const { timeoutMs } = this.#config
    const waitMs = call.patient ? timeoutMs * patienceFactor : timeoutMs
    using wait = deadline(this.#deps.clock, waitMs, call.signal)
    const begun = this.#deps.clock.now()
    let inLineMs = 0
    let release: (() => void) | undefined
    try {
      release = await this.#slots.take(wait.signal).finally(() => {
        inLineMs = this.#deps.clock.now() - begun
        this.#waitedMs.set(call.signal, this.waitedMs(call.signal) + inLineMs)
      })
      // How long an upload takes is up to its source; undici watches that bytes move.
      const signal = call.content ? call.signal : wait.signal
      return await this.#ask(call, authorization, signal, release)
    } catch (thrown) {
      release?.()
      call.signal.throwIfAborted()
      // The cluster had the smaller part of the time: it may well be fast.
      if (thrown === wait.signal.reason && inLineMs > waitMs / 2) {
        throw this.error('overloaded', 'all connections are busy and none became free in time', { cause: thrown })
      }
      throw explain(this.cluster, thrown)
    }
  }

  async #ask(
    call: Call,
    authorization: string | undefined,
    signal: AbortSignal,
    release: () => void,
  ): Promise<Exchange> {
    const requestPath = `${this.rootPath}${call.path}`
    const options = {
      method: call.method,
      path: requestPath,
      headers: { ...headersOf(call, authorization), ...this.#headersForPeers() },
      headersTimeout: call.content ? Math.max(this.#config.idleTimeoutMs, storeAnswerTimeoutMs) : 0,
      ...(call.content && { body: call.content.body as unknown as Readable }),
    }
    const send = async () => {
      signal.throwIfAborted()
      const incoming = new Incoming(signal)
      this.#pool.dispatch(options, incoming)
      return { incoming, ...(await incoming.head) }
    }
    const { incoming, status, headers } = await send().catch((thrown: unknown) => {
      // A kept-alive connection may be closed by the other side at the moment it is used again.
      if (!isRepeatable(call) || signal.aborted || !lostConnection(thrown)) throw thrown
      return send()
    })
    incoming.whenClosed(release)
    const body = new Body(incoming, first(headers['content-encoding']) ?? '', {
      received: (bytes) => this.#deps.telemetry.clusterBytes(this.cluster, 'received', bytes),
      explain: (thrown) => this.explain(thrown, { status }, call.signal),
    })
    return {
      status,
      contentType: first(headers['content-type']) ?? '',
      requestPath,
      header: (name) => first(headers[name]),
      body,
      discard: () => body.discard(),
      cancel: () => body.cancel(),
    }
  }
}

function believedWhenProven(clock: Clock): PartLengths {
  let right = 0
  let suspectedUntil = 0
  return {
    get areBelieved() {
      return right >= rightEnough && clock.now() >= suspectedUntil
    },
    wereRight: () => {
      right++
    },
    wereWrong: () => {
      right = 0
      suspectedUntil = clock.now() + suspicionMs
    },
  }
}

const isRepeatable = ({ content }: Call): boolean => content === undefined || content.body instanceof Uint8Array

function headersOf(call: Call, authorization: string | undefined): Record<string, string> {
  const requestId = currentRequest()?.id
  return {
    accept: call.accept,
    // Pixel data does not get smaller by it, JSON does, by a factor of ten; what answers an upload is small as it is.
    'accept-encoding': call.accept.includes('json') && !call.content ? 'gzip' : 'identity',
    'user-agent': `dicomweb-link/${productVersion}`,
    ...(authorization !== undefined && { authorization }),
    ...(requestId !== undefined && { 'x-request-id': requestId }),
    ...(call.content && { 'content-type': call.content.type }),
    ...call.headers,
  }
}

const first = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value)

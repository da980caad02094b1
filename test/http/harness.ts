import { connect, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import type { Hono } from 'hono'
import type { AttributesService, PatchOptions } from '../../src/attributes/service.ts'
import type { Target } from '../../src/clusters/cluster.ts'
import type { ClusterStatus } from '../../src/clusters/registry.ts'
import { configSchema } from '../../src/config/schema.ts'
import type { Audience } from '../../src/core/audience.ts'
import { systemClock } from '../../src/core/clock.ts'
import { LinkError } from '../../src/core/errors.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { type AppDependencies, createApp } from '../../src/http/app.ts'
import { createAuthenticate } from '../../src/http/auth.ts'
import type { Env } from '../../src/http/context.ts'
import { createLog } from '../../src/http/log.ts'
import { createMetrics } from '../../src/http/metrics.ts'
import { type Listening, listen } from '../../src/http/server.ts'
import { type Mappings, parseMappings } from '../../src/link/mappings.ts'
import type { LinkRecord } from '../../src/link/record.ts'
import type { FactsOfStudy } from '../../src/mappings/facts.ts'
import type { MappingsService } from '../../src/mappings/service.ts'
import type { QueryAnswer, QueryRequest, QueryService } from '../../src/query/service.ts'
import type { Outbox, OutboxState } from '../../src/replicate/outbox.ts'
import type { RetrieveReport } from '../../src/retrieve/explain.ts'
import type { Requester, RetrieveAnswer, RetrieveService } from '../../src/retrieve/service.ts'
import type { StoreRequest, StoreService } from '../../src/store/service.ts'

export const study = '1.2.840.1'
export const series = '1.2.840.1.2'
export const instance = '1.2.840.1.2.3'
export const instancePath = `/dicom-web/studies/${study}/series/${series}/instances/${instance}`

export async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

export const part = (contentType: string, ...texts: string[]): Part => ({ contentType, body: chunks(...texts) })

export async function* partsOf(...parts: Part[]): Parts {
  yield* parts
}

export const whole = <Body>(body: Body, warnings: string[] = []): RetrieveAnswer<Body> => ({
  status: 200,
  warnings,
  body,
})

/** The answer of a search in which nothing is missing. */
export const found = (rows: QueryAnswer['rows'], warnings: readonly string[] = []): QueryAnswer => ({
  rows,
  warnings,
  report: { sources: [], rounds: [], resumed: false, remaining: { atLeast: 0, exact: true }, durationMs: 0 },
})

/** Where a target is that one cluster holds. */
export const reportOf = (target: Target): RetrieveReport => ({
  target,
  holders: [
    {
      cluster: 'north',
      role: 'home',
      merits: {
        id: 'north',
        isIll: false,
        availability: 'ONLINE',
        series: 1,
        instances: 2,
        priority: 5,
        isBusy: false,
        expectedMs: 12.3,
      },
      listed: { instances: 2, onlyHere: 2, examples: [] },
    },
  ],
  union: { series: 1, instances: 2 },
  silent: [],
  skipped: [],
})

/** What was told about a study, its version the last of the changes. */
export const toldOf = (told: Partial<LinkRecord> = {}): LinkRecord => ({
  study: parseUid(study, 'test'),
  comments: [],
  corrections: [],
  version: 0,
  ...told,
})

export const outboxState: OutboxState = {
  cluster: 'south',
  waiting: 2,
  running: 1,
  oldestAgeMs: 4500,
  sentLastMinute: 42,
  deadLetters: 5,
  refusedInstances: 7,
}

const idleOutbox: Outbox = {
  states: async () => [outboxState],
  deadLetters: async () => [],
  refusals: async () => [],
  study: async (it) => ({ study: it, version: {}, jobs: [], refused: [] }),
  pause: async () => ({ ...outboxState, pausedSince: new Date(0) }),
  resume: async () => outboxState,
  retry: async () => ({ studies: 5 }),
}

/** Of services that are not told when their client leaves. */
const unasked = { signal: new AbortController().signal }

interface Asked {
  readonly service: string
  readonly request: unknown
  readonly signal: AbortSignal
  /** Of retrievals. */
  readonly audience?: Audience
}

/** Remembers what it was asked and answers what a test told it to. */
export class FakeServices {
  readonly asked: Asked[] = []
  onSearch: (request: QueryRequest, signal: AbortSignal) => Promise<QueryAnswer> = async () => found([])
  onRetrieve: (request: never, signal: AbortSignal) => Promise<RetrieveAnswer<Parts>> = async () =>
    whole(partsOf(part('application/dicom', 'DICM')))
  onMetadata: RetrieveService['metadata'] = async () =>
    whole(
      (async function* () {
        yield { '00080018': { vr: 'UI', Value: [instance] } }
      })(),
    )
  onExplain: RetrieveService['explain'] = async (target) => reportOf(target)
  onStore: (request: StoreRequest, signal: AbortSignal) => ReturnType<StoreService['store']> = async ({ parts }) => {
    for await (const { body } of parts) for await (const _ of body);
    return { status: 200, response: {} }
  }
  onGetAttributes: AttributesService['get'] = async () => toldOf()
  onHistory: AttributesService['history'] = async () => []
  onPatch: (change: unknown, options: PatchOptions) => ReturnType<AttributesService['patch']> = async () => ({
    record: toldOf({ version: 1 }),
    changed: ['reportStatus'],
    forced: false,
  })
  tables: Mappings = parseMappings('specialty: [{ rule: 1, when: {}, gives: GENERAL }]', 'tables.yaml')
  onReload: MappingsService['reload'] = async () => this.tables
  onFacts: FactsOfStudy = async () => {
    throw new LinkError('not-found', 'no such study')
  }

  readonly query: QueryService = {
    search: (request, signal) => this.#remember('search', request, { signal }, () => this.onSearch(request, signal)),
  }
  readonly retrieve: Omit<RetrieveService, 'forget'> = {
    instances: (request, requester) => this.#parts('instances', request, requester),
    frames: (request, requester) => this.#parts('frames', request, requester),
    pixelData: (request, base, requester) => this.#parts('pixelData', { ...request, base }, requester),
    rendered: (request, requester) => this.#parts('rendered', request, requester),
    bulkdata: (target, token, requester) => this.#parts('bulkdata', { target, token }, requester),
    metadata: (target, base, requester) =>
      this.#remember('metadata', { target, base }, requester, () => this.onMetadata(target, base, requester)),
    explain: (target, requester) =>
      this.#remember('explain', { target }, requester, () => this.onExplain(target, requester)),
  }
  readonly store: StoreService = {
    store: (request, signal) => this.#remember('store', request, { signal }, () => this.onStore(request, signal)),
  }

  readonly attributes: AttributesService = {
    get: (it, caller, signal) =>
      this.#remember('attributes', { study: it, caller }, { signal }, () => this.onGetAttributes(it, caller, signal)),
    history: (it, caller, signal) =>
      this.#remember('history', { study: it, caller }, { signal }, () => this.onHistory(it, caller, signal)),
    patch: (it, change, options, signal) =>
      this.#remember('patch', { study: it, change, ...options }, { signal }, () => this.onPatch(change, options)),
  }

  onOutbox: Partial<Outbox> = {}
  readonly outbox: Outbox = {
    states: () => this.#outbox('states')(),
    deadLetters: (page) => this.#remember('deadLetters', page, unasked, () => this.#outbox('deadLetters')(page)),
    refusals: (page) => this.#remember('refusals', page, unasked, () => this.#outbox('refusals')(page)),
    study: (it) => this.#remember('study', it, unasked, () => this.#outbox('study')(it)),
    pause: (cluster) => this.#remember('pause', cluster, unasked, () => this.#outbox('pause')(cluster)),
    resume: (cluster) => this.#remember('resume', cluster, unasked, () => this.#outbox('resume')(cluster)),
    retry: (cluster, it) =>
      this.#remember('retry', { cluster, study: it }, unasked, () => this.#outbox('retry')(cluster, it)),
  }

  readonly mappings: MappingsService = {
    current: () => this.tables,
    loadedAt: () => new Date('2026-01-31T10:15:00Z'),
    reload: () => this.onReload(),
  }
  readonly factsOfStudy: FactsOfStudy = (it, caller, signal) =>
    this.#remember('facts', { study: it, caller }, { signal }, () => this.onFacts(it, caller, signal))

  #outbox<Verb extends keyof Outbox>(verb: Verb): Outbox[Verb] {
    return this.onOutbox[verb] ?? idleOutbox[verb]
  }

  #parts(service: string, request: unknown, requester: Requester) {
    return this.#remember(service, request, requester, () => this.onRetrieve(request as never, requester.signal))
  }

  #remember<T>(service: string, request: unknown, requester: Pick<Asked, 'signal' | 'audience'>, answer: () => T): T {
    this.asked.push({ service, request, ...requester })
    return answer()
  }
}

export interface Site extends Listening {
  readonly services: FakeServices
  readonly lifecycle: { draining: boolean }
  readonly log: Record<string, unknown>[]
  /** Resolves with the next log line of that event. */
  logged(event: string): Promise<Record<string, unknown>>
  fetch(path: string, init?: RequestInit): Promise<Response>
}

export const clusterStates: ClusterStatus[] = [
  {
    id: 'north',
    role: 'home',
    state: 'up',
    breaker: 'closed',
    since: 0,
    latencyMs: 12,
    pool: { running: 1, waiting: 0 },
  },
  {
    id: 'south',
    role: 'linked',
    state: 'down',
    breaker: 'open',
    since: 1000,
    reason: 'unreachable',
    pool: { running: 0, waiting: 2 },
  },
]

interface SiteOptions extends Partial<Pick<AppDependencies, 'outbox' | 'authenticate' | 'clock' | 'peers'>> {
  readonly pages?: Hono<Env>
}

export function configOf(settings: object = {}) {
  const clusters = [{ id: 'north', role: 'home', embedded: {} }]
  return configSchema.parse({ site: 'north', clusters, listen: { port: 0 }, log: { level: 'debug' }, ...settings })
}

/** The whole application on a port of its own. */
export async function startSite(settings: object = {}, options: SiteOptions = {}): Promise<Site> {
  const config = configOf(settings)
  const services = new FakeServices()
  const lines: Record<string, unknown>[] = []
  const waiting: { event: string; resolve: (line: Record<string, unknown>) => void }[] = []
  const sink = new Writable({
    write(chunk, _, done) {
      const line = JSON.parse(String(chunk)) as Record<string, unknown>
      lines.push(line)
      for (const each of waiting.filter(({ event }) => event === line.event)) {
        waiting.splice(waiting.indexOf(each), 1)
        each.resolve(line)
      }
      done()
    },
  })
  const clock = options.clock ?? systemClock
  const common = {
    config,
    log: createLog(config, sink),
    metrics: createMetrics(),
    lifecycle: { draining: false },
    clock,
    authenticate: options.authenticate ?? createAuthenticate(config.auth, clock),
  }
  const app = createApp({
    ...common,
    query: services.query,
    retrieve: services.retrieve,
    store: services.store,
    attributes: services.attributes,
    mappings: services.mappings,
    factsOfStudy: services.factsOfStudy,
    clusters: { status: () => clusterStates },
    outbox: services.outbox,
    ...options,
  })
  const listening = await listen(app, common)
  return {
    ...listening,
    [Symbol.asyncDispose]: () => listening.close(),
    services,
    lifecycle: common.lifecycle,
    log: lines,
    logged: (event) => new Promise((resolve) => waiting.push({ event, resolve })),
    fetch: (path, init) => fetch(listening.address + path, init),
  }
}

/** A client that sees every byte. */
export class RawClient implements Disposable {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  error: Error | undefined
  readonly closed: Promise<void>

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
    })
    socket.on('error', (error) => {
      this.error = error
    })
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  static async open(address: string): Promise<RawClient> {
    const { hostname, port } = new URL(address)
    const socket = connect(Number(port), hostname)
    const client = new RawClient(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('close', () => reject(client.error ?? new Error('closed')))
    })
    return client
  }

  get text(): string {
    return this.#received.toString('latin1')
  }

  send(text: string): void {
    this.socket.write(text)
  }

  get(path: string, headers = ''): void {
    this.send(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`)
  }

  /** Waits until what has arrived contains `text`; fails when the connection ends before. */
  async until(text: string): Promise<string> {
    while (!this.text.includes(text)) {
      await new Promise<void>((resolve, reject) => {
        const done = () => {
          this.socket.off('data', done)
          this.socket.off('close', gone)
          resolve()
        }
        const gone = () => reject(new Error(`the connection ended without ${JSON.stringify(text)}: ${this.text}`))
        if (this.socket.closed) gone()
        this.socket.once('data', done)
        this.socket.once('close', gone)
      })
    }
    return this.text
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

/** An event to be waited for. */
export function signalled(): { readonly done: Promise<void>; set(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { done: promise, set: () => resolve() }
}

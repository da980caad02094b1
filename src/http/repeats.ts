import type { IncomingMessage, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { InHand } from '../retrieve/in-hand.ts'
import type { Authenticate } from './auth.ts'
import type { Bindings } from './context.ts'
import type { Principal } from './principal.ts'

/** How a request was answered, as much of it as is the same for the next one. */
export interface Repeatable {
  readonly route: string
  readonly principal: Principal
  /** Names and values in turn. */
  readonly headers: readonly string[]
  readonly chunks: readonly Uint8Array[]
}

/** What it was made of has been lent for it. */
export interface Repeated extends Repeatable {
  readonly source: InHand
}

interface Known {
  readonly who: string
  readonly again: NonNullable<InHand['again']>
}

/** Requests that are remembered; each is about a kilobyte, and none is longer than this. */
const maxRequests = 5000
const maxRequestLength = 4096

/**
 * Requests that were answered from memory, and come again: by the same principal, for the same address, with the same
 * headers, but for those that nothing depends on. While what the answer was made of is kept, they are answered as
 * before, without being looked into; who asks is found out each time.
 */
export class Repeats {
  readonly #authenticate: Authenticate
  readonly #requests = new LRUCache<string, Known>({ max: maxRequests })
  /** The last one that was made of it. */
  readonly #answers = new WeakMap<InHand, { readonly request: string; readonly answer: Repeatable }>()

  constructor(authenticate: Authenticate) {
    this.#authenticate = authenticate
  }

  /** `undefined` at once for a request that is not known. */
  find(incoming: IncomingMessage): Promise<Repeated | undefined> | undefined {
    const request = requestOf(incoming)
    if (request === undefined) return undefined
    const known = this.#requests.get(request)
    return known && this.#answerTo(request, known, incoming)
  }

  async #answerTo(request: string, { who, again }: Known, incoming: IncomingMessage): Promise<Repeated | undefined> {
    const principal = await this.#authenticate({ get: headersOf(incoming) }).catch(() => undefined)
    if (principal === undefined || who !== whoIs(principal)) return undefined
    const source = again()
    const last = source && this.#answers.get(source)
    if (source && last?.request === request) return { ...last.answer, source }
    source?.lending.done()
    return undefined
  }

  /** To be called when an answer is complete; `headers` when they were not set but written. */
  remember({ incoming, outgoing, exchange }: Bindings, headers = headersSent(outgoing)): void {
    const { principal, route, stream } = exchange
    const source = stream?.source
    if (!principal || !source?.again || !stream?.whole || outgoing.statusCode !== 200) return
    const request = requestOf(incoming)
    if (request === undefined) return
    const last = this.#answers.get(source)
    if (last && last.request !== request) this.#requests.delete(last.request)
    this.#requests.set(request, { who: whoIs(principal), again: source.again })
    const answer = { route, principal, headers, chunks: stream.whole }
    this.#answers.set(source, { request, answer })
  }
}

/** Everything that an answer may depend on, but for the principal; `undefined` for what is never repeated. */
function requestOf(incoming: IncomingMessage): string | undefined {
  if (incoming.method !== 'GET') return undefined
  const request = `${incoming.url}${headersThatCount(incoming)}`
  return request.length > maxRequestLength ? undefined : request
}

/** The headers of a request that its answer may depend on. */
export function headersThatCount({ rawHeaders }: IncomingMessage): string {
  let headers = ''
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? ''
    if (!nothingDependsOn.has(name) && !name.startsWith('sec-')) headers += `\n${name}:${rawHeaders[index + 1]}`
  }
  return headers
}

/** Headers that no answer depends on; what is not listed counts. Credentials do by whose they are. */
const nothingDependsOn: ReadonlySet<string> = new Set([
  'authorization',
  'x-api-key',
  'x-request-id',
  'user-agent',
  'accept-language',
  'referer',
  'cookie',
  'dnt',
  'priority',
  'connection',
  'keep-alive',
  'cache-control',
  'pragma',
])

export const whoIs = ({ name, role, scopes }: Principal): string => [name, role, ...scopes].join(' ')

/** As the Fetch standard gives them: those of one name joined. */
export const headersOf =
  ({ rawHeaders }: IncomingMessage): Headers['get'] =>
  (wanted) => {
    const values = rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === wanted)
    return values.length === 0 ? null : values.join(', ')
  }

export const headersSent = (outgoing: ServerResponse): string[] =>
  Object.entries(outgoing.getHeaders()).flatMap(([name, value]) =>
    name === 'x-request-id' ? [] : [name, String(value)],
  )

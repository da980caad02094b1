import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { type Child, forked } from './child.ts'
import { type ImageStudyOptions, imageStudy } from './image-study.ts'
import { OriginContent } from './origin-content.ts'
import { type Message, Outlet } from './origin-outlet.ts'

/**
 * Origins that give images away as cheaply as Node can: answers are lists of bytes that are there already, written
 * with one call, and requests are read no further than needed. All in one process of their own. They speak QIDO-RS and
 * WADO-RS (studies, series, instances, frames), say how long an answer is and compress nothing.
 */
export interface OriginsOptions {
  readonly studies: readonly ImageStudyOptions[]
  /** Which studies each holds, by number. */
  readonly origins: readonly { readonly holds: readonly number[] }[]
  readonly frameBytes?: number
  /** Of what each sends, over all its connections. */
  readonly bytesPerSecond?: number
}

/** One that dies while it sends images: connections are cut, and nobody listens for a while. */
export interface Death {
  /** So many bytes after this was asked for, sent by whichever origin; the one that sends the last of them dies. */
  readonly afterBytes: number
  readonly forMs: number
  /** With a reset, else as a process that was killed, whose kernel still sends what it was given. */
  readonly reset: boolean
}

export interface Origins extends AsyncDisposable {
  /** DICOMweb roots, in the order of the options. */
  readonly roots: readonly string[]
  /** Requests for images they have got so far. */
  asked(): Promise<number>
  plan(death: Death): Promise<void>
  /** Forgets a death that did not come to pass; resolves, when all listen, with the answers that were cut. */
  recovered(): Promise<number>
}

export async function startOrigins(options: OriginsOptions): Promise<Origins> {
  const child: Child = forked(import.meta.filename)
  const ports = await child.ask<number[]>({ start: options })
  return {
    roots: ports.map((port) => `http://127.0.0.1:${port}/dicom-web`),
    asked: () => child.ask<number>({ asked: true }),
    plan: (death) => child.ask<void>({ plan: death }),
    recovered: () => child.ask<number>({ recovered: true }),
    [Symbol.asyncDispose]: () => child.end(),
  }
}

class Origin {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #outlet: Outlet
  #back: Promise<void> = Promise.resolve()
  #port = 0
  asked = 0

  constructor(content: OriginContent, options: OriginsOptions, sent: (bytes: number, by: Origin) => void) {
    this.#outlet = new Outlet({
      bytesPerSecond: options.bytesPerSecond,
      sent: (bytes) => sent(bytes, this),
    })
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      socket.on('error', () => undefined)
      serve(socket, (path) => this.#answer(socket, content.answer(path), path.includes('?')))
    })
  }

  #answer(socket: Socket, message: Message, isQuery: boolean): Promise<void> | undefined {
    if (isQuery) return this.#outlet.send(socket, message, 'rows')
    this.asked++
    return this.#outlet.send(socket, message, 'images')
  }

  get back(): Promise<void> {
    return this.#back
  }

  async listen(): Promise<number> {
    this.#server.listen(this.#port, '127.0.0.1', 4096)
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
    return this.#port
  }

  /** Cuts all connections and is back after a while; tells how many answers were under way. */
  die({ forMs, reset }: Death): number {
    const cut = this.#outlet.open
    this.#server.close()
    for (const socket of this.#sockets) {
      if (reset) socket.resetAndDestroy()
      else socket.destroy()
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    setTimeout(() => this.listen().then(() => resolve()), forMs)
    this.#back = promise
    return cut
  }
}

/** Requests on a connection, one after the other. */
function serve(socket: Socket, send: (path: string) => Promise<void> | undefined): void {
  let head = ''
  let turn: Promise<unknown> | undefined
  const answer = (request: string) => {
    const [, path = ''] = request.split(' ', 2)
    const isLast = request.includes('HTTP/1.0\r\n') || /\r\nconnection: *close\r\n/i.test(request)
    const sending = send(path)
    return isLast ? Promise.resolve(sending).then(() => void socket.end()) : sending
  }
  socket.on('data', (chunk) => {
    head += chunk.toString('latin1')
    for (let end = head.indexOf('\r\n\r\n'); end >= 0; end = head.indexOf('\r\n\r\n')) {
      const request = head.slice(0, end + 4)
      head = head.slice(end + 4)
      turn = turn ? turn.then(() => answer(request)) : answer(request)
    }
  })
}

/** The process with the origins. */
async function start(options: OriginsOptions) {
  const studies = options.studies.map((it) => ({ number: it.number, study: imageStudy(it) }))
  let death: Death | undefined
  let left = 0
  let cut = 0
  const sent = (bytes: number, by: Origin) => {
    left -= bytes
    if (!death || left > 0) return
    cut = by.die(death)
    death = undefined
  }
  const origins = options.origins.map(({ holds }) => {
    const held = studies.filter(({ number }) => holds.includes(number)).map(({ study }) => study)
    return new Origin(new OriginContent(held, options.frameBytes ?? 0), options, sent)
  })
  const plan = (planned: Death) => {
    ;[death, left, cut] = [planned, planned.afterBytes, 0]
  }
  const recovered = async () => {
    death = undefined
    await Promise.all(origins.map(({ back }) => back))
    return cut
  }
  const asked = () => origins.reduce((sum, origin) => sum + origin.asked, 0)
  return { ports: await Promise.all(origins.map((origin) => origin.listen())), asked, plan, recovered }
}

type Order = { readonly start: OriginsOptions } | { readonly plan: Death } | { readonly asked: true } | object

if (import.meta.main) {
  let running: Awaited<ReturnType<typeof start>> | undefined
  const obey = async (order: Order) => {
    if ('start' in order) {
      running = await start(order.start)
      return running.ports
    }
    if ('plan' in order) return running?.plan(order.plan)
    return 'asked' in order ? running?.asked() : await running?.recovered()
  }
  process.on('message', async (order: Order) => process.send?.({ answer: await obey(order) }))
}

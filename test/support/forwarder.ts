import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { pipeline, Transform, type TransformCallback } from 'node:stream'

/** What is on its way over a forwarder: a request, or the first bytes of the answer to it. */
export interface Passing {
  readonly kind: 'request' | 'answer'
  readonly method: string
  readonly path: string
  /** Of a request of known length whose path ends in `keep`. */
  readonly body: Buffer | undefined
}

export interface ForwarderOptions {
  /** Requests whose path ends so are looked at when all of their body has come. */
  readonly keep?: string
  /** Told before the bytes go on: what it does to either end comes first. */
  readonly onPassing?: (passing: Passing) => void
}

/**
 * A port of the loopback before another one, over which connections can be cut or stalled. It passes bytes on as they
 * come, and reads of HTTP only where messages begin.
 */
export class Forwarder implements AsyncDisposable {
  /** The port that connections go to; they are reset while there is none. */
  target: number | undefined
  readonly #server: Server
  readonly #options: ForwarderOptions
  readonly #sockets = new Set<Socket>()
  #isCut = false
  /** Bytes wait for it. */
  #gate: Promise<void> = Promise.resolve()
  #openGate: () => void = () => undefined

  private constructor(options: ForwarderOptions) {
    this.#options = options
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
  }

  static async start(options: ForwarderOptions = {}): Promise<Forwarder> {
    const forwarder = new Forwarder(options)
    forwarder.#server.listen(0, '127.0.0.1')
    await once(forwarder.#server, 'listening')
    return forwarder
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the forwarder is closed')
    return `http://127.0.0.1:${address.port}`
  }

  /** Connections are reset, those that there are and all that come. */
  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Connections stay, and come to be, and nothing passes. */
  stall(): void {
    ;({ promise: this.#gate, resolve: this.#openGate } = Promise.withResolvers<void>())
  }

  /** What was stalled goes on; what was cut may come again. */
  heal(): void {
    this.#isCut = false
    this.#openGate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#openGate()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(client: Socket): void {
    this.#watch(client)
    if (this.#isCut || this.target === undefined) return void client.resetAndDestroy()
    const server = this.#watch(connect({ port: this.target, host: '127.0.0.1', allowHalfOpen: true }))
    const messages = new Messages(this.#options)
    this.#pass(client, server, (chunk) => messages.ofClient(chunk))
    this.#pass(server, client, (chunk) => messages.ofServer(chunk))
  }

  #pass(from: Socket, to: Socket, look: (chunk: Buffer) => void): void {
    const transform = (chunk: Buffer, _: BufferEncoding, done: TransformCallback) => {
      void this.#gate.then(() => {
        look(chunk)
        // Who waited for it acts first.
        setImmediate(() => done(null, chunk))
      })
    }
    pipeline(from, new Transform({ transform }), to, (error) => {
      if (!error) return
      from.destroy()
      to.destroy()
    })
  }

  #watch(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // What happens to one end is seen by the other.
    socket.on('error', () => undefined)
    return socket
  }
}

/** The messages of one connection, one request after the other. */
class Messages {
  readonly #options: ForwarderOptions
  #request: { readonly method: string; readonly path: string } | undefined
  /** What has come of a request whose body is kept. */
  #kept: Buffer | undefined

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  ofClient(chunk: Buffer): void {
    if (this.#kept) {
      this.#keep(Buffer.concat([this.#kept, chunk]))
      return
    }
    const [, method = '', path = ''] = /^([A-Z]{3,7}) (\S+) HTTP\/1\.1\r\n/.exec(headOf(chunk)) ?? []
    if (method === '') return
    this.#request = { method, path }
    if (this.#options.keep !== undefined && path.endsWith(this.#options.keep)) this.#keep(chunk)
    else this.#tell('request')
  }

  ofServer(chunk: Buffer): void {
    if (this.#request && /^HTTP\/1\.1 [2-5]/.test(headOf(chunk))) this.#tell('answer')
  }

  #keep(message: Buffer): void {
    const start = message.indexOf('\r\n\r\n') + 4
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(headOf(message))?.[1] ?? 0)
    const isWhole = start >= 4 && message.length >= start + length
    this.#kept = isWhole ? undefined : message
    if (isWhole) this.#tell('request', message.subarray(start, start + length))
  }

  #tell(kind: Passing['kind'], body?: Buffer): void {
    if (this.#request) this.#options.onPassing?.({ kind, ...this.#request, body })
  }
}

const headOf = (message: Buffer): string => message.subarray(0, 4096).toString('latin1')

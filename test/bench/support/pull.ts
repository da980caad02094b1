import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { AnswerReader } from './answer-reader.ts'
import { type Child, forked } from './child.ts'

/** Addresses to be read by several connections at once, their bytes thrown away as they come. */
export interface Pull {
  /** `http://127.0.0.1:port/…`; the connections are spread over them. */
  readonly roots: readonly string[]
  /** Below a root; taken in turn, over and over. */
  readonly paths: readonly string[]
  readonly count: number
  readonly connections: number
  readonly accept: string
  /** How fast each connection reads at most; taken in turn, absent or undefined without a limit. */
  readonly bytesPerSecond?: readonly (number | undefined)[]
}

export interface Pulled {
  /** From the request to the first byte of the body, and to the last, in the order in which they were complete. */
  readonly firstByteMs: readonly number[]
  readonly ms: readonly number[]
  /** Of bodies. */
  readonly bytes: number
  /** Answers that were not 200 or not complete. */
  readonly failed: number
  readonly totalMs: number
}

/** Clients in a process of their own that does little else than read. */
export interface Puller extends AsyncDisposable {
  readonly pid: number
  pull(pull: Pull): Promise<Pulled>
}

export function startPuller(): Puller {
  const child: Child = forked(import.meta.filename)
  return {
    pid: child.pid,
    pull: (pull) => child.ask<Pulled>({ ...pull }),
    [Symbol.asyncDispose]: () => child.end(),
  }
}

/** Every read overwrites the one before. */
const bytesAtOnce = 512 * 1024
const shared = Buffer.allocUnsafeSlow(bytesAtOnce)

class Client {
  readonly #root: URL
  readonly #pull: Pull
  readonly #bytesPerMs: number
  #socket: Socket | undefined
  #answer = new AnswerReader()
  #settle: () => void = () => undefined
  #begun = 0

  constructor(pull: Pull, index: number) {
    this.#root = new URL(pull.roots[index % pull.roots.length] ?? '')
    this.#pull = pull
    this.#bytesPerMs = (pull.bytesPerSecond?.[index % pull.bytesPerSecond.length] ?? Number.POSITIVE_INFINITY) / 1000
  }

  async get(path: string): Promise<{ answer: AnswerReader; firstByteMs: number; ms: number }> {
    const socket = this.#usable() ?? (await this.#connect())
    const answer = new AnswerReader()
    const settled = new Promise<void>((resolve) => {
      this.#settle = resolve
    })
    this.#answer = answer
    const { host, pathname } = this.#root
    const head = `GET ${pathname}${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: ${this.#pull.accept}\r\n\r\n`
    this.#begun = performance.now()
    socket.write(head, 'latin1')
    await settled
    const ended = performance.now()
    if (!answer.complete || !answer.keepsAlive) this.close()
    return { answer, firstByteMs: answer.begunAt - this.#begun, ms: ended - this.#begun }
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #usable(): Socket | undefined {
    return this.#socket?.readyState === 'open' ? this.#socket : undefined
  }

  async #connect(): Promise<Socket> {
    const { hostname: host, port } = this.#root
    const socket: Socket = connect({
      host,
      port: Number(port),
      noDelay: true,
      onread: { buffer: shared, callback: (bytes) => this.#read(socket, bytes) },
    })
    this.#socket = socket
    socket.on('error', () => undefined)
    socket.on('close', () => this.#socket === socket && this.#ended(socket))
    await Promise.race([once(socket, 'connect'), once(socket, 'close')])
    return socket
  }

  #ended(socket: Socket): void {
    if (this.#socket === socket) this.#socket = undefined
    this.#answer.end()
    this.#settle()
  }

  /** False tells the socket to read no more for now. */
  #read(socket: Socket, bytes: number): boolean {
    const answer = this.#answer
    answer.read(shared, bytes)
    if (answer.complete) this.#settle()
    const aheadMs = answer.bytes / this.#bytesPerMs - (performance.now() - this.#begun)
    if (!(aheadMs > 1)) return true
    setTimeout(() => socket.resume(), aheadMs)
    return false
  }
}

async function pull(wanted: Pull): Promise<Pulled> {
  const [firstByteMs, ms]: [number[], number[]] = [[], []]
  let [next, bytes, failed] = [0, 0, 0]
  const work = async (_: unknown, index: number) => {
    const client = new Client(wanted, index)
    for (let turn = next++; turn < wanted.count; turn = next++) {
      const got = await client.get(wanted.paths[turn % wanted.paths.length] ?? '')
      firstByteMs.push(got.firstByteMs)
      ms.push(got.ms)
      bytes += got.answer.bytes
      if (got.answer.status !== 200 || !got.answer.complete) failed++
    }
    client.close()
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: wanted.connections }, work))
  return { firstByteMs, ms, bytes, failed, totalMs: performance.now() - begun }
}

if (import.meta.main) {
  process.on('message', async (wanted: Pull) => process.send?.({ answer: await pull(wanted) }))
}

import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Bytes of a message, in pieces. */
export interface Message {
  readonly pieces: readonly Buffer[]
}

export interface OutletOptions {
  readonly bytesPerSecond: number | undefined
  /** Told of image bytes as they are given to the kernel, when the rate is limited. */
  readonly sent: (bytes: number) => void
}

const sliceBytes = 64 * 1024

/** What one origin sends, as fast as it may. */
export class Outlet {
  readonly #options: OutletOptions
  readonly #pace: Pace | undefined
  #open = 0

  constructor(options: OutletOptions) {
    this.#options = options
    this.#pace = options.bytesPerSecond === undefined ? undefined : new Pace(options.bytesPerSecond)
  }

  /** Answers with images under way, when the rate is limited. */
  get open(): number {
    return this.#open
  }

  /** Without a limit everything is given away at once, and the kernel asks for more as it needs it. */
  send(socket: Socket, { pieces }: Message, what: 'rows' | 'images'): Promise<void> | undefined {
    if (this.#pace && what === 'images') return this.#slowly(socket, pieces, this.#pace)
    socket.cork()
    for (const piece of pieces) socket.write(piece)
    socket.uncork()
    return undefined
  }

  async #slowly(socket: Socket, pieces: readonly Buffer[], pace: Pace): Promise<void> {
    this.#open++
    try {
      for (const slice of slicesOf(pieces)) {
        await pace.take(slice.length)
        if (socket.destroyed) return
        const takesMore = socket.write(slice)
        this.#options.sent(slice.length)
        if (!takesMore) await ready(socket)
      }
    } finally {
      this.#open--
    }
  }
}

/** Resolves when a socket takes more, or will never. */
function ready(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      socket.off('drain', settle)
      socket.off('close', settle)
      resolve()
    }
    socket.on('drain', settle)
    socket.on('close', settle)
    if (socket.destroyed) settle()
  })
}

function* slicesOf(pieces: readonly Buffer[]): Generator<Buffer> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += sliceBytes) yield piece.subarray(at, at + sliceBytes)
  }
}

/** What a late timer has cost is made up for, up to this. */
const maxLateMs = 20

/** A rate that all who send share. */
class Pace {
  readonly #bytesPerMs: number
  #freeAt = 0

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000
  }

  async take(bytes: number): Promise<void> {
    const now = performance.now()
    this.#freeAt = Math.max(this.#freeAt, now - maxLateMs) + bytes / this.#bytesPerMs
    if (this.#freeAt > now) await sleep(this.#freeAt - now)
  }
}

import { type Clock, systemClock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'
import { LinkError } from '../core/errors.ts'
import { LineFull, Slots } from '../core/slots.ts'
import type { Rendered, RenderLimits, RenderRequest } from './request.ts'
import { Thread, type ThreadOptions, workerModule } from './thread.ts'

/** Makes pictures of stored instances where no archive does. */
export interface Renderer {
  /**
   * A picture of one frame, or the document that the instance encapsulates; see `render.ts` for what it throws because
   * of the instance or the request. Besides: `unavailable` when too many wait, `timed-out` for a picture that takes too
   * long, and the signal's reason. Who leaves while waiting leaves the line; a picture that is being made is finished.
   */
  render(request: RenderRequest, signal: AbortSignal): Promise<Rendered>
  /** Ends all threads; what they are at fails as `unavailable`. */
  close(): Promise<void>
}

export interface RendererOptions {
  /** Pictures made at the same time, each in a thread of its own. They start when they are needed. */
  readonly threads: number
  /** Requests that wait for a thread; more are refused. */
  readonly maxWaiting?: number
  /** For one picture, from when a thread takes it. */
  readonly timeLimitMs?: number
  /** After which a thread without work ends. */
  readonly idleMs?: number
  readonly maxPixels?: number
  readonly maxHeapMb?: number
  readonly clock?: Clock
  readonly entry?: URL
}

/** The largest radiographs and mammograms have about half of this. */
const defaultMaxPixels = 2 ** 25

export const createRenderer = (options: RendererOptions): Renderer => new ThreadedRenderer(options)

class ThreadedRenderer implements Renderer {
  readonly #slots: Slots
  readonly #clock: Clock
  readonly #timeLimitMs: number
  readonly #idleMs: number
  readonly #threadOptions: ThreadOptions
  readonly #threads = new Set<Thread>()
  /** Threads without work, and what keeps them from ending. */
  readonly #idle: { readonly thread: Thread; readonly wake: AbortController }[] = []
  #closed = false

  constructor(options: RendererOptions) {
    const { threads, maxWaiting = 64, timeLimitMs = 30_000, idleMs = 60_000, clock = systemClock } = options
    const { maxPixels = defaultMaxPixels, maxHeapMb = 512, entry = workerModule } = options
    const limits: RenderLimits = { maxPixels }
    this.#slots = new Slots(threads, maxWaiting)
    this.#clock = clock
    this.#timeLimitMs = timeLimitMs
    this.#idleMs = idleMs
    this.#threadOptions = { limits, maxHeapMb, entry }
  }

  async render(request: RenderRequest, signal: AbortSignal): Promise<Rendered> {
    const leave = await this.#slots.take(signal).catch((error: unknown) => {
      throw error instanceof LineFull ? unavailable('too many pictures are being made; ask again later', error) : error
    })
    return unlessAborted(this.#make(request).finally(leave), signal)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#threads].map((thread) => this.#end(thread, closing())))
  }

  async #make(request: RenderRequest): Promise<Rendered> {
    if (this.#closed) throw closing()
    const thread = this.#take()
    using limit = deadline(this.#clock, this.#timeLimitMs)
    limit.signal.addEventListener('abort', () => void this.#end(thread, tooSlow(this.#timeLimitMs)), { once: true })
    try {
      return await thread.render(request)
    } finally {
      this.#rest(thread)
    }
  }

  #take(): Thread {
    for (let rested = this.#idle.pop(); rested !== undefined; rested = this.#idle.pop()) {
      rested.wake.abort()
      if (!rested.thread.ended) return rested.thread
    }
    const thread = new Thread(this.#threadOptions)
    this.#threads.add(thread)
    return thread
  }

  #rest(thread: Thread): void {
    if (thread.ended) {
      this.#threads.delete(thread)
      return
    }
    const wake = new AbortController()
    this.#idle.push({ thread, wake })
    this.#clock.sleep(this.#idleMs, wake.signal).then(
      () => this.#end(thread, closing()),
      () => undefined,
    )
  }

  async #end(thread: Thread, reason: LinkError): Promise<void> {
    this.#threads.delete(thread)
    await thread.end(reason)
  }
}

const unavailable = (message: string, cause?: unknown) => new LinkError('unavailable', message, { cause })
const closing = () => unavailable('the service is being stopped')
const tooSlow = (ms: number) => new LinkError('timed-out', `the picture could not be made within ${ms} ms`)

/** What `work` comes to, unless the signal fires first; `work` goes on. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const left = Promise.withResolvers<never>()
  const leave = () => left.reject(signal.reason)
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([work, left.promise])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, LinkError } from '../core/errors.ts'
import { damaged } from './refusals.ts'
import type { Rendered, RenderLimits, RenderRequest } from './request.ts'

/** What a thread answers. */
export type Reply =
  | { readonly contentType: string; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly code: ErrorCode; readonly message: string; readonly cause: string | undefined }

export interface ThreadOptions {
  readonly limits: RenderLimits
  /** For objects; pixels lie outside of it, and are bounded by their number. */
  readonly maxHeapMb: number
  /** The module that runs in it. */
  readonly entry: URL
}

/** Beside this module, and compiled as it is. */
export const workerModule = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)

/** A thread that renders one picture at a time. It keeps the process alive only while it does. */
export class Thread {
  readonly #worker: Worker
  #waiting: PromiseWithResolvers<Rendered> | undefined
  #ended = false

  constructor({ limits, maxHeapMb, entry }: ThreadOptions) {
    // Nothing of the environment, where the secrets of the configuration are.
    const resourceLimits = { maxOldGenerationSizeMb: maxHeapMb }
    this.#worker = new Worker(entry, { name: 'render', workerData: limits, env: {}, resourceLimits })
    this.#worker.on('message', (reply: Reply) => this.#settle(reply))
    this.#worker.on('error', (error) => void this.end(damaged('the thread that decoded it failed', error)))
    this.#worker.on('exit', () => void this.end(damaged('the thread that decoded it ended')))
    this.#worker.unref()
  }

  get ended(): boolean {
    return this.#ended
  }

  render({ file, frame, mediaTypes, parameters }: RenderRequest): Promise<Rendered> {
    const waiting = Promise.withResolvers<Rendered>()
    this.#waiting = waiting
    this.#worker.ref()
    // A copy of its own size: with a view, all that lies around it would cross over.
    const copy = new Uint8Array(file)
    this.#worker.postMessage({ file: copy, frame, mediaTypes, parameters } satisfies RenderRequest, [copy.buffer])
    return waiting.promise
  }

  /** Stops it whatever it does; a picture it was at fails for `reason`. */
  async end(reason: LinkError): Promise<void> {
    this.#ended = true
    this.#waiting?.reject(reason)
    this.#waiting = undefined
    await this.#worker.terminate()
  }

  #settle(reply: Reply): void {
    this.#worker.unref()
    if ('bytes' in reply) this.#waiting?.resolve(reply)
    else this.#waiting?.reject(new LinkError(reply.code, reply.message, { cause: reply.cause }))
    this.#waiting = undefined
  }
}

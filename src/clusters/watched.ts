import type { Part, Parts } from '../dicom/multipart.ts'

/** Who is told how reading an answer goes. */
export interface Watcher {
  answered(): void
  ended(): void
  failed(thrown: unknown): void
  left(): void
}

/** Who measures how fast an answer comes; told of every chunk, so it must be quick. */
export interface Meter {
  now(): number
  /** So many bytes came after the reader had waited for so long. */
  received(bytes: number, waitedMs: number): void
}

/**
 * Parts as they come, with the watcher told of their end, of a failure in any of their bodies, and of leaving. The
 * meter counts the time in which the cluster is waited for, not that which the reader takes.
 */
export function watchedParts(parts: Parts, watcher: Watcher, meter: Meter): Parts {
  const inner = timed(parts[Symbol.asyncIterator](), meter, sizeInHand)
  const watchedPart = (part: Part) => (part.held ? part : { ...part, body: watchedBody(part.body, watcher, meter) })
  const iterator = watched(inner, watcher, watchedPart)
  return { [Symbol.asyncIterator]: () => iterator }
}

/** What of it is not read any more. */
const sizeInHand = ({ held = [] }: Part): number => held.reduce((sum, { length }) => sum + length, 0)

/** Items that are asked for when the first one is; `begin` may refuse. */
export function watchedItems<T, W extends Watcher>(
  begin: () => Promise<W>,
  open: (watcher: W) => AsyncIterable<T>,
): AsyncIterable<T> {
  const start = async () => {
    const watcher = await begin()
    return watched(open(watcher)[Symbol.asyncIterator](), watcher, (item) => item)
  }
  return {
    [Symbol.asyncIterator]: () => {
      let started: Promise<AsyncIterator<T>> | undefined
      return {
        next: async () => {
          started ??= start()
          return (await started).next()
        },
        return: async () => {
          const iterator = await started?.catch(() => undefined)
          return (await iterator?.return?.()) ?? { done: true, value: undefined }
        },
      }
    },
  }
}

function watched<T>(inner: AsyncIterator<T>, watcher: Watcher, map: (item: T) => T): AsyncIterator<T> {
  return {
    next: async () => {
      try {
        const next = await inner.next()
        watcher.answered()
        if (next.done !== true) return { done: false, value: map(next.value) }
        watcher.ended()
        return next
      } catch (thrown) {
        watcher.failed(thrown)
        throw thrown
      }
    },
    return: async () => {
      watcher.left()
      return (await inner.return?.()) ?? { done: true, value: undefined }
    },
  }
}

function timed<T>(inner: AsyncIterator<T>, meter: Meter, sizeOf: (item: T) => number): AsyncIterator<T> {
  return {
    next: async () => {
      const begun = meter.now()
      const next = await inner.next()
      meter.received(next.done === true ? 0 : sizeOf(next.value), meter.now() - begun)
      return next
    },
    return: async () => (await inner.return?.()) ?? { done: true, value: undefined },
  }
}

function watchedBody(body: AsyncIterable<Uint8Array>, watcher: Watcher, meter: Meter): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = timed(body[Symbol.asyncIterator](), meter, (chunk) => chunk.length)
      return {
        next: () =>
          inner.next().catch((thrown: unknown) => {
            watcher.failed(thrown)
            throw thrown
          }),
        return: async () => (await inner.return?.()) ?? { done: true, value: undefined },
      }
    },
  }
}

import type { Part, Parts } from '../dicom/multipart.ts'

/** Who is told how reading an answer goes. */
export interface Watcher {
  answered(): void
  ended(): void
  failed(thrown: unknown): void
  left(): void
}

/** Parts as they come, with the watcher told of their end, of a failure in any of their bodies, and of leaving. */
export function watchedParts(parts: Parts, watcher: Watcher): Parts {
  const inner = parts[Symbol.asyncIterator]()
  const iterator = watched(inner, watcher, (part: Part) => ({ ...part, body: watchedBody(part.body, watcher) }))
  return { [Symbol.asyncIterator]: () => iterator }
}

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

function watchedBody(body: AsyncIterable<Uint8Array>, watcher: Watcher): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = body[Symbol.asyncIterator]()
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

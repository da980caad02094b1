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
export function watchedItems<T>(begin: () => Watcher, open: () => AsyncIterable<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      let iterator: AsyncIterator<T> | undefined
      const opened = () => {
        iterator ??= watched(open()[Symbol.asyncIterator](), begin(), (item) => item)
        return iterator
      }
      return {
        next: async () => opened().next(),
        return: async () => (await iterator?.return?.()) ?? { done: true, value: undefined },
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

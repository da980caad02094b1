import type { Clock } from '../../core/clock.ts'
import { toError } from '../../core/errors.ts'
import type { InstanceUpload, StoreResult } from '../cluster.ts'
import { untilAborted } from '../fan-out.ts'
import { inBatches } from './batches.ts'
import { type CommitTarget, commit } from './commit.ts'
import { type Received, receive } from './receive.ts'
import { inTime } from './waiting.ts'

/** Instances whose files are synced together and whose rows go into one transaction. */
const maxBatch = 128
/** Received and not yet committed, of one `store`: they are in memory, or carry metadata that is. */
const maxPending = 64
/** An instance with a larger file may have large metadata: it is committed before the next one is taken. */
const smallFileBytes = 1024 ** 2

/** No disk takes nearly as long over one batch; what does hangs. */
const commitTimeoutMs = 60_000

export interface StoreOptions extends CommitTarget {
  readonly clock: Clock
  readonly maxPartBytes: number
}

export type Store = (uploads: AsyncIterable<InstanceUpload>, signal: AbortSignal) => Promise<StoreResult[]>

/** What an upload's own stream threw: not the archive's failure, and passed on as it is. */
export class UploadFailed extends Error {}

/**
 * Takes uploads one after the other; while one is being received, those before it are committed in batches, which
 * instances of several callers share. Every file that is not committed is gone when the call ends.
 */
export function storeInto(options: StoreOptions): Store {
  const commitOne = inBatches((batch: readonly Received[]) => commitInTime(options, batch), maxBatch)
  return async (uploads, signal) => {
    const pending: Promise<StoreResult>[] = []
    let settled = 0
    try {
      for await (const upload of marked(uploads, signal)) {
        signal.throwIfAborted()
        const { committed, size } = await receiveOne(options, upload, signal)
        pending.push(committed)
        // A rejection is reported when it is awaited below; until then it is not unhandled.
        committed.catch(() => undefined)
        while (pending.length - settled >= (size > smallFileBytes ? 1 : maxPending)) await pending[settled++]
      }
      return await Promise.all(pending)
    } finally {
      await Promise.allSettled(pending)
    }
  }

  async function receiveOne(where: StoreOptions, upload: InstanceUpload, signal: AbortSignal) {
    const { header } = upload
    const body = marked(upload.body, signal)
    const reception = await receive({ header, body }, { folder: where.folder, maxBytes: where.maxPartBytes, signal })
    if ('failureReason' in reception) {
      const outcome = { status: 'failed', failureReason: reception.failureReason } as const
      return { committed: Promise.resolve<StoreResult>({ header, outcome }), size: 0 }
    }
    const { received } = reception
    const committed = commitOne(received).then((outcome): StoreResult => ({ header, outcome }))
    return { committed, size: received.instance.size }
  }
}

/** The rows of a batch that takes too long may come to be there yet, or its files without them. */
async function commitInTime(options: StoreOptions, batch: readonly Received[]) {
  const { cluster, clock } = options
  const call = { cluster, clock, timeoutMs: commitTimeoutMs, signal: new AbortController().signal }
  try {
    return await inTime(call, () => commit(options, batch))
  } catch (error) {
    options.untidy()
    throw error
  }
}

/** Marks what the source throws, and gives up on a source that hangs when the caller leaves. */
async function* marked<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void, undefined> {
  const iterator = source[Symbol.asyncIterator]()
  let ended = false
  try {
    for (;;) {
      signal.throwIfAborted()
      // A race against one promise that lives as long as this loop would keep every chunk alive with it.
      const next = await untilAborted(iterator.next(), signal).catch((error: unknown) => {
        throw new UploadFailed('an upload broke off', { cause: toError(error) })
      })
      ended = next.done === true
      if (next.done === true) return
      yield next.value
    }
  } finally {
    // Not waited for: a source that hangs does not answer this either.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
}

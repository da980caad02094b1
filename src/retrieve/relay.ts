import type { Cluster, RetrieveRequest } from '../clusters/cluster.ts'
import { ClusterError, type FailureReason } from '../core/outcome.ts'
import { holdBack } from '../dicom/hold-back.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import { sniffInstance } from '../dicom/part10.ts'
import type { Item } from './union.ts'

/** Bytes of an instance within which its UIDs must have been found. */
const maxHeaderBytes = 1024 * 1024

/** The parts of an answer, each held back. */
export async function* heldBack(parts: Parts, maxBytes: number): AsyncGenerator<Part> {
  for await (const part of parts) yield await holdBack(part, maxBytes)
}

/** Instances of an answer with the UID each one carries. A part that is no DICOM file is the cluster's fault. */
export async function* identified(cluster: Cluster, parts: Parts, maxBytes: number): AsyncGenerator<Item<Part>> {
  for await (const part of parts) {
    const { header, body } = await sniff(cluster, part)
    yield { instance: header.sopInstanceUID, value: await holdBack({ ...part, body }, maxBytes) }
  }
}

async function sniff(cluster: Cluster, part: Part) {
  try {
    return await sniffInstance(part.body, { maxHeaderBytes })
  } catch (thrown) {
    if (thrown instanceof ClusterError || (thrown instanceof Error && thrown.name === 'AbortError')) throw thrown
    throw new ClusterError(cluster.id, 'malformed', 'sent a part that is no DICOM instance', { cause: thrown })
  }
}

/** Asks one cluster after the other until one has delivered the first part whole; `errors` tells why others did not. */
export async function firstToDeliver(
  clusters: readonly Cluster[],
  request: RetrieveRequest,
  options: { maxBytes: number; signal: AbortSignal; errors: ClusterError[] },
): Promise<Parts | undefined> {
  for (const cluster of clusters) {
    try {
      const parts = heldBack(await cluster.retrieve(request, options.signal), options.maxBytes)
      const primed = await prime(parts)
      if (primed) return primed
      options.errors.push(emptyAnswer(cluster))
    } catch (thrown) {
      options.signal.throwIfAborted()
      if (!(thrown instanceof ClusterError)) throw thrown
      options.errors.push(thrown)
    }
  }
  return undefined
}

const emptyAnswer = (cluster: Cluster, reason: FailureReason = 'malformed') =>
  new ClusterError(cluster.id, reason, 'answered with success but sent nothing')

/**
 * Waits for the first item, so that what fails before it fails before the status line is sent. `undefined` when there
 * is none.
 */
export async function prime<T>(items: AsyncIterable<T>): Promise<AsyncIterable<T> | undefined> {
  const iterator = items[Symbol.asyncIterator]()
  const first = await iterator.next()
  if (first.done) return undefined
  return primed(first.value, iterator)
}

async function* primed<T>(first: T, rest: AsyncIterator<T>): AsyncGenerator<T> {
  let ended = false
  try {
    yield first
    for (;;) {
      const next = await rest.next()
      ended = next.done === true
      if (next.done) return
      yield next.value
    }
  } catch (thrown) {
    ended = true
    throw thrown
  } finally {
    if (!ended) await rest.return?.()
  }
}

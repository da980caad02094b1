import type { Cluster, RetrieveRequest, Target } from '../clusters/cluster.ts'
import { sniffPart } from '../clusters/sniff.ts'
import { isBelow } from '../clusters/target.ts'
import { chained } from '../core/chained.ts'
import { ClusterError, type FailureReason } from '../core/outcome.ts'
import { holdBack } from '../dicom/hold-back.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import type { Uid } from '../dicom/uid.ts'
import { counted } from './bulkdata.ts'
import type { Hedging } from './hedge.ts'
import type { Item } from './union.ts'

/** The parts of an answer, each held back. */
async function* heldBack(parts: Parts, maxBytes: number): AsyncGenerator<Part> {
  for await (const part of parts) yield await holdBack(part, maxBytes)
}

/** An instance with the UIDs it carries itself. */
export interface Identified extends Item<Part> {
  readonly series: Uid
}

/**
 * Instances below a target with the UID each one carries. What a confused archive sends of something else is passed
 * over; a part that is no DICOM file is its fault.
 */
export async function* identified(
  from: Cluster,
  target: Target,
  parts: Parts,
  maxBytes: number,
): AsyncGenerator<Identified> {
  for await (const part of parts) {
    const { header, body } = await sniffPart(from, part)
    const { studyInstanceUID: study, sopInstanceUID: instance, seriesInstanceUID: series } = header
    if (!isBelow(target, { study, series, instance })) continue
    yield { instance, series, value: await holdBack({ ...part, body }, maxBytes) }
  }
}

/**
 * The one instance asked for: an archive with a confused index may answer with the image of somebody else, or with
 * more. A part that came is whole, so what becomes of the answer behind it is of no interest.
 */
async function* onlyInstance(wanted: Uid, items: AsyncIterable<Item<Part>>): AsyncGenerator<Part> {
  let found = false
  try {
    for await (const { instance, value } of items) {
      if (found) return
      found = instance === wanted
      if (found) yield value
    }
  } catch (thrown) {
    if (!found || !(thrown instanceof ClusterError)) throw thrown
  }
}

/**
 * As many frames, or pictures of them, as were asked for: an answer with fewer is cut short, whatever its end says; more
 * are of no interest.
 */
async function* exactly(count: number, cluster: Cluster, frames: AsyncIterable<Part>): AsyncGenerator<Part> {
  let given = 0
  for await (const frame of frames) {
    yield frame
    if (++given === count) return
  }
  throw new ClusterError(cluster.id, 'truncated', `sent ${given} of ${count} frames`)
}

function partsWanted(cluster: Cluster, request: RetrieveRequest, parts: Parts, maxBytes: number): AsyncIterable<Part> {
  if (request.kind === 'bulkdata') return counted(heldBack(parts, maxBytes))
  const frames = request.kind === 'frames' || request.kind === 'rendered' ? request.frames : undefined
  if (frames) return exactly(frames.length, cluster, heldBack(parts, maxBytes))
  if (request.kind !== 'instances' || request.target.instance === undefined) return heldBack(parts, maxBytes)
  return onlyInstance(request.target.instance, identified(cluster, request.target, parts, maxBytes))
}

export interface DeliveryOptions {
  readonly maxBytes: number
  readonly signal: AbortSignal
  /** Told why clusters did not deliver. */
  readonly errors: ClusterError[]
  /** Given when a second cluster may be asked before the first has failed. */
  readonly hedging?: Hedging
}

/**
 * Asks one cluster after the other until one has delivered the first part whole. The last one gets the time it takes.
 */
export async function firstToDeliver(
  clusters: readonly Cluster[],
  request: RetrieveRequest,
  { hedging, ...options }: DeliveryOptions,
): Promise<Parts | undefined> {
  const last = clusters.at(-1)
  const attempt = (cluster: Cluster, signal: AbortSignal) =>
    deliver(cluster, { ...request, patient: cluster === last }, { ...options, signal })
  if (hedging && clusters.length > 1) return hedging.first(clusters, { attempt, leave }, options.signal)
  for (const cluster of clusters) {
    const parts = await attempt(cluster, options.signal)
    if (parts) return parts
  }
  return undefined
}

/** Ends an answer that nobody reads; one that has not begun would not notice. */
export async function leave(items: AsyncIterable<unknown>): Promise<void> {
  const iterator = items[Symbol.asyncIterator]()
  await iterator.next()
  await iterator.return?.()
}

async function deliver(
  cluster: Cluster,
  request: RetrieveRequest,
  { maxBytes, signal, errors }: DeliveryOptions,
): Promise<Parts | undefined> {
  try {
    const parts = await cluster.retrieve(request, signal)
    const primed = await prime(partsWanted(cluster, request, parts, maxBytes))
    if (!primed) errors.push(emptyAnswer(cluster))
    return primed
  } catch (thrown) {
    signal.throwIfAborted()
    if (!(thrown instanceof ClusterError)) throw thrown
    errors.push(thrown)
    return undefined
  }
}

const emptyAnswer = (cluster: Cluster, reason: FailureReason = 'malformed') =>
  new ClusterError(cluster.id, reason, 'answered with success but did not send what was asked for')

/**
 * Waits for the first item, so that what fails before it fails before the status line is sent. `undefined` when there
 * is none.
 */
export async function prime<T>(items: AsyncIterable<T>): Promise<AsyncIterable<T> | undefined> {
  const iterator = items[Symbol.asyncIterator]()
  const first = await iterator.next()
  if (first.done) return undefined
  return chained([first.value], iterator)
}

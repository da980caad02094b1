import type { Cluster, InstanceUpload, Target } from '../clusters/cluster.ts'
import type { Refused } from '../clusters/refused.ts'
import { sniffPart } from '../clusters/sniff.ts'
import { ClusterError } from '../core/outcome.ts'
import { datasetDigest, hashing } from '../dicom/digest.ts'
import { holdBack, readToEnd } from '../dicom/hold-back.ts'
import type { Part } from '../dicom/multipart.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Promised } from './manifest.ts'

export interface FetchOptions {
  /** All of the study that the peer promises. */
  readonly promised: Iterable<Promised>
  /** Which of it is to be fetched. */
  readonly wanted: ReadonlySet<Uid>
  /** Bytes of an instance that are held back until it is known to be what was promised. */
  readonly maxBufferedPartBytes: number
  /** Awaited with each instance that is something else than was promised. */
  readonly quarantine: (refused: Refused) => Promise<void>
  /** Told why an instance could not be had now. */
  readonly failed: (failure: ClusterError) => void
}

/** An instance as the peer sent it, with the UIDs it was promised with. */
export interface Fetched {
  readonly upload: InstanceUpload
  /** It is in memory and all that was promised. Else its body throws before its end when that turns out not so. */
  readonly isWhole: boolean
  /** What its body threw. */
  failure?: unknown
}

/** Failure Reasons, PS3.18 table I.2-2: what is promised as one thing and is another, and what is damaged. */
const otherObject = 0x0122
const otherContent = 0x0110

/** The content of an instance has another digest than was promised. */
export class OtherContent extends Error {
  override readonly name = 'OtherContent'
  readonly refused: Refused

  constructor(instance: Uid) {
    super(`instance ${instance} has another digest than was promised`)
    this.refused = { instance, reason: otherContent }
  }
}

/**
 * Fetches instances one after the other, as they are stored at the peer: a series all of which is wanted in one
 * retrieval, any other instance in one of its own. What the peer sends beside it is passed over. One that cannot be had
 * does not keep the others from coming. Read each body to its end before the next is asked for.
 */
export async function* fetchPromised(
  peer: Cluster,
  options: FetchOptions,
  signal: AbortSignal,
): AsyncGenerator<Fetched, void, undefined> {
  const series = Map.groupBy(options.promised, (it) => it.series)
  for (const [uid, all] of series) {
    const wanted = all.filter(({ instance }) => options.wanted.has(instance))
    const whole = { study: all[0]?.study as Uid, series: uid }
    const left = wanted.length === all.length && all.length > 1 ? yield* fetchSeries(whole, wanted) : wanted
    for (const one of left) yield* fetchOne(one)
  }

  /** Answers with what is to be fetched one by one. */
  async function* fetchSeries(target: Target, wanted: readonly Promised[]): AsyncGenerator<Fetched, Promised[]> {
    const left = new Map(wanted.map((it) => [it.instance, it]))
    const ofPart = ({ sopInstanceUID }: InstanceHeader) => {
      const promised = left.get(sopInstanceUID)
      left.delete(sopInstanceUID)
      return promised
    }
    try {
      yield* fetchTarget(target, ofPart)
    } catch (thrown) {
      if (!(thrown instanceof ClusterError)) throw thrown
      if (isAway(thrown)) return failAll(left.values(), thrown)
    }
    return [...left.values()]
  }

  function failAll(left: Iterable<Promised>, failure: ClusterError): Promised[] {
    for (const _ of left) options.failed(failure)
    return []
  }

  async function* fetchOne(promised: Promised): AsyncGenerator<Fetched, void, undefined> {
    let left: Promised | undefined = promised
    const ofPart = () => {
      const first = left
      left = undefined
      return first
    }
    try {
      yield* fetchTarget(promised, ofPart)
    } catch (thrown) {
      if (!(thrown instanceof ClusterError)) throw thrown
      return options.failed(thrown)
    }
    if (left) options.failed(new ClusterError(peer.id, 'malformed', `promises ${promised.instance} but sends nothing`))
  }

  async function* fetchTarget(
    { study, series, instance }: Target,
    ofPart: (header: InstanceHeader) => Promised | undefined,
  ): AsyncGenerator<Fetched, void, undefined> {
    const target = { study, ...(series && { series }), ...(instance && { instance }) }
    const request = { kind: 'instances', target, transferSyntax: '*', patient: true } as const
    for await (const part of await peer.retrieve(request, signal)) {
      const { header, body } = await sniffPart(peer, part)
      const promised = ofPart(header)
      const fetched = promised && (await check(header, { contentType: part.contentType, body }, promised))
      if (fetched) yield fetched
      else await readToEnd(body)
    }
  }

  /** `undefined`: it is something else, and remembered so. */
  async function check(header: InstanceHeader, part: Part, promised: Promised): Promise<Fetched | undefined> {
    if (!isSame(header, promised)) {
      await options.quarantine({ instance: promised.instance, reason: otherObject })
      return undefined
    }
    const { body, held } = await holdBack(part, options.maxBufferedPartBytes)
    if (!held) return streamed(header, body, promised)
    const chunks = await Array.fromAsync(body)
    if (
      promised.digest !== undefined &&
      (await datasetDigest(from(chunks), header.datasetOffset)) !== promised.digest
    ) {
      await options.quarantine({ instance: promised.instance, reason: otherContent })
      return undefined
    }
    return { upload: { header, body: from(chunks) }, isWhole: true }
  }
}

/** Reasons for which the next question is not answered either. */
const isAway = ({ reason }: ClusterError): boolean =>
  reason === 'unreachable' || reason === 'circuit-open' || reason === 'access-denied'

const isSame = (header: InstanceHeader, { study, series, instance, sopClass }: Promised): boolean =>
  header.studyInstanceUID === study &&
  header.seriesInstanceUID === series &&
  header.sopInstanceUID === instance &&
  (sopClass === undefined || header.sopClassUID === sopClass)

/** One too large to be held back. */
function streamed(header: InstanceHeader, body: AsyncIterable<Uint8Array>, promised: Promised): Fetched {
  const fetched: Fetched = { upload: { header, body: noticing() }, isWhole: false }
  async function* noticing(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* promised.digest === undefined ? body : verified(header, body, promised)
    } catch (thrown) {
      fetched.failure = thrown
      throw thrown
    }
  }
  return fetched
}

/** Holds the last bytes back until all of them are known to be what was promised: nobody keeps a file without its end. */
async function* verified(
  { datasetOffset }: InstanceHeader,
  body: AsyncIterable<Uint8Array>,
  { instance, digest }: Promised,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hashed = hashing(body, datasetOffset)
  let last: Uint8Array | undefined
  for await (const chunk of hashed.body) {
    if (last) yield last
    last = chunk
  }
  if (hashed.digest() !== digest) throw new OtherContent(instance)
  if (last) yield last
}

async function* from(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
}

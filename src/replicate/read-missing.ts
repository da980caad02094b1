import type { Cluster, InstanceUpload, Target } from '../clusters/cluster.ts'
import type { ListedInstance } from '../clusters/inventory.ts'
import { sniffPart } from '../clusters/sniff.ts'
import { ClusterError } from '../core/outcome.ts'
import { holdBack, readToEnd } from '../dicom/hold-back.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import type { Holdings } from './holdings.ts'

/** What one cluster holds of a study. */
export interface Holding {
  readonly cluster: Cluster
  readonly inventory: Holdings
}

/** An instance that is to be read. */
export interface Missing {
  readonly target: ListedInstance
  /** The best location first. */
  readonly holders: readonly Cluster[]
}

export interface ReadOptions {
  /** Absent: what a series consists of at a holder is not known, and each instance is read alone. */
  readonly holdings?: readonly Holding[]
  readonly travels: Travels
  /** Bytes of an instance that are held back until it is whole. */
  readonly maxBufferedPartBytes: number
  /** Told why an instance could not be read. */
  readonly failed: (failure: ClusterError) => void
}

/**
 * Reads instances as they are stored, one after the other: a series most of which is missing in one retrieval from its
 * best location, and in one of its own whatever that does not bring, from the first holder that delivers it. What
 * cannot be read is told and passed over; what turns out not to travel is passed over. Read each body to its end before
 * the next is asked for.
 */
export async function* readMissing(
  missing: readonly Missing[],
  options: ReadOptions,
  signal: AbortSignal,
): AsyncGenerator<InstanceUpload, void, undefined> {
  const held = new Map(options.holdings?.map(({ cluster, inventory }) => [cluster, instancesBySeries(inventory)]))
  for (const group of Map.groupBy(missing, ({ target }) => target.series).values()) {
    const left = new Map(group.map((it) => [it.target.instance, it]))
    const whole = wholeSeries(group, held)
    if (whole) yield* readSeries(whole, left)
    for (const one of left.values()) yield* readOne(one)
  }

  /** Takes out of `left` what it brings. */
  async function* readSeries({ cluster, target }: Series, left: Map<string, Missing>): AsyncGenerator<InstanceUpload> {
    try {
      for await (const part of await retrieve(cluster, target)) {
        const upload = await uploadIn(cluster, part)
        const { studyInstanceUID, sopInstanceUID, sopClassUID } = upload.header
        const isWanted =
          studyInstanceUID === target.study && left.delete(sopInstanceUID) && options.travels(sopClassUID)
        if (isWanted) yield upload
        else await readToEnd(upload.body)
      }
    } catch (thrown) {
      // Why the others did not come is told when they do not come one by one either.
      if (!(thrown instanceof ClusterError)) throw thrown
    }
  }

  async function* readOne({ target, holders }: Missing): AsyncGenerator<InstanceUpload> {
    let failure = new ClusterError('any', 'not-found', `nobody holds instance ${target.instance}`)
    for (const cluster of holders) {
      const opened = await open(cluster, target)
      if (opened instanceof ClusterError) {
        failure = opened
        continue
      }
      try {
        if (options.travels(opened.upload.header.sopClassUID)) yield opened.upload
      } finally {
        await opened.close()
      }
      return
    }
    options.failed(failure)
  }

  async function open(cluster: Cluster, target: ListedInstance): Promise<Opened | ClusterError> {
    let close = async () => {}
    try {
      const parts = (await retrieve(cluster, target))[Symbol.asyncIterator]()
      close = async () => void (await parts.return?.())
      const { done, value } = await parts.next()
      if (done) throw new ClusterError(cluster.id, 'malformed', `lists instance ${target.instance} but sends nothing`)
      const upload = await uploadIn(cluster, value)
      const { studyInstanceUID: study, sopInstanceUID: instance } = upload.header
      if (study === target.study && instance === target.instance) return { upload, close }
      throw new ClusterError(cluster.id, 'malformed', `answered with another instance than ${target.instance}`)
    } catch (thrown) {
      await close()
      if (!(thrown instanceof ClusterError)) throw thrown
      return thrown
    }
  }

  function retrieve(cluster: Cluster, target: Target): Promise<Parts> {
    return cluster.retrieve({ kind: 'instances', target, transferSyntax: '*', patient: true }, signal)
  }

  async function uploadIn(cluster: Cluster, part: Part): Promise<InstanceUpload> {
    const { header, body } = await sniffPart(cluster, part)
    const { body: whole, held } = await holdBack({ ...part, body }, options.maxBufferedPartBytes)
    return { header, body: whole, ...(held && { held }) }
  }
}

interface Opened {
  readonly upload: InstanceUpload
  close(): Promise<void>
}

interface Series {
  readonly cluster: Cluster
  readonly target: Target
}

type InstancesBySeries = ReadonlyMap<Uid, number>

function instancesBySeries(inventory: Holdings): InstancesBySeries {
  const counts = new Map<Uid, number>()
  for (const { series } of inventory.values()) counts.set(series, (counts.get(series) ?? 0) + 1)
  return counts
}

/** At the best location of its first instance, unless more of what is there is not missing than is. */
function wholeSeries(group: readonly Missing[], held: ReadonlyMap<Cluster, InstancesBySeries>): Series | undefined {
  const first = group[0]
  const cluster = first?.holders[0]
  if (!cluster) return undefined
  const { study, series } = first.target
  const wanted = group.filter(({ holders }) => holders.includes(cluster)).length
  const there = held.get(cluster)?.get(series) ?? 0
  return wanted > 1 && 2 * wanted >= there && there > 0 ? { cluster, target: { study, series } } : undefined
}

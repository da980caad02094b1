import type { Cluster } from '../clusters/cluster.ts'
import type { LinkClient } from '../clusters/link-client.ts'
import type { Clock } from '../core/clock.ts'
import { ClusterError } from '../core/outcome.ts'
import { uidsDigest } from '../dicom/digest.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Travels } from '../link/travels.ts'
import { isDominated, type Version } from '../link/version.ts'
import type { Holdings } from './holdings.ts'
import { whatLacks } from './holdings.ts'
import { HoldingsReader } from './holdings-reader.ts'
import type { SweepTarget } from './sweep.ts'

interface Common {
  /** `holders`: it is to complete only the studies that it holds something of. */
  readonly updates: 'all' | 'holders'
  readonly travels: Travels
}

export interface SweptArchive extends Common {
  readonly cluster: Cluster
  /** What it refuses for good is not missed there. */
  readonly refusedOf: (study: Uid) => Promise<ReadonlySet<Uid>>
  readonly clock: Clock
}

/** A plain archive: its lists are compared with those of home. */
export const sweptArchive = ({ cluster, updates, travels, refusedOf, clock }: SweptArchive): SweepTarget => ({
  id: cluster.id,
  async differing(studies, signal) {
    const read = await new HoldingsReader(cluster, { clock, signal }).of([...studies.keys()])
    const found: Uid[] = []
    let failure: ClusterError | undefined
    for (const [study, own] of studies) {
      const theirs = read.get(study)
      if (theirs instanceof ClusterError) failure = theirs
      if (theirs === undefined || theirs instanceof ClusterError) continue
      if (theirs.size === 0 && updates === 'holders') continue
      const lacking = whatLacks(theirs, [own], travels)
      const refused = lacking.length > 0 ? await refusedOf(study) : new Set<Uid>()
      if (lacking.some(({ instance }) => !refused.has(instance))) found.push(study)
    }
    if (failure && found.length === 0) throw failure
    return found
  },
})

export interface SweptPeer extends Common {
  readonly id: string
  readonly link: Pick<LinkClient, 'digests'>
  /** The changes that this site has. */
  readonly versionsOf: (studies: readonly Uid[]) => Promise<ReadonlyMap<Uid, Version>>
}

const pageSize = 200
/** A site with more changes than this says the same over and over. */
const maxPages = 1000
/**
 * Changes that were being written when a page was read, and those of a clock that runs behind, are found by asking again
 * from a little earlier on.
 */
const overlapMs = 600_000

/** Another site: it tells digests of what it has. */
export function sweptPeer({ id, link, updates, travels, versionsOf }: SweptPeer): SweepTarget {
  return {
    id,
    async differing(studies, signal) {
      const asked = [...studies.keys()]
      if (asked.length === 0) return []
      const { studies: told } = await link.digests({ studies: asked }, signal)
      const theirs = new Map(told.map((it) => [it.study, it]))
      const ours = await versionsOf(asked)
      return asked.filter((study) => {
        const their = theirs.get(study)
        if (their === undefined && updates === 'holders') return false
        if (!isDominated(ours.get(study) ?? {}, their?.version ?? {})) return true
        return (their?.digest ?? nothing) !== digestOf(studies.get(study), travels)
      })
    },
    async *changed(since, signal) {
      const from = new Date(since.getTime() - overlapMs)
      let cursor: string | undefined
      for (let page = 0; page < maxPages; page++) {
        const { studies, next } = await link.digests({ since: from, cursor, limit: pageSize }, signal)
        yield studies.map(({ study }) => study)
        cursor = next
        if (cursor === undefined || studies.length === 0) return
      }
    },
  }
}

const digestOf = (held: Holdings | undefined, travels: Travels): string =>
  uidsDigest([...(held?.values() ?? [])].filter(({ sopClass }) => travels(sopClass)).map(({ instance }) => instance))

const nothing = uidsDigest([])

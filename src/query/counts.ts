import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import { type Budget, untilAborted } from '../clusters/fan-out.ts'
import { takeInventory } from '../clusters/inventory.ts'
import { type Dataset, firstNumber, firstString, type Tag } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { SeriesFacts } from './facts.ts'
import type { Level, MergedRow } from './merge.ts'

/** Bounded in UIDs, about 150 bytes each; and in time, for clusters whose rows carry no count that could change. */
const remembered = { sizeCalculation: ({ size }: { readonly size: number }) => size + 1, ttl: 300_000 }

/** Rows recounted at the same time for one query. */
const atOnce = 8

/** Whether counts of a row can differ from those of its copies. */
export const isShared = (level: Level, { copies }: MergedRow): boolean => copies.length > 1 && level !== 'instance'

/**
 * Makes the counts of rows held by several clusters those of the union: distinct UIDs, never a sum.
 * Of a study held twice the copies' series are compared, all studies of a page in one question a cluster; of a
 * series whose copies differ in size the instance UIDs. Copies of a series that are of one size are taken for the same.
 * What a cluster told is remembered until it tells another count.
 */
export class Counts {
  readonly #facts: SeriesFacts
  readonly #instances = new LRUCache<string, ReadonlySet<Uid>>({ ...remembered, maxSize: 400_000 })

  constructor(facts: SeriesFacts) {
    this.#facts = facts
  }

  /**
   * `rows` of which the facts are known, as far as their clusters told them. `inexact` lists those whose counts stayed
   * the largest of the copies' because a cluster did not tell more.
   */
  async correct(
    level: Level,
    rows: readonly MergedRow[],
    clusters: readonly Cluster[],
    budget: Budget,
  ): Promise<{ rows: MergedRow[]; inexact: string[] }> {
    const shared = [...rows.entries()].filter(([, row]) => isShared(level, row))
    const corrected = [...rows]
    const inexact: string[] = []
    await inParallel(shared, async ([index, row]) => {
      const counts = await this.#count(level, row, clusters, budget)
      if (counts) corrected[index] = { ...row, dataset: withCounts(row.dataset, counts) }
      else inexact.push(row.uid)
    })
    return { rows: corrected, inexact }
  }

  async #count(level: Level, row: MergedRow, clusters: readonly Cluster[], budget: Budget) {
    try {
      if (level === 'series') return await this.#countSeries(row, clusters, budget)
      return await this.#countStudy(row, clusters, budget)
    } catch {
      // The cluster's failure is in its health already; here it only means that the count stays an estimate.
      budget.throwIfCallerLeft()
      return undefined
    }
  }

  async #countSeries({ uid, dataset, copies }: MergedRow, clusters: readonly Cluster[], budget: Budget) {
    const told = copies.map(({ row }) => firstNumber(row, tag.NumberOfSeriesRelatedInstances))
    if (new Set(told).size === 1) return {}
    const study = firstString(dataset, tag.StudyInstanceUID)
    if (!isUid(study) || !isUid(uid)) return undefined
    const holders = copies.map((copy, index) => ({ cluster: copy.cluster, count: told[index] }))
    return { [tag.NumberOfSeriesRelatedInstances]: await this.#unionOf(study, uid, holders, clusters, budget) }
  }

  async #countStudy({ uid, copies }: MergedRow, clusters: readonly Cluster[], budget: Budget) {
    const held = new Map<Uid, { cluster: string; count: number | undefined }[]>()
    for (const copy of copies) {
      const census = this.#facts.of(copy)?.series
      if (!census || !isUid(uid)) return undefined
      for (const [series, count] of census)
        held.set(series, [...(held.get(series) ?? []), { cluster: copy.cluster, count }])
    }
    let instances = 0
    for (const [series, holders] of held)
      instances += await this.#unionOf(uid as Uid, series, holders, clusters, budget)
    return { [tag.NumberOfStudyRelatedSeries]: held.size, [tag.NumberOfStudyRelatedInstances]: instances }
  }

  /** Distinct instances of one series over its holders. */
  async #unionOf(
    study: Uid,
    series: Uid,
    holders: readonly { readonly cluster: string; readonly count: number | undefined }[],
    clusters: readonly Cluster[],
    budget: Budget,
  ): Promise<number> {
    const [first] = holders
    if (first?.count !== undefined && holders.every(({ count }) => count === first.count)) return first.count
    const listed = await Promise.all(
      holders.map(async ({ cluster: id, count }) => {
        const key = [id, study, series, count].join('|')
        const known = count === undefined ? undefined : this.#instances.get(key)
        if (known) return known
        const cluster = clusters.find((it) => it.id === id)
        if (!cluster) throw new Error(`no cluster ${id}`)
        const signal = budget.signalFor(cluster)
        const inventory = await untilAborted(takeInventory(cluster, { study, series }, signal), signal)
        const instances = new Set(inventory.keys())
        this.#instances.set(key, instances)
        return instances
      }),
    )
    return new Set(listed.flatMap((instances) => [...instances])).size
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker))
}

/** Only what the row carries anyway. */
function withCounts(dataset: Dataset, counts: Readonly<Record<Tag, number>>): Dataset {
  const present = Object.entries(counts).filter(([key]) => dataset[key] !== undefined)
  return { ...dataset, ...Object.fromEntries(present.map(([key, value]) => [key, { vr: 'IS', Value: [value] }])) }
}

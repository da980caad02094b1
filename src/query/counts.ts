import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import type { Budget } from '../clusters/fan-out.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import { type Dataset, firstNumber, firstString, type Tag } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { type Copy, countTags, type Level, type MergedRow } from './merge.ts'

/** Rows whose inventories are taken at the same time for one query. */
const atOnce = 8

/**
 * Makes the counts of rows held by several clusters those of the union: distinct UIDs, never a sum (wire contract
 * 2.4). Copies that agree on their counts are taken for the same; where they differ the instance UIDs are compared.
 * A study's inventory at a cluster is remembered until the cluster tells another count.
 */
export class Counts {
  readonly #inventories = new LRUCache<string, Inventory>({
    maxSize: 2_000_000,
    sizeCalculation: ({ size }) => size + 1,
  })

  /** `inexact` lists the rows whose counts stayed the largest of the copies' because an inventory was not to be had. */
  async correct(
    level: Level,
    rows: readonly MergedRow[],
    clusterOf: (id: string) => Cluster | undefined,
    budget: Budget,
  ): Promise<{ rows: MergedRow[]; inexact: string[] }> {
    const corrected = [...rows]
    const inexact: string[] = []
    const queue = [...rows.entries()].filter(([, row]) => countsDiffer(row))
    const work = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const [index, row] = next
        const dataset = await this.#recount(level, row, clusterOf, budget)
        if (dataset) corrected[index] = { ...row, dataset }
        else inexact.push(row.uid)
      }
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, work))
    return { rows: corrected, inexact }
  }

  async #recount(
    level: Level,
    row: MergedRow,
    clusterOf: (id: string) => Cluster | undefined,
    budget: Budget,
  ): Promise<Dataset | undefined> {
    const study = firstString(row.dataset, tag.StudyInstanceUID)
    if (!isUid(study)) return undefined
    const series = level === 'series' && isUid(row.uid) ? row.uid : undefined
    try {
      const inventories = await Promise.all(
        row.copies.map((copy) => this.#inventory(copy, study, series, clusterOf(copy.cluster), budget)),
      )
      return withCounts(row.dataset, inventories)
    } catch {
      // The cluster's failure is in its health already; here it only means that the count stays an estimate.
      budget.throwIfCallerLeft()
      return undefined
    }
  }

  async #inventory(copy: Copy, study: Uid, series: Uid | undefined, cluster: Cluster | undefined, budget: Budget) {
    const told = countTags.map((key) => firstString(copy.row, key) ?? '')
    const key = [copy.cluster, study, series ?? '', ...told].join('|')
    const known = this.#inventories.get(key)
    if (known) return known
    if (!cluster) throw new Error(`no cluster ${copy.cluster}`)
    const inventory = await takeInventory(cluster, { study, ...(series && { series }) }, budget.signalFor(cluster))
    this.#inventories.set(key, inventory)
    return inventory
  }
}

const countsDiffer = ({ copies }: MergedRow) =>
  copies.length > 1 && countTags.some((key) => new Set(copies.map(({ row }) => firstNumber(row, key))).size > 1)

function withCounts(dataset: Dataset, inventories: readonly Inventory[]): Dataset {
  const instances = new Set(inventories.flatMap((inventory) => [...inventory.keys()]))
  const series = new Set(inventories.flatMap((inventory) => [...inventory.values()]))
  const counts: Record<Tag, number> = {
    [tag.NumberOfStudyRelatedSeries]: series.size,
    [tag.NumberOfStudyRelatedInstances]: instances.size,
    [tag.NumberOfSeriesRelatedInstances]: instances.size,
  }
  const present = Object.entries(counts).filter(([key]) => dataset[key] !== undefined)
  return { ...dataset, ...Object.fromEntries(present.map(([key, value]) => [key, { vr: 'IS', Value: [value] }])) }
}

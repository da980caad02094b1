import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import type { Budget } from '../clusters/fan-out.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import { type Dataset, firstNumber, firstString, type Tag } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { type Copy, countTags, type Level, type MergedRow } from './merge.ts'
import { SeriesLists, type StudyCopy, tallyOf } from './series-lists.ts'

/** Rows whose inventories are taken at the same time for one query. */
const atOnce = 8

/**
 * Makes the counts of rows held by several clusters those of the union: distinct UIDs, never a sum (wire contract
 * 2.4). Copies of a series that agree on their count are taken for the same; where they differ the instance UIDs are
 * compared. An inventory is remembered until the cluster tells another count.
 */
export class Counts {
  readonly #seriesLists = new SeriesLists()
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
    const inexact: string[] = []
    const tallied = level === 'study' ? await this.#bySeries(rows, clusterOf, budget) : rows.map(unlessCountsDiffer)
    const corrected = rows.map((row, index) => tallied[index] ?? row)
    const queue = [...rows.entries()].filter(([index]) => tallied[index] === undefined)
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

  /** Studies whose series tell what the union is; `undefined` in the place of those whose instances have to. */
  async #bySeries(
    rows: readonly MergedRow[],
    clusterOf: (id: string) => Cluster | undefined,
    budget: Budget,
  ): Promise<(MergedRow | undefined)[]> {
    const copies = rows.map(copiesOf)
    const listOf = await this.#seriesLists.of(copies.flat(), clusterOf, budget)
    return rows.map((row, index) => {
      const lists = copies[index]?.map(listOf) ?? []
      if (lists.length === 0 || lists.includes(undefined)) return unlessCountsDiffer(row)
      const tally = tallyOf(lists.filter((list) => list !== undefined))
      return tally && { ...row, dataset: withCounts(row.dataset, tally) }
    })
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
      return withCounts(row.dataset, {
        instances: new Set(inventories.flatMap((inventory) => [...inventory.keys()])).size,
        series: new Set(inventories.flatMap((inventory) => [...inventory.values()])).size,
      })
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

/** Those of a study that has several; a single copy counts itself. */
const copiesOf = ({ uid, copies }: MergedRow): StudyCopy[] =>
  copies.length > 1 && isUid(uid) ? copies.map((copy) => ({ study: uid, copy })) : []

const unlessCountsDiffer = (row: MergedRow): MergedRow | undefined => (countsDiffer(row) ? undefined : row)

function withCounts(dataset: Dataset, { series, instances }: { series: number; instances: number }): Dataset {
  const counts: Record<Tag, number> = {
    [tag.NumberOfStudyRelatedSeries]: series,
    [tag.NumberOfStudyRelatedInstances]: instances,
    [tag.NumberOfSeriesRelatedInstances]: instances,
  }
  const present = Object.entries(counts).filter(([key]) => dataset[key] !== undefined)
  return { ...dataset, ...Object.fromEntries(present.map(([key, value]) => [key, { vr: 'IS', Value: [value] }])) }
}

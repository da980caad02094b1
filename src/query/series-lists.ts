import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import { type Dataset, firstNumber, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { type Copy, countTags } from './merge.ts'

/** Series of one copy of a study, with the number of instances where the cluster told it. */
export type SeriesList = ReadonlyMap<Uid, number | undefined>

export interface StudyCopy {
  readonly study: Uid
  readonly copy: Copy
}

/** Series asked of one cluster for one page at most. */
const maxSeries = 100_000

/**
 * Which series copies of studies consist of: one question a cluster for all copies of a page, remembered until the
 * cluster tells other counts.
 */
export class SeriesLists {
  readonly #known = new LRUCache<string, SeriesList>({ maxSize: 500_000, sizeCalculation: ({ size }) => size + 1 })

  /** Undefined where a cluster did not say: it failed, or offers no search for series over several studies. */
  async of(
    copies: readonly StudyCopy[],
    clusterOf: (id: string) => Cluster | undefined,
    budget: Budget,
  ): Promise<(of: StudyCopy) => SeriesList | undefined> {
    const unknown = copies.filter((it) => !this.#known.has(keyOf(it)))
    const byCluster = Map.groupBy(unknown, ({ copy }) => copy.cluster)
    const clusters = [...byCluster.keys()].flatMap((id) => clusterOf(id) ?? [])
    await fanOut(clusters, budget, (cluster, signal) => this.#ask(cluster, byCluster.get(cluster.id) ?? [], signal))
    return (of) => this.#known.get(keyOf(of))
  }

  async #ask(cluster: Cluster, copies: readonly StudyCopy[], signal: AbortSignal): Promise<void> {
    const studies = copies.map(({ study }) => study).join(',')
    const { rows, truncated } = await cluster.search(
      {
        level: 'series',
        constraints: [{ path: [tag.StudyInstanceUID], value: studies }],
        includeFields: [tag.StudyInstanceUID, tag.NumberOfSeriesRelatedInstances],
        limit: maxSeries,
      },
      signal,
    )
    if (truncated) return
    const byStudy = Map.groupBy(rows, (row) => firstString(row, tag.StudyInstanceUID))
    for (const of of copies) {
      const list = seriesIn(byStudy.get(of.study) ?? [])
      if (list.size > 0) this.#known.set(keyOf(of), list)
    }
  }
}

const keyOf = ({ study, copy }: StudyCopy): string =>
  [copy.cluster, study, ...countTags.map((key) => firstString(copy.row, key) ?? '')].join('|')

const seriesIn = (rows: readonly Dataset[]): SeriesList =>
  new Map(
    rows.flatMap((row) => {
      const uid = firstString(row, tag.SeriesInstanceUID)
      return isUid(uid) ? [[uid, firstNumber(row, tag.NumberOfSeriesRelatedInstances)] as const] : []
    }),
  )

/**
 * Series and instances of the union of copies, when the copies of each series agree on how many instances it has;
 * `undefined` when only the instances themselves can tell.
 */
export function tallyOf(lists: readonly SeriesList[]): { series: number; instances: number } | undefined {
  const union = new Map<Uid, number>()
  for (const [uid, instances] of lists.flatMap((list) => [...list])) {
    if (instances === undefined || (union.get(uid) ?? instances) !== instances) return undefined
    union.set(uid, instances)
  }
  return { series: union.size, instances: [...union.values()].reduce((sum, count) => sum + count, 0) }
}

import { LRUCache } from 'lru-cache'
import type { Cluster } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import { ClusterError, type Outcome } from '../core/outcome.ts'
import { type Attribute, type Dataset, firstNumber, firstString } from '../dicom/dataset.ts'
import { isBlank } from '../dicom/patient.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { seriesMappingFields } from '../link/mappings.ts'
import { type Copy, compareText, countTags } from './merge.ts'

/** What the series of one copy of a study say. */
export interface Facts {
  /** Series Instance UID → instances, `undefined` where the cluster does not count them. */
  readonly series: ReadonlyMap<Uid, number | undefined>
  /** Of the first series by UID that has one. */
  readonly description?: Attribute
  /** What mapping tables look at. */
  readonly rows: readonly Dataset[]
}

/** Bounded in UIDs, some hundred bytes each; and in time, for clusters whose rows carry nothing that could change. */
const remembered = { sizeCalculation: ({ rows }: Facts) => rows.length + 1, maxSize: 100_000, ttl: 300_000 }

/** More series than the studies of a page have. */
const maxSeries = 100_000

/**
 * What is to be known of a study from its series: how many instances each has, for counts of the union; its
 * description, which archives that describe a study by one of its objects lose when that object is a report; body parts
 * and institutions. One question a cluster for all studies that it was not asked about since they changed.
 */
export class SeriesFacts {
  readonly #known = new LRUCache<string, Facts>(remembered)

  of(copy: Pick<Copy, 'cluster' | 'row'>): Facts | undefined {
    return this.#known.get(versionOf(copy))
  }

  /** Asks for what is not known of these copies; outcomes are of the clusters that were asked. */
  async learn(
    copies: readonly Pick<Copy, 'cluster' | 'row'>[],
    clusters: readonly Cluster[],
    budget: Budget,
  ): Promise<Outcome<unknown>[]> {
    const unknown = Map.groupBy(
      copies.filter((copy) => !this.#known.has(versionOf(copy))),
      ({ cluster }) => cluster,
    )
    const asked = clusters.filter(({ id }) => unknown.has(id))
    return fanOut(asked, budget, async (cluster, signal) => {
      const wanted = unknown.get(cluster.id) ?? []
      const byStudy = await seriesOf(cluster, wanted, signal)
      for (const copy of wanted) {
        const rows = byStudy.get(firstString(copy.row, tag.StudyInstanceUID) ?? '')
        // A study that is there has series: a cluster that lists none does not answer such questions.
        if (rows) this.#known.set(versionOf(copy), factsIn(rows))
      }
    })
  }
}

/** What a cluster says of a study's size and last change is the version of what is remembered of it. */
export const versionOf = ({ cluster, row }: Pick<Copy, 'cluster' | 'row'>): string =>
  [cluster, ...versionTags.map((key) => firstString(row, key) ?? '')].join('|')

const versionTags = [tag.StudyInstanceUID, ...countTags, tag.StudyUpdateDateTime]

async function seriesOf(cluster: Cluster, copies: readonly Pick<Copy, 'row'>[], signal: AbortSignal) {
  const studies = copies.flatMap(({ row }) => firstString(row, tag.StudyInstanceUID) ?? [])
  const { rows, truncated } = await cluster.search(
    {
      level: 'series',
      constraints: [{ path: [tag.StudyInstanceUID], value: [...new Set(studies)].join(',') }],
      includeFields,
      limit: maxSeries,
    },
    signal,
  )
  if (truncated) throw new ClusterError(cluster.id, 'too-large', 'lists more series than are taken')
  return Map.groupBy(rows, (row) => firstString(row, tag.StudyInstanceUID) ?? '')
}

const includeFields = [
  tag.StudyInstanceUID,
  tag.NumberOfSeriesRelatedInstances,
  tag.StudyDescription,
  ...seriesMappingFields,
]

/** By series, so that nothing depends on the order in which they came. */
function factsIn(rows: readonly Dataset[]): Facts {
  const sorted = rows.toSorted((a, b) => compareText(uidOf(a), uidOf(b)))
  const series = new Map<Uid, number | undefined>()
  for (const row of sorted) {
    const uid = uidOf(row)
    if (isUid(uid)) series.set(uid, firstNumber(row, tag.NumberOfSeriesRelatedInstances))
  }
  const description = sorted.map((row) => row[tag.StudyDescription]).find((it) => !isBlank(it))
  return { series, ...(description && { description }), rows: sorted.map(shortened) }
}

/** Only what is used later: rows are kept for long. */
const shortened = (row: Dataset): Dataset =>
  Object.fromEntries(seriesMappingFields.flatMap((key) => (row[key] ? [[key, row[key]] as const] : [])))

const uidOf = (row: Dataset): string => firstString(row, tag.SeriesInstanceUID) ?? ''

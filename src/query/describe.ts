import { LRUCache } from 'lru-cache'
import type { Cluster, SearchAnswer, SearchRequest } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import type { Outcome } from '../core/outcome.ts'
import { type Attribute, type Dataset, firstString } from '../dicom/dataset.ts'
import { isBlank } from '../dicom/patient.ts'
import { tag } from '../dicom/tags.ts'
import { versionOf } from './counts.ts'
import { compareText, type MergedRow, type Copy as RankedCopy } from './merge.ts'

/** Studies one cluster is asked about for one query, and series that they have at most. */
const maxStudies = 500
const maxSeries = 100_000

/**
 * Study Description is optional in every object (type 3, PS3.3 C.7.2.1), and viewers leave it out of the reports they
 * save. Archives that describe a study by one of its objects, as Orthanc does by the newest, match by the description
 * and then answer without it. It is had from the study's series, which are described by objects of their own; what a
 * cluster told is remembered until it tells other counts.
 */
export class Descriptions {
  readonly #told = new LRUCache<string, { readonly attribute?: Attribute }>({ max: 50_000, ttl: 300_000 })

  /** For a query that is constrained by it: rows that lack it get it, so that they can be checked. */
  async ofAnswers(outcomes: readonly Outcome<SearchAnswer>[], clusters: readonly Cluster[], budget: Budget) {
    const bare = outcomes.flatMap((outcome) =>
      outcome.status === 'ok' ? lacking(outcome.value.rows).map((row) => ({ cluster: outcome.cluster, row })) : [],
    )
    const asked = await this.#ask(bare, clusters, budget)
    const answers = outcomes.map((outcome): Outcome<SearchAnswer> => {
      if (outcome.status !== 'ok') return outcome
      const rows = outcome.value.rows.map((row) => this.#withDescription(row, [{ cluster: outcome.cluster, row }]))
      return { ...outcome, value: { ...outcome.value, rows } }
    })
    return { answers, outcomes: asked }
  }

  /** For what is shown: merged rows that lack it get that of their most believed copy. */
  async ofRows(rows: readonly MergedRow[], clusters: readonly Cluster[], budget: Budget) {
    const bare = rows.filter(({ dataset }) => isBlank(dataset[tag.StudyDescription]))
    const asked = await this.#ask(
      bare.flatMap(({ copies }) => copies),
      clusters,
      budget,
    )
    const described = rows.map((row) => ({ ...row, dataset: this.#withDescription(row.dataset, row.copies) }))
    return { rows: described, outcomes: asked }
  }

  /** One question a cluster, for the studies that it was not asked about since they changed. */
  async #ask(bare: readonly Copy[], clusters: readonly Cluster[], budget: Budget): Promise<Outcome<unknown>[]> {
    const unknown = Map.groupBy(
      bare.filter((copy) => !this.#told.has(versionOf(copy))),
      ({ cluster }) => cluster,
    )
    return fanOut(
      clusters.filter(({ id }) => unknown.has(id)),
      budget,
      async (cluster, signal) => {
        const copies = (unknown.get(cluster.id) ?? []).slice(0, maxStudies)
        const found = await descriptionsOf(cluster, copies, signal)
        for (const copy of copies) {
          const attribute = found.get(firstString(copy.row, tag.StudyInstanceUID))
          this.#told.set(versionOf(copy), attribute ? { attribute } : {})
        }
      },
    )
  }

  #withDescription(row: Dataset, copies: readonly Copy[]): Dataset {
    if (!isBlank(row[tag.StudyDescription])) return row
    const attribute = copies.map((copy) => this.#told.get(versionOf(copy))?.attribute).find((it) => it)
    return attribute ? { ...row, [tag.StudyDescription]: attribute } : row
  }
}

type Copy = Pick<RankedCopy, 'cluster' | 'row'>

/** Whether a client sees the description, or asks by it. */
export const showsDescription = ({ level, includeFields }: SearchRequest): boolean =>
  level === 'study' && includeFields.includes(tag.StudyDescription)

export const asksByDescription = ({ level, constraints }: SearchRequest): boolean =>
  level === 'study' && constraints.some(({ path, value }) => path[0] === tag.StudyDescription && value !== '')

const lacking = (rows: readonly Dataset[]) => rows.filter((row) => isBlank(row[tag.StudyDescription]))

/** By study; where its series disagree that of the first by UID, whatever the order in which they came. */
async function descriptionsOf(cluster: Cluster, copies: readonly Copy[], signal: AbortSignal) {
  const studies = copies.flatMap(({ row }) => firstString(row, tag.StudyInstanceUID) ?? [])
  const { rows } = await cluster.search(
    {
      level: 'series',
      constraints: [{ path: [tag.StudyInstanceUID], value: studies.join(',') }],
      includeFields: [tag.StudyInstanceUID, tag.StudyDescription],
      limit: maxSeries,
    },
    signal,
  )
  const described = rows
    .filter((row) => !isBlank(row[tag.StudyDescription]))
    .toSorted((a, b) => compareText(seriesOf(b), seriesOf(a)))
  return new Map(described.map((row) => [firstString(row, tag.StudyInstanceUID), row[tag.StudyDescription]]))
}

const seriesOf = (row: Dataset): string => firstString(row, tag.SeriesInstanceUID) ?? ''

import { LRUCache } from 'lru-cache'
import type { Cluster, SearchAnswer, SearchConstraint, SearchRequest } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import type { Outcome } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid } from '../dicom/uid.ts'
import { type Copy, identityOf, type Level, type MergedRow, mergeCopies, uidTag } from './merge.ts'
import type { ClusterPlan } from './plan.ts'

export interface Completed {
  readonly rows: MergedRow[]
  readonly outcomes: Outcome<unknown>[]
}

/** How long it is believed that a cluster has no copy of a study, in milliseconds: pages are asked for again and again. */
const absentMs = 20_000

/**
 * A filter hides halves: CT at one cluster, MR of the same study at another. Asks the clusters that did not show a
 * row whether they hold it too, by UID list and without the filter, and merges what they say.
 */
export class Completion {
  readonly #absent = new LRUCache<string, true>({ max: 200_000, ttl: absentMs })

  async complete(
    level: Level,
    rows: readonly MergedRow[],
    plans: readonly ClusterPlan[],
    budget: Budget,
  ): Promise<Completed> {
    const lists = new Map<Cluster, string[]>()
    const requests = new Map<Cluster, SearchRequest>()
    for (const { cluster, request } of plans) {
      const uids = unseenAt(cluster.id, rows).filter((uid) => !this.#absent.has(`${cluster.id}|${uid}`))
      if (uids.length === 0) continue
      lists.set(cluster, uids)
      requests.set(cluster, byUid(level, request, uids, rows))
    }
    const outcomes = await fanOut([...lists.keys()], budget, (cluster, signal) =>
      cluster.search(requests.get(cluster) as SearchRequest, signal),
    )
    const ranks = new Map(plans.map(({ cluster, rank }) => [cluster.id, rank]))
    const more = outcomes.flatMap((outcome) => {
      if (outcome.status !== 'ok') return []
      const { cluster, value } = outcome
      return value.rows.map((row): Copy => ({ cluster, rank: ranks.get(cluster) ?? 0, row }))
    })
    this.#rememberAbsent(level, lists, outcomes, more)
    return { rows: more.length === 0 ? [...rows] : addCopies(level, rows, more), outcomes }
  }

  #rememberAbsent(
    level: Level,
    lists: ReadonlyMap<Cluster, readonly string[]>,
    outcomes: readonly Outcome<SearchAnswer>[],
    more: readonly Copy[],
  ): void {
    const found = new Set(more.map(({ cluster, row }) => `${cluster}|${firstString(row, uidTag[level])}`))
    const answered = new Set(
      outcomes.flatMap((outcome) => (outcome.status === 'ok' && !outcome.value.truncated ? [outcome.cluster] : [])),
    )
    for (const [{ id }, uids] of lists) {
      if (!answered.has(id)) continue
      for (const key of uids.map((uid) => `${id}|${uid}`)) if (!found.has(key)) this.#absent.set(key, true)
    }
  }
}

/** Whether a filter can have hidden a copy: a search by nothing but UIDs, or by nothing, shows all copies there are. */
export function canHide(level: Level, constraints: readonly SearchConstraint[]): boolean {
  if (level === 'instance') return false
  const uids: ReadonlySet<string | undefined> = new Set([tag.StudyInstanceUID, tag.SeriesInstanceUID])
  return constraints.some(({ path, value }) => value !== '' && !(path.length === 1 && uids.has(path[0])))
}

const unseenAt = (cluster: string, rows: readonly MergedRow[]) =>
  rows.filter(({ copies }) => copies.every((copy) => copy.cluster !== cluster)).map(({ uid }) => uid)

function byUid(level: Level, request: SearchRequest, uids: readonly string[], rows: readonly MergedRow[]) {
  const wanted = new Set(uids)
  const studies = level === 'series' ? rows.filter(({ uid }) => wanted.has(uid)).map(({ dataset }) => dataset) : []
  return {
    ...request,
    ...(request.study === undefined && sharedStudy(studies)),
    constraints: [{ path: [uidTag[level]], value: uids.join(',') }],
    limit: uids.length,
    ...(request.link && { link: [] }),
  }
}

/** Series of one study are asked for below it: archives answer that from an index, a search over all series may not be. */
function sharedStudy(rows: readonly Dataset[]): Pick<SearchRequest, 'study'> {
  const studies = new Set(rows.map((row) => firstString(row, tag.StudyInstanceUID)))
  const [study] = studies
  return studies.size === 1 && isUid(study) ? { study } : {}
}

function addCopies(level: Level, rows: readonly MergedRow[], more: readonly Copy[]): MergedRow[] {
  const byRow = Map.groupBy(more, ({ row }) => identityOf(level, row))
  return rows.map((row) => {
    const found = (byRow.get(identityOf(level, row.dataset)) ?? []).filter((copy) =>
      row.copies.every(({ cluster }) => cluster !== copy.cluster),
    )
    return found.length > 0 ? mergeCopies(level, [...row.copies, ...found]) : row
  })
}

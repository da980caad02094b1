import type { Cluster, SearchRequest } from '../clusters/cluster.ts'
import { type Budget, fanOut } from '../clusters/fan-out.ts'
import type { Outcome } from '../core/outcome.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid } from '../dicom/uid.ts'
import { type Copy, identityOf, type Level, type MergedRow, mergeCopies, uidTag } from './merge.ts'

/**
 * A filter hides halves: CT at one cluster, MR of the same study at another. Asks the clusters that did not show a
 * row of this page whether they hold it too, by UID list and without the filter, and merges what they say.
 */
export async function completeRows(
  level: Level,
  page: readonly MergedRow[],
  asked: { clusters: readonly Cluster[]; request: SearchRequest; rankOf: (cluster: string) => number },
  budget: Budget,
): Promise<{ rows: MergedRow[]; outcomes: Outcome<unknown>[] }> {
  const hidden = asked.clusters.map((cluster) => ({ cluster, uids: uidsNotSeenAt(cluster.id, page) }))
  const lists = new Map(hidden.filter(({ uids }) => uids.length > 0).map(({ cluster, uids }) => [cluster.id, uids]))
  const outcomes = await fanOut(
    asked.clusters.filter(({ id }) => lists.has(id)),
    budget,
    (cluster, signal) => cluster.search(byUid(level, asked.request, lists.get(cluster.id) ?? [], page), signal),
  )
  const more = outcomes.flatMap((outcome) =>
    outcome.status === 'ok'
      ? outcome.value.rows.map((row) => ({ cluster: outcome.cluster, rank: asked.rankOf(outcome.cluster), row }))
      : [],
  )
  return { rows: addCopies(level, page, more), outcomes }
}

/** Whether a filter can have hidden a copy: a search by nothing but UIDs, or by nothing, shows all copies there are. */
export function canHide(level: Level, request: SearchRequest): boolean {
  if (level === 'instance') return false
  const uids: ReadonlySet<string | undefined> = new Set([tag.StudyInstanceUID, tag.SeriesInstanceUID])
  return request.constraints.some(({ path, value }) => value !== '' && !(path.length === 1 && uids.has(path[0])))
}

const uidsNotSeenAt = (cluster: string, page: readonly MergedRow[]) =>
  page.filter(({ copies }) => copies.every((copy) => copy.cluster !== cluster)).map(({ uid }) => uid)

function byUid(level: Level, request: SearchRequest, uids: readonly string[], page: readonly MergedRow[]) {
  const wanted = new Set(uids)
  const studies = level === 'series' ? page.filter(({ uid }) => wanted.has(uid)).map(({ dataset }) => dataset) : []
  return {
    ...request,
    ...(request.study === undefined && sharedStudy(studies)),
    constraints: [{ path: [uidTag[level]], value: uids.join(',') }],
    limit: uids.length,
  }
}

/** Series of one study are asked for below it: archives answer that from an index, a search over all series may not be. */
function sharedStudy(rows: readonly Dataset[]): Pick<SearchRequest, 'study'> {
  const studies = new Set(rows.map((row) => firstString(row, tag.StudyInstanceUID)))
  const [study] = studies
  return studies.size === 1 && isUid(study) ? { study } : {}
}

function addCopies(level: Level, page: readonly MergedRow[], more: readonly Copy[]): MergedRow[] {
  const byRow = Map.groupBy(more, ({ row }) => identityOf(level, row))
  return page.map((row) => {
    const found = (byRow.get(identityOf(level, row.dataset)) ?? []).filter((copy) =>
      row.copies.every(({ cluster }) => cluster !== copy.cluster),
    )
    return found.length > 0 ? mergeCopies(level, [...row.copies, ...found]) : row
  })
}

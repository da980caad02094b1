import { LRUCache } from 'lru-cache'
import type { SearchAnswer, SearchConstraint, SearchRequest } from '../clusters/cluster.ts'
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

/** How long it is believed that clusters have no copy of a study, in milliseconds: pages are asked for again and again. */
const absentMs = 20_000
/** Pairs of a study and a cluster remembered. */
const maxAbsent = 1_000_000

/**
 * A filter hides halves: CT at one cluster, MR of the same study at another. Asks the clusters that did not show a
 * row whether they hold it too, by UID list and without the filter, and merges what they say.
 */
export class Completion {
  /** By UID, the clusters that were asked for it in vain. */
  readonly #absent = new LRUCache<string, ReadonlySet<string>>({
    maxSize: maxAbsent,
    sizeCalculation: ({ size }) => size,
    ttl: absentMs,
    noUpdateTTL: true,
  })

  async complete(
    level: Level,
    rows: readonly MergedRow[],
    plans: readonly ClusterPlan[],
    budget: Budget,
  ): Promise<Completed> {
    const questions = this.#open(rows, plans).filter(({ uids }) => uids.length > 0)
    const requests = new Map(
      questions.map(({ plan, uids }) => [plan.cluster, byUid(level, plan.request, uids, rows)] as const),
    )
    const outcomes = await fanOut([...requests.keys()], budget, (cluster, signal) =>
      cluster.search(requests.get(cluster) as SearchRequest, signal),
    )
    this.#rememberAbsent(level, questions, outcomes)
    const more = outcomes.flatMap((outcome, index) => {
      if (outcome.status !== 'ok') return []
      const { cluster, value } = outcome
      return value.rows.map((row): Copy => ({ cluster, rank: questions[index]?.plan.rank ?? 0, row }))
    })
    return { rows: more.length === 0 ? [...rows] : addCopies(level, rows, more), outcomes }
  }

  /** Of which rows clusters may have copies that are not known. */
  #open(rows: readonly MergedRow[], plans: readonly ClusterPlan[]): readonly Question[] {
    const questions = plans.map((plan) => ({ plan, uids: [] as string[] }))
    for (const { uid, copies } of rows) {
      const absent = this.#absent.get(uid) ?? nowhere
      for (const { plan, uids } of questions) if (!isSettled(plan, copies, absent)) uids.push(uid)
    }
    return questions
  }

  /** `outcomes` in the order of the questions. */
  #rememberAbsent(level: Level, questions: readonly Question[], outcomes: readonly Outcome<SearchAnswer>[]): void {
    const absent = new Map<string, Set<string>>()
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status !== 'ok' || outcome.value.truncated) continue
      const present = new Set(outcome.value.rows.map((row) => firstString(row, uidTag[level])))
      for (const uid of questions[index]?.uids ?? []) if (!present.has(uid)) getOrAdd(absent, uid).add(outcome.cluster)
    }
    for (const [uid, clusters] of absent) this.#absent.set(uid, clusters.union(this.#absent.get(uid) ?? nowhere))
  }
}

/** What a cluster is asked: whether it has copies of these. */
interface Question {
  readonly plan: ClusterPlan
  readonly uids: readonly string[]
}

const isSettled = ({ cluster: { id } }: ClusterPlan, copies: readonly Copy[], absent: ReadonlySet<string>): boolean =>
  absent.has(id) || copies.some(({ cluster }) => cluster === id)

const nowhere: ReadonlySet<string> = new Set()

function getOrAdd(sets: Map<string, Set<string>>, key: string): Set<string> {
  const known = sets.get(key) ?? new Set()
  sets.set(key, known)
  return known
}

/** Whether a filter can have hidden a copy: a search by nothing but UIDs, or by nothing, shows all copies there are. */
export function canHide(level: Level, constraints: readonly SearchConstraint[]): boolean {
  if (level === 'instance') return false
  const uids: ReadonlySet<string | undefined> = new Set([tag.StudyInstanceUID, tag.SeriesInstanceUID])
  return constraints.some(({ path, value }) => value !== '' && !(path.length === 1 && uids.has(path[0])))
}

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

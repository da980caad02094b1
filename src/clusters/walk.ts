import type { Clock } from '../core/clock.ts'
import { ClusterError, mayDoWithLess } from '../core/outcome.ts'
import { type Dataset, firstString, type Tag } from '../dicom/dataset.ts'
import { type DateRange, rangeKey } from '../dicom/dates.ts'
import { tag } from '../dicom/tags.ts'
import { plainDate } from '../dicom/temporal.ts'
import type { Cluster, SearchAnswer, SearchRequest } from './cluster.ts'
import { askAlone } from './fan-out.ts'
import { isWithin, overlapOf, splitRange, yearRanges } from './ranges.ts'

/** Rows of some studies, and how far the walk has come. */
export interface StudyStep {
  readonly rows: readonly Dataset[]
  /** Studies that the cluster cannot be made to list, a sentence each. */
  readonly gaps: readonly string[]
  /** Of the walk of this cluster, from 0 to 1. */
  readonly progress: number
}

export interface StudyWalkOptions {
  /** Wanted beside UID and date. */
  readonly includeFields: readonly Tag[]
  /** Rows of one answer at most; studies of a day beyond it are a gap. */
  readonly maxRows: number
  /** Only studies of these dates, those without one among them when it has no beginning; absent: all. */
  readonly dates?: DateRange
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** A part of all studies; `undated` are those without a date. */
type Part = { readonly share: number } & ({ readonly range: DateRange } | { readonly undated: true })

/**
 * Every study of a cluster, newest first, in ranges of dates that are split until they fit into one answer; memory is
 * bounded by the largest. Throws `ClusterError` when the cluster fails, and the signal's reason when it fires.
 */
export async function* walkStudyRows(
  cluster: Cluster,
  options: StudyWalkOptions,
): AsyncGenerator<StudyStep, void, undefined> {
  const ask = askerOf(cluster, options.clock, options.signal)
  const { dates = {}, clock } = options
  const ranges = yearRanges(clock.now()).flatMap((range) => overlapOf(range, dates) ?? [])
  const share = 1 / (ranges.length + 1)
  const undated: Part[] = dates.from === undefined ? [{ share, undated: true }] : []
  const left: Part[] = [...undated, ...ranges.toReversed().map((range) => ({ share, range }))]
  let progress = 0
  for (let part = left.pop(); part; part = left.pop()) {
    const found = await searchPart(cluster, ask, part, options)
    if ('parts' in found) {
      left.push(...found.parts.toReversed())
      continue
    }
    progress += part.share
    yield { ...found, progress }
  }
}

/** Asks a cluster within its own time. */
export type Ask = (request: SearchRequest) => Promise<SearchAnswer>

export const askerOf =
  (cluster: Cluster, clock: Clock, signal: AbortSignal): Ask =>
  (request) =>
    askAlone(cluster, { clock, signal }, (it, until) => it.search(request, until))

type Found = { readonly rows: readonly Dataset[]; readonly gaps: readonly string[] } | { readonly parts: Part[] }

async function searchPart(cluster: Cluster, ask: Ask, part: Part, options: StudyWalkOptions): Promise<Found> {
  const { maxRows } = options
  const smaller = 'range' in part ? splitRange(part.range) : []
  const parts = smaller.map((range) => ({ range, share: part.share / smaller.length }))
  try {
    const { rows, truncated } = await ask(requestFor(part, options))
    const fitting = rows.filter((row) => isIn(part, row))
    if (!truncated) return { rows: fitting, gaps: [] }
    // Split further, such a cluster would give all its rows for every single day.
    if ('range' in part && fitting.length < rows.length / 2) throw ignoresDates(cluster)
    if (parts.length > 0) return { parts }
    return { rows: fitting, gaps: [`more than ${maxRows} studies ${nameOf(part)}: the others are not counted`] }
  } catch (thrown) {
    if (parts.length > 0 && thrown instanceof ClusterError && mayDoWithLess(thrown.reason)) return { parts }
    throw thrown
  }
}

const requestFor = (part: Part, { maxRows: limit, includeFields }: StudyWalkOptions): SearchRequest => ({
  level: 'study',
  constraints: 'range' in part ? [{ path: [tag.StudyDate], value: rangeKey(part.range) }] : [],
  includeFields: [tag.StudyDate, ...includeFields],
  limit,
  ...('undated' in part && { undated: true }),
})

const nameOf = (part: Part): string => ('range' in part ? `of ${rangeKey(part.range)}` : 'without a date')

/** Clusters may answer with more than was asked for; what is no date counts as none, as it does for them. */
function isIn(part: Part, row: Dataset): boolean {
  const date = plainDate(firstString(row, tag.StudyDate))
  return 'range' in part ? date !== '' && isWithin(date, part.range) : date === ''
}

const ignoresDates = ({ id }: Cluster) =>
  new ClusterError(id, 'unsupported', 'does not search by ranges of dates, so that its studies cannot be walked')

import { LinkError } from '../../core/errors.ts'
import { ClusterError } from '../../core/outcome.ts'
import type { Queries } from '../../db/connect.ts'
import {
  type InstanceRow,
  instancesPage,
  type Narrowing,
  type SeriesRow,
  type StudyRow,
  seriesOf,
  studiesPage,
} from '../../db/embedded-search.ts'
import type { Attribute, Dataset, Tag } from '../../dicom/dataset.ts'
import { type CompiledConstraint, compileConstraints, matchesAll } from '../../dicom/match.ts'
import { defaultReturned, tag } from '../../dicom/tags.ts'
import type { SearchAnswer, SearchConstraint, SearchRequest } from '../cluster.ts'
import { isCompact, type Level, levelOf } from './levels.ts'
import { narrowingOf } from './narrow.ts'

export interface Index {
  readonly cluster: string
  readonly db: Queries
}

interface Search extends Index {
  readonly level: Level
  readonly narrowing: Narrowing
  /** The keys by the level whose attributes they are matched on. */
  readonly keys: Readonly<Record<Level, readonly CompiledConstraint[]>>
  /** Whether rows or keys need more of an instance than its compact attributes. */
  readonly metadata: boolean
  readonly pageSize: number
  readonly signal: AbortSignal
}

/**
 * Walks down from the studies an index leaves over, newest first: the keys of each level are matched on that level's
 * attributes, so series are read only of studies that match, and instances only of series that do. A key of a lower
 * level than the rows selects what has something below it that matches.
 */
export async function search(index: Index, request: SearchRequest, signal: AbortSignal): Promise<SearchAnswer> {
  const wanted = wantedTags(request)
  const rows: Dataset[] = []
  for await (const found of walk(searchOf(index, request, wanted, signal))) {
    if (rows.length >= request.limit) return { rows, truncated: true }
    rows.push(Object.fromEntries(Object.entries(found).filter(([key]) => wanted.has(key))))
  }
  return { rows, truncated: false }
}

const maxPage = 500

function searchOf(index: Index, request: SearchRequest, wanted: ReadonlySet<Tag>, signal: AbortSignal): Search {
  const keys = {
    study: keysOf(request, 'study'),
    series: keysOf(request, 'series'),
    instance: keysOf(request, 'instance'),
  }
  const compile = (constraints: readonly SearchConstraint[]) => compiled(index.cluster, constraints)
  const tags = [...keys.instance.map(({ path }) => path[0] ?? ''), ...(request.level === 'instance' ? wanted : [])]
  return {
    ...index,
    level: request.level,
    narrowing: narrowingOf(request),
    keys: { study: compile(keys.study), series: compile(keys.series), instance: compile(keys.instance) },
    metadata: tags.some((key) => levelOf(key) === 'instance' && !isCompact(key)),
    pageSize: Math.min(request.limit + 1, maxPage),
    signal,
  }
}

const keysOf = ({ constraints }: SearchRequest, level: Level): SearchConstraint[] =>
  constraints.filter(({ path: [top], value }) => top !== undefined && value !== '' && levelOf(top) === level)

function compiled(cluster: string, constraints: readonly SearchConstraint[]): CompiledConstraint[] {
  try {
    return compileConstraints(constraints)
  } catch (error) {
    if (!(error instanceof LinkError)) throw error
    throw new ClusterError(cluster, 'rejected', error.message, { cause: error })
  }
}

/** PS3.18 tables 10.6.3-3 to -5; rows of a search over all studies or series carry their parents' attributes too. */
function wantedTags({ level, study, series, constraints, includeFields }: SearchRequest): ReadonlySet<Tag> {
  const rank = levels.indexOf(level)
  return new Set([
    tag.StudyInstanceUID,
    ...(rank > 0 ? [tag.SeriesInstanceUID] : []),
    ...defaultReturned[level],
    ...(rank > 0 && study === undefined ? defaultReturned.study : []),
    ...(rank > 1 && series === undefined ? defaultReturned.series : []),
    ...constraints.flatMap(({ path }) => path.slice(0, 1)),
    ...includeFields.filter((key) => levels.indexOf(levelOf(key)) <= rank),
  ])
}

const levels: readonly Level[] = ['study', 'series', 'instance']

/** One dataset for each row found, with all that is known of it and of what is above it. */
async function* walk(search: Search): AsyncGenerator<Dataset, void, undefined> {
  for await (const page of studyPages(search)) {
    const studies = page.map((row) => ({ row, dataset: studyDataset(row) }))
    const matching = studies.filter(({ dataset }) => matchesAll(dataset, search.keys.study))
    if (search.level === 'study' && !looksBelow(search, 'study')) yield* matching.map(({ dataset }) => dataset)
    else yield* belowStudies(search, matching)
  }
}

const looksBelow = ({ keys, narrowing }: Search, level: 'study' | 'series'): boolean =>
  keys.instance.length > 0 || narrowing.instances !== undefined || (level === 'study' && keys.series.length > 0)

async function* studyPages(search: Search): AsyncGenerator<StudyRow[], void, undefined> {
  const { db, cluster, narrowing, pageSize: size, signal } = search
  for (let after: StudyRow | undefined; ; ) {
    signal.throwIfAborted()
    const page = await studiesPage(db, cluster, { narrowing, after, size })
    yield page
    if (page.length < size) return
    after = page.at(-1)
  }
}

interface FoundStudy {
  readonly row: StudyRow
  readonly dataset: Dataset
}

async function* belowStudies(search: Search, studies: readonly FoundStudy[]): AsyncGenerator<Dataset, void, undefined> {
  if (studies.length === 0) return
  const { db, cluster, narrowing, signal } = search
  signal.throwIfAborted()
  const uids = studies.map(({ row }) => row.studyInstanceUID)
  const all = Map.groupBy(await seriesOf(db, cluster, uids, narrowing.series), (it) => it.studyInstanceUID)
  for (const { row, dataset } of studies) {
    for await (const found of belowStudy(search, dataset, all.get(row.studyInstanceUID) ?? [])) {
      yield found
      if (search.level === 'study') break
    }
  }
}

async function* belowStudy(search: Search, study: Dataset, series: readonly SeriesRow[]) {
  for (const row of series) {
    const dataset = { ...study, ...seriesDataset(row) }
    if (!matchesAll(dataset, search.keys.series)) continue
    if (search.level !== 'instance' && !looksBelow(search, 'series')) yield dataset
    else yield* belowSeries(search, dataset, row)
  }
}

async function* belowSeries(search: Search, series: Dataset, row: SeriesRow): AsyncGenerator<Dataset, void, undefined> {
  for await (const page of instancePages(search, row)) {
    for (const { attributes, metadata } of page) {
      const dataset = { ...metadata, ...attributes, ...series }
      if (!matchesAll(dataset, search.keys.instance)) continue
      yield dataset
      if (search.level !== 'instance') return
    }
  }
}

async function* instancePages(search: Search, row: SeriesRow): AsyncGenerator<InstanceRow[], void, undefined> {
  const { db, cluster, signal, metadata, narrowing } = search
  const selection = { study: row.studyInstanceUID, series: row.seriesInstanceUID, instances: narrowing.instances }
  // Whole metadata may be large: fewer of them are held at a time.
  const size = metadata ? Math.min(search.pageSize, 32) : search.pageSize
  for (let after: InstanceRow | undefined; ; ) {
    signal.throwIfAborted()
    const page = await instancesPage(db, cluster, selection, { after, size, metadata })
    yield page
    if (page.length < size) return
    after = page.at(-1)
  }
}

/** Everything here is on disk, and JSON is Unicode whatever the files are in. */
const everywhere: Dataset = {
  [tag.SpecificCharacterSet]: { vr: 'CS', Value: ['ISO_IR 192'] },
  [tag.InstanceAvailability]: { vr: 'CS', Value: ['ONLINE'] },
}

const studyDataset = (row: StudyRow): Dataset => ({
  ...row.attributes,
  ...everywhere,
  [tag.ModalitiesInStudy]: list('CS', row.modalities),
  [tag.SOPClassesInStudy]: list('UI', row.sopClasses),
  [tag.NumberOfStudyRelatedSeries]: { vr: 'IS', Value: [row.series] },
  [tag.NumberOfStudyRelatedInstances]: { vr: 'IS', Value: [row.instances] },
})

const seriesDataset = (row: SeriesRow): Dataset => ({
  ...row.attributes,
  [tag.NumberOfSeriesRelatedInstances]: { vr: 'IS', Value: [row.instances] },
})

const list = (vr: string, values: readonly string[]): Attribute =>
  values.length === 0 ? { vr } : { vr, Value: [...values] }

import type { Cluster, SearchConstraint, SearchRequest } from '../clusters/cluster.ts'
import { type QuerySwitches, visibleTo } from '../clusters/visible.ts'
import type { Tag } from '../dicom/dataset.ts'
import { linkTag } from '../dicom/private-dictionary.ts'
import { tag } from '../dicom/tags.ts'
import { isUniversal } from '../dicom/values.ts'
import { isRequiredKey } from './fields.ts'
import type { QueryRequest } from './service.ts'

/** What each cluster is asked, and which are left out and why. */
export interface QueryPlan {
  readonly ask: readonly ClusterPlan[]
  readonly skipped: readonly Skipped[]
}

/** One cluster's part: the question, without a window of dates, and what of the query it is not asked. */
export interface ClusterPlan {
  readonly cluster: Cluster
  /** Its place in the order in which clusters are believed about identity: lower is believed first. */
  readonly rank: number
  readonly request: SearchRequest
  /** Keys it does not take, matched here on what it returns. */
  readonly withheld: readonly SearchConstraint[]
  /** Set when it is asked only for copies of what other clusters have found. */
  readonly onlyCopies?: boolean
}

export interface Skipped {
  readonly cluster: Cluster
  readonly why: string
  /** Whether the answer is incomplete without it; else it is none of the caller's. */
  readonly missed: boolean
}

/** What is configured of a cluster as to searches. */
export interface ClusterRules {
  /** Asked only with a key that narrows to a patient, an order or a study. */
  readonly constrained: boolean
  /** Keys it takes for matching; absent: any. */
  readonly keys?: ReadonlySet<Tag>
  /** Another proxy of this kind, which has link attributes of its own to tell. */
  readonly peer: boolean
}

export interface PlanRules {
  readonly clusters: ReadonlyMap<string, ClusterRules>
  /** Whose queries clusters answer. */
  readonly queries: QuerySwitches
  /** Rows taken from one cluster for one question at most. */
  readonly maxRowsPerCluster: number
  /** Keys a cluster was seen to refuse. */
  readonly refused: (cluster: string) => ReadonlySet<Tag>
}

const openRules: ClusterRules = { constrained: false, peer: false }

/**
 * Every cluster gets all keys it takes, and is asked for whatever is needed to check, order, merge and show; of pages
 * nothing, since archives do not sort.
 */
export function planQuery(
  request: QueryRequest,
  fields: readonly Tag[],
  clusters: readonly Cluster[],
  rules: PlanRules,
): QueryPlan {
  const ask: ClusterPlan[] = []
  const skipped: Skipped[] = []
  for (const [rank, cluster] of clusters.entries()) {
    const own = rules.clusters.get(cluster.id) ?? openRules
    const reason = reasonToSkip(request, cluster, { ...own, queries: rules.queries })
    if (reason) skipped.push({ cluster, ...reason })
    else
      ask.push({
        cluster,
        rank,
        ...planCluster(request, fields, cluster, { ...rules, own }),
        ...(namesOtherClusters(request, cluster.id) && { onlyCopies: true }),
      })
  }
  return { ask, skipped }
}

function reasonToSkip(
  request: QueryRequest,
  cluster: Cluster,
  { constrained, peer, queries }: ClusterRules & Pick<PlanRules, 'queries'>,
): Pick<Skipped, 'why' | 'missed'> | undefined {
  const visible = visibleTo(request.caller.audience, cluster, queries)
  if (visible !== true) return { why: visible, missed: false }
  if (!constrained || narrowsDown(request, peer)) return undefined
  const why = 'is asked only with a patient ID, a GPI, an accession number, a study UID or three letters of a name'
  return { why, missed: true }
}

/** A study has to be found at the cluster that is named; the other copies are fetched by its UID afterwards. */
function namesOtherClusters({ query }: QueryRequest, id: string): boolean {
  const named = query.linkConstraints.find(({ path }) => path[1] === linkTag.cluster)?.value.trim()
  return named !== undefined && named !== '' && !/[*?]/.test(named) && named !== id
}

function planCluster(
  request: QueryRequest,
  fields: readonly Tag[],
  cluster: Cluster,
  rules: PlanRules & { own: ClusterRules },
): Pick<ClusterPlan, 'request' | 'withheld'> {
  const { level, study, series, query } = request
  const refused = rules.refused(cluster.id)
  // By its patient ID alone an archive would hide what has the GPI; one that may not be asked openly has to.
  const isAlone = isEither(query) && !rules.own.peer && !rules.own.constrained
  const takes = ({ path, empty }: SearchConstraint) => {
    const [key = ''] = path
    if (empty || refused.has(key) || (isAlone && key === tag.PatientID)) return false
    return rules.own.keys === undefined || rules.own.keys.has(key) || isRequiredKey(key)
  }
  return {
    request: {
      level,
      ...(study && { study }),
      ...(series && { series }),
      constraints: query.constraints.filter(takes),
      includeFields: [...new Set([...query.constraints.flatMap(({ path }) => path.slice(0, 1)), ...fields])],
      limit: rules.maxRowsPerCluster,
      ...(rules.own.peer && level === 'study' && { link: query.linkConstraints.filter(isGpi) }),
    },
    withheld: query.constraints.filter((constraint) => constraint.value !== '' && !takes(constraint)),
  }
}

/** A patient ID and a GPI given together: a study matches by either, since sites know one patient by two ids. */
export const isEither = ({ constraints, linkConstraints }: QueryRequest['query']): boolean =>
  linkConstraints.some((constraint) => isGpi(constraint) && says(constraint)) &&
  constraints.some((constraint) => isPatientID(constraint) && says(constraint))

export const isPatientID = ({ path }: SearchConstraint): boolean => path.length === 1 && path[0] === tag.PatientID

/** Both are LO: a key of asterisks alone is met by everybody, and none. */
const says = ({ value }: SearchConstraint): boolean => !isUniversal('LO', value)

/** Keys by which a constrained location lets itself be asked; a study UID is narrower than any of them. */
function narrowsDown({ study, query }: QueryRequest, takesGpi: boolean): boolean {
  const keys = takesGpi ? [...query.constraints, ...query.linkConstraints] : query.constraints
  return study !== undefined || keys.some(isNarrow)
}

export const isGpi = ({ path }: SearchConstraint): boolean => path[0] === linkTag.gpi

function isNarrow({ path, value, empty }: SearchConstraint): boolean {
  if (path.length !== 1 || empty) return false
  const literal = value.replace(/[*?]/g, '')
  switch (path[0]) {
    case tag.PatientID:
    case tag.AccessionNumber:
    case tag.StudyInstanceUID:
    case linkTag.gpi:
      return literal !== ''
    case tag.PatientName:
      return (literal.match(/\p{L}/gu)?.length ?? 0) >= 3
    default:
      return false
  }
}

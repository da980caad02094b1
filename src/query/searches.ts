import { LRUCache } from 'lru-cache'
import type { Cluster, SearchAnswer, SearchConstraint, SearchRequest } from '../clusters/cluster.ts'
import type { Budget } from '../clusters/fan-out.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Tag } from '../dicom/dataset.ts'
import { compileConstraints } from '../dicom/match.ts'
import { fieldsToAskFor, isRequiredKey } from './fields.ts'
import type { Finishing } from './finish.ts'
import { Ledger } from './ledger.ts'
import { copyConstraints } from './link.ts'
import { planQuery } from './plan.ts'
import type { QueryDependencies, QueryRequest } from './service.ts'
import { Snapshot } from './snapshot.ts'
import { AnsweredKeys, rowsBelow, type Verified, verifyRows } from './verify.ts'
import { type LargeSearches, Walk } from './walk.ts'
import type { Density } from './windows.ts'

/** How long a search is kept for its next page, and how long it is believed that a cluster is large, in milliseconds. */
const keptMs = 300_000
const largeMs = 600_000

/** Rows kept as they are, some kilobytes each. Most searches are begun anew or forgotten before they are more. */
const wholeRows = 20_000

/**
 * Searches under way. The first page is always a fresh search; the next ones go on from it, each for the same caller
 * and the same query, whatever their limit.
 */
export class Searches {
  readonly #deps: QueryDependencies
  readonly #snapshots: LRUCache<string, Snapshot>
  /** Of these the ones whose rows are kept as they are. */
  readonly #whole: LRUCache<string, Snapshot>
  readonly #large = new LRUCache<string, Density>({ max: 10_000, ttl: largeMs })
  readonly #refused = new LRUCache<string, ReadonlySet<Tag>>({ max: 256, ttl: largeMs })
  readonly #answered = new AnsweredKeys()

  constructor(deps: QueryDependencies) {
    this.#deps = deps
    const sizeCalculation = ({ size, pending }: Snapshot) => size + pending + 1
    this.#snapshots = new LRUCache({ maxSize: deps.maxSnapshotRows, sizeCalculation, ttl: keptMs })
    this.#whole = new LRUCache({ maxSize: wholeRows, sizeCalculation, dispose: compactIfEvicted })
  }

  open(request: QueryRequest, finishing: Finishing): { snapshot: Snapshot; resumed: boolean } {
    const known = request.query.offset > 0 ? this.#snapshots.get(keyOf(request)) : undefined
    if (known) return { snapshot: known, resumed: true }
    return { snapshot: this.#begin(request, finishing), resumed: false }
  }

  /**
   * Keeps a search that has more rows than were asked for; not one that lost a cluster, since it would go on without it
   * for as long as its pages are asked for.
   */
  keep(request: QueryRequest, snapshot: Snapshot): void {
    const key = keyOf(request)
    const { maxResults } = this.#deps
    const { offset, limit = maxResults } = request.query
    const isWhole = snapshot.done && offset === 0 && snapshot.size <= Math.min(limit, maxResults)
    // Its size may have grown, which the caches learn only so.
    this.#snapshots.delete(key)
    this.#whole.delete(key)
    if (isWhole || snapshot.ledger.isMaimed) return
    this.#snapshots.set(key, snapshot)
    this.#whole.set(key, snapshot)
    if (!this.#whole.has(key)) snapshot.compact()
  }

  #begin(request: QueryRequest, finishing: Finishing): Snapshot {
    const { clusters, rules, clock } = this.#deps
    const refused = (cluster: string) => this.#refused.get(cluster) ?? nothing
    const plan = planQuery(request, fieldsToAskFor(request), clusters, { ...rules, refused })
    const ledger = new Ledger(plan)
    const walk = new Walk({ level: request.level, plan }, ledger, {
      search: (cluster, asked, signal) => this.#search(cluster, asked, signal),
      verify: this.#verifier(request, finishing, ledger),
      large: this.#largeFor(request),
      now: () => clock.now(),
      maxRowsPerCluster: rules.maxRowsPerCluster,
    })
    return new Snapshot({ ledger, walk, sift: finishing.sift(request, ledger) })
  }

  /**
   * An archive that refuses a query because of a key is asked without those it need not take; what that lets through is
   * matched here anyway.
   */
  async #search(cluster: Cluster, request: SearchRequest, signal: AbortSignal): Promise<SearchAnswer> {
    try {
      return await cluster.search(request, signal)
    } catch (thrown) {
      const without = isRefusal(thrown) ? withoutOptional(request) : undefined
      if (!without) throw thrown
      const answer = await cluster.search({ ...request, constraints: without.kept }, signal)
      this.#refused.set(cluster.id, new Set([...(this.#refused.get(cluster.id) ?? []), ...without.left]))
      return answer
    }
  }

  #verifier(request: QueryRequest, finishing: Finishing, ledger: Ledger) {
    const wanted = copyConstraints(request.query)
    const constraints = compileConstraints(wanted)
    return async (cluster: Cluster, asked: SearchRequest, answer: SearchAnswer, budget: Budget): Promise<Verified> => {
      const below = rowsBelow(asked, answer.rows)
      const rows = await finishing.describeForCheck(request, cluster, below, { ledger, budget })
      return verifyRows(rows, constraints, (them, keys) => this.#answered.areAnswered(cluster.id, them, keys))
    }
  }

  #largeFor({ query }: QueryRequest): LargeSearches {
    const prefix = JSON.stringify(query.constraints.map(keyOfConstraint).toSorted())
    return {
      get: (cluster) => this.#large.get(`${cluster}|${prefix}`),
      set: (cluster, density) => void this.#large.set(`${cluster}|${prefix}`, density),
    }
  }
}

function compactIfEvicted(snapshot: Snapshot, _key: string, reason: LRUCache.DisposeReason): void {
  if (reason === 'evict') snapshot.compact()
}

const nothing: ReadonlySet<Tag> = new Set()

/** Everything that makes two requests pages of one search. */
function keyOf({ caller, level, study, series, query }: QueryRequest): string {
  const { constraints, linkConstraints, includeFields } = query
  const keys = [...constraints, ...linkConstraints].map(keyOfConstraint).toSorted()
  const fields = includeFields === 'all' ? includeFields : includeFields.toSorted()
  return JSON.stringify([caller.name, caller.audience, level, study ?? '', series ?? '', keys, fields])
}

const keyOfConstraint = ({ path, value, fuzzy = false, empty = false, timezone = '' }: SearchConstraint): string =>
  JSON.stringify([path, value, fuzzy, empty, timezone])

const isRefusal = (thrown: unknown): boolean => thrown instanceof ClusterError && thrown.reason === 'rejected'

/** The same request with only the keys that every origin server takes; `undefined` when it has no others. */
function withoutOptional({ constraints }: SearchRequest) {
  const isKept = ({ path }: SearchConstraint) => path.length === 1 && isRequiredKey(path[0] ?? '')
  const left = constraints.filter((constraint) => !isKept(constraint))
  return left.length === 0
    ? undefined
    : { kept: constraints.filter(isKept), left: left.flatMap(({ path }) => path.slice(0, 1)) }
}

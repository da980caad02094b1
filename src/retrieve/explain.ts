import type { Cluster, ClusterRole, Target } from '../clusters/cluster.ts'
import { Budget, fanOut } from '../clusters/fan-out.ts'
import { type Inventory, takeInventory } from '../clusters/inventory.ts'
import type { ClusterStatus } from '../clusters/registry.ts'
import { type QuerySwitches, visibleTo } from '../clusters/visible.ts'
import type { Audience } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { ClusterError, FailureReason } from '../core/outcome.ts'
import type { Uid } from '../dicom/uid.ts'
import { type Criterion, type Merits, type Ranked, rank, standingsOf } from './choose.ts'
import { describe } from './failure.ts'
import { holdersOf, type Locators } from './locate.ts'

/** One holder, and why it is asked in its place. */
export interface HolderReport {
  readonly cluster: string
  readonly role: ClusterRole
  /** What puts it behind the one before it; absent of the first. */
  readonly decidedBy?: Criterion
  readonly merits: Merits
  readonly status?: ClusterStatus
  /** What it lists of the target; absent when it does not, for the reason in `unlisted`. */
  readonly listed?: Listed
  readonly unlisted?: FailureReason
}

export interface Listed {
  readonly instances: number
  /** How many of them no other cluster lists, and which, up to {@link maxExamples}. */
  readonly onlyHere: number
  readonly examples: readonly Uid[]
}

const maxExamples = 100

/** Where a study, series or instance is, and how it would be retrieved. */
export interface RetrieveReport {
  readonly target: Target
  /** In the order in which they are asked. */
  readonly holders: readonly HolderReport[]
  /** Over all that is listed. */
  readonly union: { readonly series: number; readonly instances: number }
  /** Clusters that did not say whether they hold it. */
  readonly silent: readonly { readonly cluster: string; readonly reason: FailureReason }[]
  /** Clusters that are not asked for this caller: for callers of our own only. */
  readonly skipped: readonly { readonly cluster: string; readonly role: ClusterRole; readonly why: string }[]
}

export interface ExplainDependencies {
  readonly clusters: readonly Cluster[]
  readonly queries: QuerySwitches
  readonly status: () => readonly ClusterStatus[]
  readonly locators: Locators
  readonly clock: Clock
}

/**
 * How a retrieval of the target would go, without retrieving anything: finds and ranks its holders, and has them list
 * what they hold. Throws `LinkError` when nobody does: `not-found`, or `unavailable` while a cluster is silent.
 */
export async function explain(
  target: Target,
  { audience, signal }: { readonly audience: Audience; readonly signal: AbortSignal },
  deps: ExplainDependencies,
): Promise<RetrieveReport> {
  const { holders, silent } = await deps.locators.for(audience).locate(target.study, signal)
  const ranked = rank(standingsOf(holdersOf(target, holders), deps.status()), target.series)
  using budget = new Budget(deps.clock, signal)
  const clusters = ranked.map(({ holder }) => holder.cluster)
  const outcomes = await fanOut(clusters, budget, (cluster, own) => takeInventory(cluster, target, own))
  const inventories = new Map(outcomes.flatMap((it) => (it.status === 'ok' ? [[it.cluster, it.value] as const] : [])))
  const unlisted = new Map(outcomes.flatMap((it) => (it.status === 'failed' ? [[it.cluster, it.reason] as const] : [])))
  const union = new Map([...inventories.values()].flatMap((inventory) => [...inventory]))
  if (union.size === 0 && unlisted.size === 0) throw nowhere(target, silent)
  return {
    target,
    holders: ranked.map((it) => holderReport(it, inventories, unlisted)),
    union: { series: new Set(union.values()).size, instances: union.size },
    silent: silent.map(({ cluster, reason }) => ({ cluster, reason })),
    skipped: audience === 'internal' ? skippedFor(audience, deps) : [],
  }
}

function nowhere(target: Target, silent: readonly ClusterError[]): LinkError {
  const what = describe(target)
  if (silent.length === 0) return new LinkError('not-found', `${what} is not held by any cluster`)
  const told = silent.map(({ cluster, reason }) => `${cluster} ${reason}`).join(', ')
  return new LinkError('unavailable', `it cannot be told at the moment who holds ${what} (${told})`)
}

function holderReport(
  { holder: { cluster }, merits, status, decidedBy }: Ranked,
  inventories: ReadonlyMap<string, Inventory>,
  unlisted: ReadonlyMap<string, FailureReason>,
): HolderReport {
  const inventory = inventories.get(cluster.id)
  const reason = unlisted.get(cluster.id)
  return {
    cluster: cluster.id,
    role: cluster.role,
    ...(decidedBy && { decidedBy }),
    merits,
    ...(status && { status }),
    ...(inventory && { listed: listed(inventory, [...inventories.values()]) }),
    ...(reason && { unlisted: reason }),
  }
}

function listed(inventory: Inventory, all: readonly Inventory[]): Listed {
  const others = all.filter((other) => other !== inventory)
  const onlyHere = [...inventory.keys()].filter((instance) => !others.some((other) => other.has(instance)))
  return { instances: inventory.size, onlyHere: onlyHere.length, examples: onlyHere.slice(0, maxExamples) }
}

const skippedFor = (audience: Audience, { clusters, queries }: ExplainDependencies): RetrieveReport['skipped'] =>
  clusters.flatMap(({ id, role }) => {
    const visible = visibleTo(audience, { id, role }, queries)
    return visible === true ? [] : [{ cluster: id, role, why: visible }]
  })

import { type ReportStatus, reportStatuses, verifiedStatuses } from '../../src/link/record.ts'
import { othersOf, type SiteName, siteNames } from './linked-sites.ts'

/** Each schedule has so many studies of its own. */
export const studiesOfSchedule = 2

/** What is awaited before the next step: a message on its way, at its first byte or before it arrives. */
export const moments = {
  'notice sent': { kind: 'request', path: /\/study-updates$/ },
  'notice answered': { kind: 'answer', path: /\/study-updates$/ },
  'receipt asked': { kind: 'request', path: /\/receipts\// },
  'receipt answered': { kind: 'answer', path: /\/receipts\// },
  'pull sent': { kind: 'request', path: /\/studies\/[^?]+\/series\/[^/?]+(\/instances\/[^/?]+)?$/ },
  'pull answered': { kind: 'answer', path: /\/studies\/[^?]+\/series\/[^/?]+(\/instances\/[^/?]+)?$/ },
  'store sent': { kind: 'request', path: /\/dicom-web\/studies$/ },
  'store answered': { kind: 'answer', path: /\/dicom-web\/studies$/ },
} as const
export type Moment = keyof typeof moments

export type Fault =
  | { readonly of: 'proxy' | 'archive'; readonly site: SiteName; readonly how: 'kill' | 'hang' }
  | { readonly of: 'link'; readonly from: SiteName; readonly to: SiteName; readonly how: 'cut' | 'stall' }
  | { readonly of: 'database' }

export interface Change {
  readonly reportStatus?: ReportStatus
  readonly force?: boolean
  readonly verified?: (typeof verifiedStatuses)[number]
  readonly comments?: readonly { readonly text: string }[]
}

export type Step =
  | { readonly do: 'store'; readonly site: SiteName; readonly study: number; readonly count: number }
  /** What was stored of the study somewhere is sent to this site, too. */
  | { readonly do: 'store again'; readonly site: SiteName; readonly study: number }
  | { readonly do: 'tell'; readonly site: SiteName; readonly study: number; readonly change: Change }
  /** Until all that was asked so far is answered, or for as long as a client waits that has more to do. */
  | { readonly do: 'await answers' }
  | { readonly do: 'await'; readonly moment: Moment; readonly from: SiteName; readonly to: SiteName }
  | { readonly do: 'fault' | 'mend'; readonly fault: Fault }
  /** A notice that was sent before, counted from the last one, comes once more, as it was or with another content. */
  | { readonly do: 'replay'; readonly back: number; readonly changed: boolean }
  /** A notice of a site that has lost its archive, and wants to compare. */
  | { readonly do: 'compare'; readonly from: SiteName; readonly to: SiteName; readonly study: number }

/** The same steps for the same seed. */
export function scheduleOf(seed: number, { withDatabase }: { readonly withDatabase: boolean }): Step[] {
  const random = new Random(seed)
  const steps: Step[] = []
  const open = new Map<string, { readonly fault: Fault; readonly until: number }>()
  const add = (step: Step) => {
    if (step.do !== 'fault') return void steps.push(step)
    const key = partOf(step.fault)
    if (open.has(key)) return
    steps.push(step)
    open.set(key, { fault: step.fault, until: steps.length + random.upTo(6) })
  }
  const length = 20 + random.upTo(20)
  while (steps.length < length) {
    for (const [key, { fault, until }] of open) {
      if (steps.length < until) continue
      open.delete(key)
      steps.push({ do: 'mend', fault })
    }
    random.weighted<() => readonly Step[]>(choices(random, withDatabase))().forEach(add)
  }
  return [...steps, ...[...open.values()].map(({ fault }): Step => ({ do: 'mend', fault }))]
}

/** One fault at a time of each. A proxy cannot be started while its database is down. */
function partOf(fault: Fault): string {
  if (fault.of === 'link') return `${fault.from} to ${fault.to}`
  if (fault.of === 'archive') return `archive of ${fault.site}`
  return fault.of === 'proxy' && fault.site === siteNames[0] ? 'proxy without server' : 'server'
}

const choices = (random: Random, withDatabase: boolean): readonly (readonly [number, () => readonly Step[]])[] => {
  const site = () => random.of(siteNames)
  const study = () => random.below(studiesOfSchedule)
  const pair = () => {
    const from = site()
    return { from, to: random.of(othersOf(from)) }
  }
  const store = (at = site()): Step => ({ do: 'store', site: at, study: study(), count: random.upTo(4) })
  const fault = (at: SiteName): Step => ({ do: 'fault', fault: faultOf(random, at, withDatabase) })
  return [
    [7, () => [store()]],
    [2, () => [{ do: 'store again', site: site(), study: study() }]],
    [6, () => [{ do: 'tell', site: site(), study: study(), change: changeOf(random) }]],
    [4, () => [{ do: 'await answers' }]],
    [3, () => [fault(site())]],
    [
      4,
      () => {
        const { from, to } = pair()
        return [store(from), awaited(random, from, to), fault(random.of([from, to]))]
      },
    ],
    [3, () => [{ do: 'replay', back: random.below(12), changed: random.below(4) === 0 }]],
    [1, () => [{ do: 'compare', ...pair(), study: study() }]],
  ]
}

function faultOf(random: Random, site: SiteName, withDatabase: boolean): Fault {
  const how = random.weighted([
    [2, 'kill'],
    [1, 'hang'],
  ] as const)
  return random.weighted<() => Fault>([
    [3, () => ({ of: 'proxy', site, how })],
    [3, () => ({ of: 'archive', site, how })],
    [3, () => ({ of: 'link', from: site, to: random.of(othersOf(site)), how: random.of(['cut', 'stall']) })],
    [withDatabase ? 1 : 0, () => ({ of: 'database' })],
  ])()
}

/** Something that is bound to pass when `from` tells `to` of what was stored at it. */
function awaited(random: Random, from: SiteName, to: SiteName): Step {
  const moment = random.of(Object.keys(moments) as Moment[])
  if (moment.startsWith('pull')) return { do: 'await', moment, from: to, to: from }
  if (!moment.startsWith('store')) return { do: 'await', moment, from, to }
  const at = random.of([from, to])
  return { do: 'await', moment, from: at, to: at }
}

function changeOf(random: Random): Change {
  const text = `comment ${random.below(1_000_000)}`
  return random.weighted<() => Change>([
    [3, () => ({ comments: [{ text }] })],
    [3, () => ({ reportStatus: random.of(reportStatuses), force: random.below(2) === 0 })],
    [2, () => ({ verified: random.of(verifiedStatuses) })],
    [1, () => ({ verified: random.of(verifiedStatuses), comments: [{ text }] })],
  ])()
}

/** Mulberry32: small, and the same everywhere. */
class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** A whole number from 0 on. */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }

  /** From 1 on. */
  upTo(most: number): number {
    return 1 + this.below(most)
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  weighted<T>(items: readonly (readonly [number, T])[]): T {
    let left = this.below(items.reduce((sum, [weight]) => sum + weight, 0))
    const found = items.find(([weight]) => {
      left -= weight
      return left < 0
    })
    return (found ?? items[0])?.[1] as T
  }
}

import { cpuSeconds } from './figures.ts'
import { interleave, median, ratiosOf, times } from './measure.ts'
import type { Pulled } from './pull.ts'

/** One of several ways from the client to the same answers. */
export interface Way {
  /** DICOMweb roots. */
  readonly roots: readonly string[]
  /** Processes that do the work between client and origin, for their processor time. */
  readonly pids: readonly number[]
}

export type Ways = Readonly<Record<string, Way>>

export interface Compared {
  /** The rate in each round, by way. */
  readonly rates: Readonly<Record<string, readonly number[]>>
  /** Processor time per gigabyte of bodies in each round, by way. */
  readonly cpu: Readonly<Record<string, readonly number[]>>
}

/** Does the same on all ways in turn; throws when anything of it failed. */
export async function compareWays(
  ways: Ways,
  options: { rounds: number; work: (way: Way) => Promise<Pulled>; rate: (pulled: Pulled) => number },
): Promise<Compared> {
  const cpu = Object.fromEntries(Object.keys(ways).map((name): [string, number[]] => [name, []]))
  const measure = async (name: string, way: Way): Promise<number> => {
    const before = cpuOf(way)
    const pulled = await options.work(way)
    if (pulled.failed > 0) throw new Error(`${name}: ${pulled.failed} of ${pulled.ms.length} answers failed`)
    cpu[name]?.push((cpuOf(way) - before) / (pulled.bytes / 1e9))
    return options.rate(pulled)
  }
  const each = Object.entries(ways).map(([name, way]) => [name, () => measure(name, way)] as const)
  return { rates: await interleave(options.rounds, Object.fromEntries(each)), cpu }
}

const cpuOf = ({ pids }: Way): number => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)

/** The middle of a way's rounds. */
export const middle = (rounds: Compared['rates'], name: string): number => median(rounds[name] ?? [])

/** A way in comparison with another, round by round. */
export const against = (rounds: Compared['rates'], name: string, other: string): string =>
  name === other ? '1' : times(ratiosOf(rounds[name] ?? [], rounds[other] ?? []))

/** Seconds per gigabyte; ways without processes of their own have none. */
export const cpuText = (way: Way | undefined, { cpu }: Compared, name: string): string =>
  way?.pids.length ? middle(cpu, name).toFixed(2) : ''

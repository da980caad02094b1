import type { Cluster } from '../clusters/cluster.ts'
import { untilAborted } from '../clusters/fan-out.ts'
import type { ClusterStatus } from '../clusters/registry.ts'
import type { Clock } from '../core/clock.ts'
import { deadline } from '../core/deadline.ts'

/** Whether home is there to be stored at, told before anything of an upload is read. */
export interface HomeWatch {
  /** Asks home only when its state is not known to be up, or when it failed the last time something was stored. */
  isReachable(signal: AbortSignal): Promise<boolean>
  storeFailed(): void
}

export interface HomeWatchDependencies {
  readonly home: Pick<Cluster, 'probe' | 'timeoutMs'>
  readonly state: () => ClusterStatus['state']
  readonly clock: Clock
}

/** Longest wait of an upload for home to say that it is there, in milliseconds. */
const longestProbeMs = 2000

export function createHomeWatch({ home, state, clock }: HomeWatchDependencies): HomeWatch {
  let isDoubtful = false

  async function answers(signal: AbortSignal): Promise<boolean> {
    using limit = deadline(clock, Math.min(longestProbeMs, home.timeoutMs), signal)
    const answered = await untilAborted(home.probe(limit.signal), limit.signal).then(
      () => true,
      () => false,
    )
    signal.throwIfAborted()
    if (answered) isDoubtful = false
    return answered
  }

  return {
    async isReachable(signal) {
      if (state() === 'down') return false
      return (state() === 'up' && !isDoubtful) || (await answers(signal))
    },
    storeFailed() {
      isDoubtful = true
    },
  }
}

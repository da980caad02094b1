import { setTimeout as sleep } from 'node:timers/promises'
import type { Orthanc } from '../../support/orthanc.ts'
import { instant } from './sender.ts'

/** How often it is looked, in milliseconds: so much a time may be too late. */
const everyMs = 20
const atOnce = 5000
const patienceMs = 300_000

/** When instances came to be listed by an archive, by its identifiers. */
export interface Arrivals extends AsyncDisposable {
  /** Resolves when all of these are listed; their times, as of `instant()`. */
  of(ids: readonly string[]): Promise<number[]>
}

/** Follows the log of changes, to which Orthanc writes an instance as it comes to list it. */
export function watchArrivals(archive: Orthanc): Arrivals {
  const seen = new Map<string, number>()
  const over = new AbortController()
  let last = 0
  const look = async () => {
    const response = await archive.rest(`/changes?since=${last}&limit=${atOnce}`)
    const { Changes: changes, Last: now } = (await response.json()) as Changes
    const at = instant()
    for (const { ChangeType: type, ID: id } of changes) if (type === 'NewInstance') seen.set(id, at)
    last = now
  }
  const watching = (async () => {
    while (!over.signal.aborted) {
      await look()
      await sleep(everyMs)
    }
  })()
  return {
    async of(ids) {
      const until = instant() + patienceMs
      while (!ids.every((id) => seen.has(id))) {
        if (instant() > until) throw new Error(`${ids.filter((id) => !seen.has(id)).length} instances did not arrive`)
        await sleep(everyMs)
      }
      return ids.map((id) => seen.get(id) ?? Number.NaN)
    },
    [Symbol.asyncDispose]: async () => {
      over.abort()
      await watching
    },
  }
}

interface Changes {
  readonly Changes: readonly { readonly ChangeType: string; readonly ID: string }[]
  readonly Last: number
}

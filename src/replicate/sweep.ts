import type { Cluster } from '../clusters/cluster.ts'
import { walkStudyRows } from '../clusters/walk.ts'
import type { Clock } from '../core/clock.ts'
import { ClusterError } from '../core/outcome.ts'
import { firstString } from '../dicom/dataset.ts'
import { type DateRange, dateOf, dateOfDay, dayNumber } from '../dicom/dates.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { Holdings } from './holdings.ts'
import { HoldingsReader } from './holdings-reader.ts'

/** Somebody who is to have what home has. */
export interface SweepTarget {
  /** Of its queue. */
  readonly id: string
  /** Those of the studies that are not there as they are at home. Throws `ClusterError` when it does not say. */
  differing(studies: ReadonlyMap<Uid, Holdings>, signal: AbortSignal): Promise<readonly Uid[]>
  /** Studies that changed there since then, some at a time; absent where nobody tells. */
  changed?(since: Date, signal: AbortSignal): AsyncIterable<readonly Uid[]>
}

export interface SweepOptions {
  readonly home: Cluster
  readonly targets: readonly SweepTarget[]
  /** When the sweep before began. */
  readonly since: Date
  /** The day before which the sample begins, `YYYYMMDD`: the `next` of the sweep before. Absent: with the newest. */
  readonly before?: string | undefined
  /** Studies of the sample; those of the last day of it are all in it. */
  readonly sample: number
  readonly studiesPerSecond: number
  readonly maxRows: number
  /** Of these studies those that are this site's: what only came from other sites is not told to others. */
  readonly ofThisSite: (studies: ReadonlyMap<Uid, Holdings>) => Promise<ReadonlyMap<Uid, Holdings>>
  /** The intent to bring the study there, durable when it resolves. */
  readonly request: (study: Uid, target: string) => Promise<void>
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface Swept {
  /** Looked at. */
  readonly studies: number
  /** Of these, how often one was found to differ somewhere. */
  readonly requested: number
  /** Ids of clusters that did not answer to all of it. */
  readonly failed: readonly string[]
  /** Where the sample of the next sweep begins; absent when this one came to the oldest studies. */
  readonly next?: string
}

/** Studies of so many days are looked at in every sweep, by their dates: most of what changes is new. */
export const recentDays = 3
export const studiesAtOnce = 20

/**
 * Looks for what replication has missed, because it came into an archive by another way, or was lost there: in the
 * studies of the last days, in those that peers say have changed, and in a sample of all others, which goes on where
 * that of the sweep before ended. What differs is requested; nothing is sent here. Clusters that do not answer are told,
 * and not waited for. Throws the signal's reason, and `ClusterError` when home does not list its studies.
 */
export async function sweep(options: SweepOptions): Promise<Swept> {
  const run = new Sweep(options)
  await run.changed()
  const newest = dateOfDay(dayNumber(dateOf(options.clock.now())) - recentDays)
  await run.ofDates({ from: newest }, Number.POSITIVE_INFINITY)
  const older = { to: dayBefore(options.before ?? newest) }
  const next = options.sample > 0 ? await run.ofDates(older, options.sample) : undefined
  return { ...run.result(), ...(next !== undefined && { next }) }
}

const dayBefore = (date: string): string => dateOfDay(dayNumber(date) - 1)

class Sweep {
  readonly #options: SweepOptions
  readonly #home: HoldingsReader
  readonly #seen = new Set<Uid>()
  readonly #failed = new Set<string>()
  #requested = 0

  constructor(options: SweepOptions) {
    this.#options = options
    this.#home = new HoldingsReader(options.home, options)
  }

  result(): Omit<Swept, 'next'> {
    return { studies: this.#seen.size, requested: this.#requested, failed: [...this.#failed] }
  }

  async changed(): Promise<void> {
    const { targets, since, signal } = this.#options
    for (const { id, changed } of targets) {
      if (!changed) continue
      await this.#asking(id, async () => {
        for await (const studies of changed(since, signal)) await this.#lookAt(studies)
      })
    }
  }

  /** The day before which the next sample begins; `undefined` when there was nothing older. */
  async ofDates(dates: DateRange, most: number): Promise<string | undefined> {
    const { home, maxRows, clock, signal } = this.#options
    let looked = 0
    let oldest: string | undefined
    for await (const { rows } of walkStudyRows(home, { includeFields: [], maxRows, dates, clock, signal })) {
      await this.#lookAt(rows.map((row) => firstString(row, tag.StudyInstanceUID)).filter(isUid))
      looked += rows.length
      for (const row of rows) oldest = earlier(oldest, firstString(row, tag.StudyDate))
      if (looked >= most) return oldest
    }
    return undefined
  }

  async #lookAt(studies: readonly Uid[]): Promise<void> {
    const fresh = studies.filter((study) => !this.#seen.has(study))
    for (let at = 0; at < fresh.length; at += studiesAtOnce) await this.#paced(fresh.slice(at, at + studiesAtOnce))
  }

  /** Compares some studies, and rests until as much time has passed as they may take at least. */
  async #paced(studies: readonly Uid[]): Promise<void> {
    const { clock, signal, studiesPerSecond } = this.#options
    signal.throwIfAborted()
    const begun = clock.now()
    for (const study of studies) this.#seen.add(study)
    await this.#compare(studies)
    const rest = begun + (studies.length / studiesPerSecond) * 1000 - clock.now()
    if (rest > 0) await clock.sleep(rest, signal)
  }

  async #compare(studies: readonly Uid[]): Promise<void> {
    const { home, targets, request, ofThisSite, signal } = this.#options
    const told = new Map<Uid, Holdings>()
    for (const [study, holdings] of await this.#home.of(studies)) {
      if (holdings instanceof ClusterError) this.#failed.add(home.id)
      else told.set(study, holdings)
    }
    const own = await ofThisSite(told)
    for (const { id, differing } of targets) {
      await this.#asking(id, async () => {
        for (const study of await differing(own, signal)) {
          await request(study, id)
          this.#requested++
        }
      })
    }
  }

  async #asking(id: string, ask: () => Promise<void>): Promise<void> {
    try {
      await ask()
    } catch (thrown) {
      this.#options.signal.throwIfAborted()
      if (!(thrown instanceof ClusterError)) throw thrown
      this.#failed.add(id)
    }
  }
}

const earlier = (a: string | undefined, b: string | undefined): string | undefined =>
  a === undefined || (b !== undefined && b !== '' && b < a) ? b : a

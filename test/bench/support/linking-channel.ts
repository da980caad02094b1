import { pace } from '../../../src/compose/replicate.ts'
import { isDominated, joinVersions } from '../../../src/link/version.ts'
import { askMs, maxAskMs, patienceMs } from '../../../src/peers/send.ts'
import { backoff } from '../../../src/replicate/service.ts'
import { type Agenda, type Gauge, Line } from './agenda.ts'
import { type Content, instancesOf, joined, type Load, type Study } from './linked-load.ts'
import type { Counts, Lines, Receiver, Told } from './linking-ends.ts'
import { noticeBytes } from './notice-sizes.ts'

export interface ChannelOptions {
  readonly agenda: Agenda
  readonly load: Load
  readonly lines: Lines
  readonly random: () => number
  readonly receiver: Receiver
  readonly counts: Counts
  /** Jobs of all channels that are counted together. */
  readonly waiting: Gauge
  /** What the origin has of a study now. */
  readonly has: (study: Study) => Told
  /** `none`: each change is told by a notice of its own; `queue`: as the product does, jobs of one study are one. */
  readonly coalescing: 'none' | 'queue'
  /** A job is due when the study has not changed for so long; 0 in the product. */
  readonly quietMs: number
  /** Studies at the same time, at either end. */
  readonly atOnce: number
  /** `undefined`: the peer is told of all studies, else of those of which this is true. */
  readonly holds?: ((study: Study) => boolean) | undefined
  readonly isAway: (now: number) => boolean
}

interface Notice extends Told {
  readonly study: Study
  isSettled: boolean
  /** Told when it is. */
  settled?: () => void
}

/** One intent to tell the peer of a study: a row of `converge_job`. */
interface Job {
  readonly key: string
  readonly study: Study
  /** Fixed where notices are not coalesced. */
  readonly tells: Told | undefined
  generation: number
  attempts: number
  isRunning: boolean
  /** Counts the times at which it was made due: only the last of them counts. */
  due: number
  pending?: Notice | undefined
}

/** One site tells another: notices through the queue of the one, pulls through that of the other. */
export class Channel {
  readonly #options: ChannelOptions
  readonly #jobs = new Map<string, Job>()
  readonly #due = new Line<{ readonly job: Job; readonly turn: number }>()
  readonly #pulls = new Map<number, Notice[]>()
  readonly #pullsDue = new Line<Study>()
  #running = 0
  #pulling = 0
  #changes = 0

  constructor(options: ChannelOptions) {
    this.#options = options
  }

  /** The study changed at the origin. */
  request(study: Study): void {
    const { coalescing, has, waiting, agenda } = this.#options
    const key = coalescing === 'queue' ? String(study.id) : `${study.id}/${this.#changes++}`
    const known = this.#jobs.get(key)
    const tells = coalescing === 'queue' ? undefined : has(study)
    const job = known ?? { key, study, tells, generation: 0, attempts: 0, isRunning: false, due: 0 }
    if (!known) {
      this.#jobs.set(key, job)
      waiting.add(1, agenda.now)
    }
    job.generation++
    job.attempts = 0
    if (!job.isRunning) this.#makeDue(job, this.#options.quietMs)
  }

  #makeDue(job: Job, inMs: number): void {
    const turn = ++job.due
    const due = () => {
      this.#due.push({ job, turn })
      this.#work()
    }
    if (inMs > 0) this.#options.agenda.in(inMs, due)
    else due()
  }

  #work(): void {
    while (this.#running < this.#options.atOnce) {
      const next = this.#due.shift()
      if (!next) return
      if (next.turn === next.job.due && !next.job.isRunning) this.#run(next.job)
    }
  }

  #run(job: Job): void {
    const { agenda, counts, lines, holds, isAway } = this.#options
    const { generation } = job
    this.#running++
    job.isRunning = true
    counts.runs++
    const tell = () => this.#tell(job, generation)
    if (isAway(agenda.now)) agenda.in(lines.roundTripMs, () => this.#fail(job, generation))
    else if (holds) {
      counts.asked++
      agenda.in(lines.roundTripMs + lines.inventoryMs, holds(job.study) ? tell : () => this.#end(job, generation))
    } else tell()
  }

  /** The version is read before the inventory, as the product does. */
  #tell(job: Job, generation: number): void {
    const { agenda, lines, has } = this.#options
    const told = job.tells ?? has(job.study)
    agenda.in(lines.inventoryMs, () => {
      const { pending } = job
      if (pending && isSame(pending, told)) return this.#await(job, generation, pending)
      const notice: Notice = { ...told, study: job.study, isSettled: false }
      this.#count(notice)
      agenda.in(lines.roundTripMs, () => this.#receive(job, generation, notice))
    })
  }

  #count({ study, content, version }: Notice): void {
    const { counts, agenda } = this.#options
    const hour = Math.floor(agenda.now / 3_600_000)
    counts.notices++
    counts.noticeBytes += noticeBytes(study.kind, content, version)
    counts.hours[hour] = (counts.hours[hour] ?? 0) + 1
  }

  #receive(job: Job, generation: number, notice: Notice): void {
    const { counts, receiver, isAway, agenda } = this.#options
    if (isAway(agenda.now)) this.#fail(job, generation)
    else if (isDominated(notice.version, receiver.has(notice.study).version)) {
      counts.stale++
      this.#end(job, generation)
    } else {
      this.#take(notice)
      job.pending = notice
      this.#await(job, generation, notice)
    }
  }

  /** Until the notice is settled or patience is at its end; asks after it less and less often. */
  #await(job: Job, generation: number, notice: Notice): void {
    const { agenda, counts, lines } = this.#options
    const begun = agenda.now
    let isOver = false
    const over = (act: () => void) => {
      if (isOver) return
      isOver = true
      const { asked, waitMs } = askedUntil(agenda.now - begun, lines)
      counts.polls += asked
      agenda.at(begun + waitMs, act)
    }
    notice.settled = () => over(() => this.#end(job, generation))
    if (notice.isSettled) notice.settled()
    else agenda.in(patienceMs, () => over(() => this.#fail(job, generation)))
  }

  #end(job: Job, generation: number): void {
    const { waiting, agenda } = this.#options
    this.#running--
    job.isRunning = false
    job.pending = undefined
    if (job.generation === generation) {
      this.#jobs.delete(job.key)
      waiting.add(-1, agenda.now)
    } else this.#makeDue(job, this.#options.quietMs)
    this.#work()
  }

  #fail(job: Job, generation: number): void {
    const { counts, random } = this.#options
    this.#running--
    job.isRunning = false
    counts.failedRuns++
    const isAsked = job.generation !== generation
    this.#makeDue(job, isAsked ? 0 : backoff(job.attempts++, pace, random))
    this.#work()
  }

  /** A notice is kept, and its pull requested. */
  #take(notice: Notice): void {
    const { study } = notice
    const open = this.#pulls.get(study.id)
    if (open) return void open.push(notice)
    this.#pulls.set(study.id, [notice])
    this.#pullsDue.push(study)
    this.#workOnPulls()
  }

  #workOnPulls(): void {
    while (this.#pulling < this.#options.atOnce) {
      const study = this.#pullsDue.shift()
      if (!study) return
      this.#pulling++
      this.#pull(study)
    }
  }

  #pull(study: Study): void {
    const { agenda, receiver, counts, lines, load } = this.#options
    const open = this.#pulls.get(study.id)?.splice(0) ?? []
    const before = receiver.has(study).content
    const after = open.reduce((content, notice) => joined(content, notice.content), before)
    const bytes = bytesOf(load, study, after) - bytesOf(load, study, before)
    const retrievals = retrievalsOf(study, before, after)
    receiver.active(1, agenda.now)
    const mbit = Math.min(lines.pullMbit, lines.siteMbit / receiver.sharing())
    const ms = lines.inventoryMs + retrievals * (lines.roundTripMs + lines.retrieveMs) + (bytes * 8) / (mbit * 1000)
    counts.retrievals += retrievals
    counts.instances += instancesOf(after) - instancesOf(before)
    counts.bytes += bytes
    agenda.in(ms, () => {
      receiver.active(-1, agenda.now)
      this.#settle(study, open)
    })
  }

  #settle(study: Study, notices: readonly Notice[]): void {
    const { receiver } = this.#options
    const { content, version } = notices.reduce(
      (known, notice) => ({
        content: joined(known.content, notice.content),
        version: joinVersions(known.version, notice.version),
      }),
      receiver.has(study),
    )
    receiver.known.set(study.id, { content, version })
    for (const notice of notices) {
      notice.isSettled = true
      notice.settled?.()
    }
    if ((this.#pulls.get(study.id)?.length ?? 0) > 0) this.#pull(study)
    else {
      this.#pulls.delete(study.id)
      this.#pulling--
      this.#workOnPulls()
    }
  }
}

const isSame = (a: Told, b: Told): boolean =>
  isDominated(a.version, b.version) &&
  isDominated(b.version, a.version) &&
  instancesOf(a.content) === instancesOf(b.content)

/** How often a receipt is asked for until the answer of after `ms`, and when that answer is had. */
function askedUntil(ms: number, { roundTripMs }: Lines): { asked: number; waitMs: number } {
  let asked = 0
  let waitMs = 0
  for (let wait = askMs; asked === 0 || waitMs < ms; wait = Math.min(2 * wait, maxAskMs)) {
    waitMs += wait + roundTripMs
    asked++
  }
  return { asked, waitMs }
}

const bytesOf = (load: Load, { kind }: Study, { images, presentation, report }: Content): number =>
  images * kind.bytesEach + Number(presentation) * load.presentationBytes + Number(report) * load.reportBytes

/** A series of which nothing is held comes in one retrieval, any other instance in one of its own. */
function retrievalsOf({ kind }: Study, before: Content, after: Content): number {
  const inEach = Math.ceil(kind.instances / kind.series)
  let count = Number(after.presentation !== before.presentation) + Number(after.report !== before.report)
  for (let first = 0; first < after.images; first += inEach) {
    const end = Math.min(after.images, first + inEach)
    const missing = Math.max(0, end - Math.max(first, before.images))
    count += before.images > first ? missing : 1
  }
  return count
}

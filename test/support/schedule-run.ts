import { randomUUID } from 'node:crypto'
import { setTimeout as elapsed } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import type { Uid } from '../../src/dicom/uid.ts'
import { writeNotice } from '../../src/link/notice.ts'
import { emptySnapshot } from '../../src/link/snapshot.ts'
import { type LinkedSite, type LinkedSites, type SentNotice, type SiteName, siteNames } from './linked-sites.ts'
import { type MadeInstance, madeInstance, madeUid } from './made-instance.ts'
import { type Fault, moments, type Step, studiesOfSchedule } from './schedule.ts'
import { digestOf } from './uploads.ts'

/** How long a step waits for what may never come: no failure, the schedule goes on. */
const patienceMs = 1500
/** Longest time to an end after everything is mended. */
const agreement = { timeout: 120_000, interval: 100 }

/** What a client sends until it has an answer. */
interface Write {
  readonly site: SiteName
  readonly study: string
  /** Instances; else it tells something. */
  readonly stores: boolean
  readonly comment?: string
  /** False: it is against the rules, and so it stays. Throws when there is no answer that settles it. */
  readonly attempt: () => Promise<boolean>
  attempts: number
  isDone: boolean
  isRefused: boolean
}

/** One schedule on three sites: its steps, the repairs after it, and what has to be so in the end. */
export class ScheduleRun {
  /** What was done, and when. */
  readonly trace: string[] = []
  /** Steps that waited for what did not come. */
  missed = 0
  #disturbances = 0
  readonly #world: LinkedSites
  readonly #studies = Array.from({ length: studiesOfSchedule }, () => ({ uid: madeUid(), series: madeUid() }))
  readonly #sent: MadeInstance[] = []
  readonly #acknowledged = new Set<string>()
  readonly #writes: Write[] = []
  readonly #running = new Set<Promise<unknown>>()
  readonly #noticesBefore: number
  /** Notices that may have been accepted with another content than their own. */
  readonly #replayedChanged = new Set<string>()

  constructor(world: LinkedSites) {
    this.#world = world
    this.#noticesBefore = world.notices.length
  }

  async perform(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      this.#expectNoCrash()
      this.#note(JSON.stringify(step))
      await this.#perform(step)
    }
  }

  /** Until every client has its answer, and nobody has anything left to do. */
  async settle(): Promise<void> {
    await Promise.all(this.#running)
    this.#expectNoCrash()
    for (const write of this.#writes) if (!write.isDone) await vi.waitFor(() => this.#attempt(write), agreement)
    this.#note('all is acknowledged')
    await vi.waitFor(() => this.#expectQuiet(), agreement)
    this.#expectNoCrash()
    this.#note('all is quiet')
  }

  /** All sites have the same, and all that was acknowledged. */
  async check(): Promise<void> {
    for (const { uid } of this.#studies) {
      const sent = this.#sent.filter(({ study }) => study === uid)
      if (sent.length > 0) await this.#checkStudy(uid, sent)
    }
  }

  /** That sites sent each other of its studies, in their order, each as often as it was sent. */
  #notices(): SentNotice[] {
    const own = new Set(this.#studies.map(({ uid }) => uid))
    return this.#world.notices.slice(this.#noticesBefore).filter(({ study }) => own.has(study))
  }

  async #checkStudy(uid: string, sent: readonly MadeInstance[]): Promise<void> {
    const digests = await Promise.all(sent.map(async ({ instance, bytes }) => [instance, await digestOf(bytes)]))
    const wanted: Record<string, string> = Object.fromEntries(digests.sort())
    expect(sent.map(({ instance }) => instance).filter((it) => !this.#acknowledged.has(it))).toEqual([])
    const { north, ...others } = this.#world.sites
    const [told, digest] = [await north.told(uid), await north.digestOf(uid)]
    for (const site of [north, ...Object.values(others)]) {
      const { name } = site
      expect(await site.content(uid), `objects at ${name}`).toEqual(wanted)
      expect(await site.told(uid), `told at ${name}`).toEqual(told)
      expect(await site.digestOf(uid), `digest at ${name}`).toEqual(digest)
      const isVisitor = this.#writes.every((write) => write.site !== name || write.study !== uid || !write.stores)
      if (isVisitor) expect(await site.residenceOf(uid), `residence at ${name}`).toBe('VISITOR')
    }
    this.#checkComments(uid, told.comments)
    this.#checkNotices(uid)
  }

  /** All that were acknowledged: once, unless the client had no answer and said it again. */
  #checkComments(uid: string, comments: readonly string[]): void {
    for (const { study, attempts, comment, isRefused } of this.#writes) {
      if (study !== uid || comment === undefined) continue
      const found = comments.filter((it) => it.includes(`"${comment}"`)).length
      expect(found, comment).toBeGreaterThanOrEqual(isRefused ? 0 : 1)
      expect(found, comment).toBeLessThanOrEqual(attempts)
    }
  }

  /** No more than were called for: by a change, by a notice that is to be compared, by a fault in between. */
  #checkNotices(uid: string): void {
    const notices = this.#notices().filter(({ study }) => study === uid)
    for (const [link, sent] of Map.groupBy(notices, ({ from, to }) => `${from} to ${to}`)) {
      const [from] = link.split(' ')
      const changes = this.#writes.filter(({ site, study }) => site === from && study === uid)
      const attempts = changes.reduce((sum, write) => sum + write.attempts, 0)
      const different = new Set(sent.map(({ id }) => id)).size
      // One that the other site finds stale is followed by one to compare.
      expect(different, `notices ${link}`).toBeLessThanOrEqual(2 * (attempts + this.#disturbances))
    }
  }

  async #perform(step: Step): Promise<unknown> {
    if (step.do === 'store') return this.#store(step.site, this.#made(step.study, step.count))
    if (step.do === 'store again') {
      const uid = this.#studies[step.study]?.uid
      return this.#store(step.site, this.#sent.filter(({ study }) => study === uid).slice(-4))
    }
    if (step.do === 'tell') return this.#tell(step)
    if (step.do === 'await answers') return this.#within(Promise.all(this.#running))
    if (step.do === 'await') return this.#await(step)
    if (step.do === 'replay') return this.#replay(step)
    if (step.do === 'compare') return this.#compare(step)
    return step.do === 'fault' ? this.#fail(step.fault) : this.#mend(step.fault)
  }

  #made(study: number, count: number): MadeInstance[] {
    const { uid, series } = this.#studies[study] ?? { uid: madeUid(), series: madeUid() }
    // Most of a study is in one series, some in others.
    const made = Array.from({ length: count }, (_, index) =>
      madeInstance({ study: uid, ...(index % 3 < 2 && { series }), instanceNumber: this.#sent.length + index + 1 }),
    )
    this.#sent.push(...made)
    return made
  }

  #store(site: SiteName, made: readonly MadeInstance[]): void {
    if (made.length === 0) return
    const study = made[0]?.study ?? ''
    this.#send({ site, study, stores: true }, async () => {
      const stored = await this.#world.sites[site].store(made)
      for (const uid of stored) this.#acknowledged.add(uid)
      if (made.some(({ instance }) => !stored.includes(instance))) throw new Error('not all was stored')
      return true
    })
  }

  #tell({ site, study, change }: Extract<Step, { do: 'tell' }>): void {
    const uid = this.#studies[study]?.uid
    if (uid === undefined || this.#sent.every((it) => it.study !== uid)) return
    const [comment] = change.comments ?? []
    const write = { site, study: uid, stores: false, ...(comment && { comment: comment.text }) }
    this.#send(write, () => this.#world.sites[site].tell(uid, change))
  }

  #send(what: Pick<Write, 'site' | 'study' | 'stores' | 'comment'>, attempt: Write['attempt']): void {
    const write: Write = { ...what, attempt, attempts: 0, isDone: false, isRefused: false }
    this.#writes.push(write)
    const running = this.#attempt(write).catch((thrown: unknown) => this.#note(`${what.site} said: ${String(thrown)}`))
    this.#running.add(running)
    void running.finally(() => this.#running.delete(running))
  }

  async #attempt(write: Write): Promise<void> {
    write.attempts++
    write.isRefused = !(await write.attempt())
    write.isDone = true
  }

  async #await({ moment, from, to }: Extract<Step, { do: 'await' }>): Promise<void> {
    const { kind, path } = moments[moment]
    const isIt = (it: { kind: string; path: string; from: string; to: string }) =>
      it.kind === kind && it.from === from && it.to === to && path.test(it.path)
    await this.#within(this.#world.passing(isIt))
  }

  async #within(waited: Promise<unknown>): Promise<void> {
    const late = new AbortController()
    const isLate = elapsed(patienceMs, true, { signal: late.signal }).catch(() => false)
    if (await Promise.race([waited.then(() => false), isLate])) this.missed++
    late.abort()
  }

  async #fail(fault: Fault): Promise<void> {
    this.#disturbances++
    if (fault.of === 'database') return this.#world.database?.kill()
    if (fault.of === 'link') return this.#world.sites[fault.from].to.get(fault.to)?.[fault.how]()
    const site = this.#world.sites[fault.site]
    const failing = fault.of === 'proxy' ? site : site.archive
    return fault.how === 'kill' ? failing.kill() : failing.pause()
  }

  async #mend(fault: Fault): Promise<void> {
    if (fault.of === 'database') return this.#restartDatabase()
    if (fault.of === 'link') return this.#world.sites[fault.from].to.get(fault.to)?.heal()
    const site = this.#world.sites[fault.site]
    if (fault.how === 'hang') return (fault.of === 'proxy' ? site : site.archive).resume()
    return fault.of === 'proxy' ? site.start() : site.archive.restart()
  }

  async #restartDatabase(): Promise<void> {
    await this.#world.database?.restart()
    for (const name of siteNames) await this.#world.sites[name].lapseLeases()
  }

  /** The same again is known by its receipt; another content under its key is refused, once it was accepted. */
  async #replay({ back, changed }: Extract<Step, { do: 'replay' }>): Promise<void> {
    const sent = this.#notices()
    const notice = sent[Math.max(0, sent.length - 1 - back)]
    if (!notice) return
    const to = this.#world.sites[notice.to]
    const body = changed ? Buffer.from(notice.body.toString().replace('"maxHops":4', '"maxHops":5')) : notice.body
    await this.#within(
      this.#calling(async () => {
        const known = await to.ask(`/link/v1/receipts/${notice.id}`, { as: notice.from })
        const { status } = await to.notify({ ...notice, body })
        this.#note(`${notice.to} knew ${notice.id}: ${known.status}, and said ${status}`)
        // Once the other content was accepted, that is what is known.
        if (this.#replayedChanged.has(notice.id)) return
        if (known.status === 200 && status < 500) expect(status).toBe(changed ? 422 : 200)
        else if (changed) this.#replayedChanged.add(notice.id)
        else expect(status).not.toBe(422)
      }),
    )
  }

  async #compare({ from, to, study }: Extract<Step, { do: 'compare' }>): Promise<void> {
    const uid = this.#studies[study]?.uid as Uid
    if (this.#sent.every((it) => it.study !== uid)) return
    this.#disturbances++
    const body = writeNotice({
      ...{ noticeId: randomUUID(), origin: from, hops: [from], maxHops: 4, issuedAt: new Date(), trigger: 'RESYNC' },
      ...{ study: uid, version: {}, attributes: emptySnapshot, series: [] },
    })
    const { noticeId: id } = JSON.parse(Buffer.from(body).toString()) as { noticeId: string }
    await this.#within(
      this.#calling(async () => {
        const { status } = await this.#world.sites[to].notify({ from, id, body })
        if (status < 500) expect(status).toBe(202)
      }),
    )
  }

  /** A call to a site that may be down, which is then no failure. */
  #calling(call: () => Promise<void>): Promise<void> {
    const called = call().catch((thrown: unknown) => {
      if (thrown instanceof Error && thrown.name === 'AssertionError') throw thrown
      this.#note(`not called: ${String(thrown)}`)
    })
    this.#running.add(called)
    void called.finally(() => this.#running.delete(called)).catch(() => undefined)
    return called
  }

  #expectNoCrash(): void {
    for (const { crashed } of Object.values(this.#world.sites)) expect(crashed).toBeUndefined()
  }

  /** Nothing is to be done anywhere, and nobody has said anything since that was asked. */
  async #expectQuiet(): Promise<void> {
    const said = this.#world.notices.length
    for (const _ of ['once', 'again']) {
      const open = (await Promise.all(Object.values(this.#world.sites).map(unfinishedAt))).flat()
      if (open.length > 0) throw new Error(`not done: ${open.join('; ')}`)
    }
    if (this.#world.notices.length > said) throw new Error('sites are still telling each other')
  }

  #note(text: string): void {
    this.trace.push(`${new Date().toISOString()} ${text}`)
  }
}

async function unfinishedAt(site: LinkedSite): Promise<string[]> {
  const queues = await site.queues()
  for (const { cluster, refusedInstances } of queues) expect(refusedInstances, `refused by ${cluster}`).toBe(0)
  for (const { cluster, waiting } of queues) if (waiting > 0) await site.hurry(cluster)
  return queues
    .filter(({ waiting, running, deadLetters }) => waiting + running + deadLetters > 0)
    .map((it) => `${site.name}: ${JSON.stringify(it)}`)
}

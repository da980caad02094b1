import type { Refusals } from '../../src/clusters/refused.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import type { Log } from '../../src/core/telemetry.ts'
import { datasetDigest } from '../../src/dicom/digest.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { NoticedSeries, StudyUpdateNotice } from '../../src/link/notice.ts'
import type { Receipt } from '../../src/link/receipt.ts'
import { emptySnapshot } from '../../src/link/snapshot.ts'
import { joinVersions, type Version } from '../../src/link/version.ts'
import type { Buried, NoticeOutcome, Notices, TellingMemory, Told, Visitors } from '../../src/peers/ports.ts'
import type { MadeInstance } from '../support/made-instance.ts'

/** What a site keeps of others, in memory. */
export class MemorySite {
  readonly versions = new Map<Uid, Version>()
  readonly kept = new Map<string, { notice: StudyUpdateNotice; bodyDigest: string; receipt: Receipt }>()
  readonly queued: string[] = []
  readonly refused = new Map<Uid, number>()
  /** `uid origin` */
  readonly marks = new Set<string>()
  readonly told = new Map<string, Told>()
  readonly buried: { whole: boolean; instances: Set<Uid> } = { whole: false, instances: new Set() }
  readonly logged: string[] = []

  raise(study: Uid, site: string): void {
    const version = this.versions.get(study) ?? {}
    this.versions.set(study, { ...version, [site]: (version[site] ?? 0) + 1 })
  }

  readonly versionOf = async (study: Uid): Promise<Version> => this.versions.get(study) ?? {}

  readonly notices: Notices = {
    find: async (id) => {
      const it = this.kept.get(id)
      return it && { origin: it.notice.origin, bodyDigest: it.bodyDigest, receipt: it.receipt }
    },
    accept: async (notice, { bodyDigest, queue }) => {
      const { noticeId, study } = notice
      const counts = { promised: countOf(notice.series), held: 0, pulled: 0, refused: 0 }
      const receipt = { noticeId, study, state: 'ACCEPTED' as const, ...counts, receivedAt: noon, updatedAt: noon }
      this.kept.set(noticeId, { notice, bodyDigest, receipt })
      this.queued.push(`${study} ${queue}`)
      return receipt
    },
    open: async (origin, study, limit) =>
      [...this.kept.values()]
        .filter(({ notice, receipt }) => notice.origin === origin && notice.study === study && isOpen(receipt))
        .map(({ notice }) => notice)
        .slice(0, limit),
    start: async (ids) => {
      for (const id of ids) this.#set(id, { state: 'PULLING' })
    },
    settle: async (id, outcome: NoticeOutcome) => {
      const { notice } = this.#set(id, outcome)
      this.versions.set(notice.study, joinVersions(await this.versionOf(notice.study), notice.version))
    },
    fail: async (origin, study, error) => {
      for (const { noticeId } of await this.notices.open(origin, study, 1000))
        this.#set(noticeId, { state: 'FAILED', error })
    },
    failAbandoned: async () => undefined,
    prune: async () => 0,
  }

  readonly refusals: Refusals = {
    of: async () => new Set(this.refused.keys()),
    remember: async (_study, _queue, some) => {
      for (const { instance, reason } of some) this.refused.set(instance, reason)
    },
  }

  readonly visitors: Visitors = {
    mark: async (_study, instances, origin) => {
      for (const instance of instances) this.marks.add(`${instance} ${origin}`)
    },
    forget: async (_study, instances, origin) => {
      for (const instance of instances) this.marks.delete(`${instance} ${origin}`)
    },
  }

  get visiting(): ReadonlySet<string> {
    return new Set(this.marks.values().map((mark) => mark.split(' ')[0] ?? ''))
  }

  readonly telling: TellingMemory = {
    last: async (study, peer) => this.told.get(`${study} ${peer}`),
    remember: async (study, peer, told) => void this.told.set(`${study} ${peer}`, told),
  }

  readonly buriedOf = async (): Promise<Buried> => this.buried

  readonly log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (fields, event) => void this.logged.push(`${event} ${JSON.stringify(fields)}`),
    error: (fields, event) => void this.logged.push(`${event} ${JSON.stringify(fields)}`),
  }

  #set(id: string, change: Partial<Receipt>) {
    const it = this.kept.get(id)
    if (!it) throw new ClusterError('here', 'not-found', id)
    it.receipt = { ...it.receipt, ...change }
    return it
  }
}

export const noon = new Date('2025-12-31T12:00:00Z')

const isOpen = ({ state }: Receipt) => state === 'ACCEPTED' || state === 'PULLING'

const countOf = (series: readonly NoticedSeries[]) => series.reduce((sum, { instances }) => sum + instances.length, 0)

let counter = 0

/** A notice of what is given, as `south` tells it. */
export function noticeOf(
  study: Uid,
  made: readonly MadeInstance[],
  more: Partial<StudyUpdateNotice> & { readonly digests?: ReadonlyMap<string, string>; readonly sopClass?: Uid } = {},
): StudyUpdateNotice {
  const { digests, sopClass, ...changed } = more
  const instanceOf = ({ instance }: MadeInstance) => {
    const digest = digests?.get(instance)
    return { sopInstanceUID: instance as Uid, ...(sopClass && { sopClassUID: sopClass }), ...(digest && { digest }) }
  }
  const bySeries = Map.groupBy(made, ({ series }) => series as Uid)
  const series = [...bySeries].map(([uid, all]) => ({ seriesInstanceUID: uid, instances: all.map(instanceOf) }))
  return {
    noticeId: `00000000-0000-4000-8000-${String(++counter).padStart(12, '0')}`,
    ...{ origin: 'south', hops: ['south'], maxHops: 4, issuedAt: noon, trigger: 'OBJECT', study },
    ...{ version: { south: counter }, attributes: emptySnapshot, series },
    ...changed,
  }
}

/** Digests of instances as a manifest tells them, by SOP Instance UID. */
export async function digestsOf(made: readonly MadeInstance[]): Promise<Map<string, string>> {
  const digests = made.map(async ({ instance, bytes }) => {
    const { header, body } = await sniffInstance(once(bytes), { maxHeaderBytes: 65_536 })
    return [instance, await datasetDigest(body, header.datasetOffset)] as const
  })
  return new Map(await Promise.all(digests))
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

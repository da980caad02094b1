import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { InstanceUpload, SearchRequest } from '../../src/clusters/cluster.ts'
import { openEmbeddedCluster } from '../../src/clusters/embedded/cluster.ts'
import type { ClusterStatus, Clusters } from '../../src/clusters/registry.ts'
import { locationIndex } from '../../src/compose/location-index.ts'
import { deliverAll, deliveryOf, spoolOf, withSpool } from '../../src/compose/spool.ts'
import { configSchema, spoolId } from '../../src/config/schema.ts'
import { noTelemetry } from '../../src/core/telemetry.ts'
import { removeStudyRows, studiesAfter } from '../../src/db/embedded-remove.ts'
import { convergeJob } from '../../src/db/schema.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { createStoreService } from '../../src/store/service.ts'
import { openTestDatabase } from '../support/database.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { collect, MemoryCluster } from '../support/memory-cluster.ts'
import { inPieces, uploadsOf } from '../support/uploads.ts'

const never = new AbortController().signal
const opened: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

/** Tells when the next event of a name is logged. */
class Events {
  readonly #told = new Map<string, PromiseWithResolvers<void>>()

  next(event: string): Promise<void> {
    const told = Promise.withResolvers<void>()
    this.#told.set(event, told)
    return told.promise
  }

  readonly note = (_fields: object, event: string): void => this.#told.get(event)?.resolve()
  readonly log = { debug: this.note, info: this.note, warn: this.note, error: this.note }
}

async function setup() {
  const { db, dataDir, close } = await openTestDatabase()
  opened.push(close)
  const clusters = [{ id: 'north', role: 'home', dicomweb: 'http://127.0.0.1:1/dicom-web' }]
  const config = configSchema.parse({ site: 'north', dataDir, store: { spool: true }, clusters })
  const events = new Events()
  const home = new MemoryCluster('north', { role: 'home' })
  return { db, dataDir, config, events, home }
}

type Site = Awaited<ReturnType<typeof setup>>

/** The spool of a site, its delivery and the service in front, as after a start of the process. */
async function start({ db, dataDir, config, events, home }: Site) {
  const { log } = events
  const options = { id: spoolId, role: 'linked', priority: 0, timeoutMs: 20_000, limits: config.limits } as const
  const spool = await openEmbeddedCluster({ ...options, dataDir, db, log })
  const state = () => (home.faults.down ? 'down' : 'up')
  const status = () => [{ id: 'north', state: state() } as ClusterStatus]
  const all = [home, spool]
  const clusters: Clusters = {
    all,
    home,
    get: (id) => all.find((it) => it.id === id),
    status,
    close: async () => undefined,
  }
  const index = locationIndex(db, log)
  const removed: Uid[] = []
  const delivered: Uid[] = []
  const told = {
    removed: (study: Uid) => void removed.push(study),
    delivered: async (studies: readonly Uid[]) => void delivered.push(...studies),
  }
  const parts = { db, clusters, index, log, metrics: noTelemetry, ...told }
  const delivery = deliveryOf(config, spool, parts)
  await deliverAll(config, db, delivery)
  delivery.start()
  const service = createStoreService({
    ...config.limits,
    home,
    spool: spoolOf(config, clusters, log),
    spoolDir: join(dataDir, 'spool'),
    replicate: async (studies, { id }) => (id === spoolId ? delivery.request(studies) : undefined),
  })
  const stop = async () => {
    await delivery.stop()
    await spool.close()
  }
  return { spool, delivery, service, removed, delivered, stop }
}

async function startOnce(site: Site) {
  const running = await start(site)
  opened.push(running.stop)
  return running
}

async function* partsOf(made: readonly MadeInstance[]): Parts {
  for (const { bytes } of made) yield { contentType: 'application/dicom', body: inPieces(bytes) }
}

const request = (...made: readonly MadeInstance[]) => ({
  parts: partsOf(made),
  representation: 'instances' as const,
  base: 'https://proxy.example/dicom-web',
})

const search: SearchRequest = { level: 'study', constraints: [], includeFields: [], limit: 100 }

async function filesIn(dataDir: string): Promise<string[]> {
  const names = await readdir(join(dataDir, 'clusters', spoolId), { recursive: true })
  return names.filter((name) => name.endsWith('.dcm'))
}

async function heldAsSent(home: MemoryCluster, made: readonly MadeInstance[]): Promise<boolean> {
  return made.every(({ instance, bytes }) => Buffer.from(home.held.get(instance)?.bytes ?? []).equals(bytes))
}

describe('the spool', () => {
  it('keeps what comes while home is down, shows it, and is empty when home has it all as it was sent', async () => {
    const site = await setup()
    const { home, events, db, dataDir } = site
    const { service, spool, removed, delivered: told } = await startOnce(site)
    const study = madeUid()
    const made = [madeInstance({ study }), madeInstance({ study })]
    home.faults.down = 'unreachable'
    const answer = await service.store(request(...made), never)
    expect(answer).toMatchObject({ status: 202, isSpooled: true })
    expect((await spool.search(search, never)).rows).toHaveLength(1)
    const parts = await spool.retrieve(
      { kind: 'instances', target: { study: study as Uid }, transferSyntax: '*' },
      never,
    )
    expect([...(await collect(parts)).keys()].sort()).toEqual(made.map(({ instance }) => instance).sort())
    expect(home.held.size).toBe(0)

    const delivered = events.next('spool-delivered')
    delete home.faults.down
    await delivered
    expect(await heldAsSent(home, made)).toBe(true)
    expect([await studiesAfter(db, spoolId, undefined, 10), await filesIn(dataDir), removed]).toEqual([[], [], [study]])
    expect(told).toEqual([study])
  })

  it('never gives up what home refuses for good', async () => {
    const site = await setup()
    const { home, events } = site
    const { service, spool } = await startOnce(site)
    const study = madeUid()
    const [wanted, unwanted] = [madeInstance({ study }), madeInstance({ study })]
    home.faults.down = 'unreachable'
    await service.store(request(wanted, unwanted), never)
    const store = home.store.bind(home)
    home.store = async (uploads) => {
      async function* some(): AsyncGenerator<InstanceUpload> {
        for await (const upload of uploads) if (upload.header.sopInstanceUID === wanted.instance) yield upload
      }
      const { header } = await uploadsOf(unwanted.bytes)
        .next()
        .then(({ value }) => value as InstanceUpload)
      return [...(await store(some())), { header, outcome: { status: 'failed', failureReason: 0x0122 } }]
    }
    const kept = events.next('spool-kept')
    delete home.faults.down
    await kept
    expect([...home.held.keys()]).toEqual([wanted.instance])
    const { rows } = await spool.search({ ...search, level: 'instance' }, never)
    expect(rows).toHaveLength(2)
  })

  it('never gives up what has the UID of something that home has, and other content', async () => {
    const site = await setup()
    const { home, events } = site
    const { service, spool } = await startOnce(site)
    const study = madeUid() as Uid
    const [there, same] = [madeInstance({ study }), madeInstance({ study })]
    const other = madeInstance({ ...there, grey: 99 })
    for (const it of [there, same]) home.add(it)
    home.faults.down = 'unreachable'
    await service.store(request(other, same), never)
    const kept = events.next('spool-kept')
    delete home.faults.down
    await kept
    expect(await heldAsSent(home, [there, same])).toBe(true)
    const target = { study, series: other.series as Uid, instance: other.instance as Uid }
    const parts = await spool.retrieve({ kind: 'instances', target, transferSyntax: '*' }, never)
    expect((await collect(parts)).get(target.instance)).toEqual(Buffer.from(other.bytes))
  })

  it('loses nothing that is stored while the study is being delivered', async () => {
    const site = await setup()
    const { home, events, db } = site
    const { service, spool, delivery } = await startOnce(site)
    const study = madeUid() as Uid
    const [first, late] = [madeInstance({ study }), madeInstance({ study })]
    home.faults.down = 'unreachable'
    await service.store(request(first), never)
    const list = home.search.bind(home)
    let isLate = true
    home.search = async (asked) => {
      const answer = await list(asked)
      if (home.held.size === 0 || !isLate) return answer
      isLate = false
      await spool.store(uploadsOf(late.bytes), never)
      await delivery.request([study])
      return answer
    }
    const [kept, delivered] = [events.next('spool-kept'), events.next('spool-delivered')]
    delete home.faults.down
    await kept
    await delivered
    expect(await heldAsSent(home, [first, late])).toBe(true)
    expect(await studiesAfter(db, spoolId, undefined, 10)).toEqual([])
  })

  it('that was killed between rows and files of a delivered study delivers it again and is empty', async () => {
    const site = await setup()
    const { home, events, db, dataDir } = site
    const before = await start(site)
    const made = madeInstance()
    home.faults.down = 'unreachable'
    await before.service.store(request(made), never)
    await removeStudyRows(db, spoolId, made.study as Uid, { has: () => true })
    // What is left is not to depend on the job, which may have been done.
    await db.delete(convergeJob)
    await before.stop()
    expect(await filesIn(dataDir)).toHaveLength(1)

    delete home.faults.down
    const delivered = events.next('spool-delivered')
    await startOnce(site)
    await delivered
    expect(await heldAsSent(home, [made])).toBe(true)
    expect([await studiesAfter(db, spoolId, undefined, 10), await filesIn(dataDir)]).toEqual([[], []])
  })

  it('goes on delivering after it was switched off, and is there no more when it is empty', async () => {
    const site = await setup()
    const off = { ...site.config, store: { spool: false } }
    const { spool } = await startOnce(site)
    expect(await withSpool(off, site.db)).toBe(off)
    site.home.faults.down = 'unreachable'
    await spool.store(uploadsOf(madeInstance().bytes), never)
    const ids = (await withSpool(off, site.db)).clusters.map(({ id }) => id)
    expect(ids).toEqual(['north', spoolId])
  })
})

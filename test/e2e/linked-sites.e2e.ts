import { createHash, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import { datasetDigest } from '../../src/dicom/digest.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { linkTag } from '../../src/dicom/private-dictionary.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { noticeMediaType, type StudyUpdateNotice, writeNotice } from '../../src/link/notice.ts'
import { emptySnapshot } from '../../src/link/snapshot.ts'
import { disposedAfterAll, heldBy, storeRequest } from '../support/federation.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { freePort, type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { type Proxy as ProxyProcess, startProxy } from '../support/processes.ts'

/** Longest wait for sites to come to an agreement. */
const agreement = { timeout: 60_000, interval: 50 }

const keyOf = (name: string) => `a-long-key-of-${name}`
const hashOf = (name: string) => `sha256:${createHash('sha256').update(keyOf(name)).digest('hex')}`
const names = ['north', 'south'] as const
type Name = (typeof names)[number]

/** A proxy with an archive of its own, and the other site's proxy as its peer. */
class Site {
  readonly name: Name
  readonly archive: Orthanc
  readonly #options: { readonly dataDir: string; readonly config: object }
  #proxy: ProxyProcess | undefined

  constructor(name: Name, archive: Orthanc, options: { readonly dataDir: string; readonly config: object }) {
    this.name = name
    this.archive = archive
    this.#options = options
  }

  /** `replication`: as the configuration has it. */
  async start(replication: object = {}): Promise<void> {
    const { dataDir, config } = this.#options
    this.#proxy = await startProxy({ dataDir, config: { ...config, replication } })
  }

  async kill(): Promise<void> {
    await this.#proxy?.kill('SIGKILL')
  }

  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${keyOf('tester')}`, ...init.headers }
    return fetch(`${this.#proxy?.url}${path}`, { ...init, headers })
  }

  async store(...made: readonly MadeInstance[]): Promise<void> {
    const response = await this.ask('/dicom-web/studies', storeRequest(made.map(({ bytes }) => bytes)))
    expect(response.status, await response.text()).toBe(200)
  }

  async tell(study: string, change: object): Promise<void> {
    const headers = { 'content-type': 'application/merge-patch+json' }
    const body = JSON.stringify(change)
    const response = await this.ask(`/link/v1/studies/${study}`, { method: 'PATCH', headers, body })
    expect(response.status, await response.text()).toBe(200)
  }

  /** What it says of a study beside the archives. */
  async told(study: string) {
    const response = await this.ask(`/link/v1/studies/${study}`)
    const { reportStatus, studyStatus, comments, corrections } = (await response.json()) as Record<string, unknown>
    const texts = (comments as readonly { readonly text: string }[]).map(({ text }) => text)
    return { reportStatus, studyStatus, comments: texts.toSorted(), corrections }
  }

  async residenceOf(study: string): Promise<string | undefined> {
    const response = await this.ask(`/dicom-web/studies?StudyInstanceUID=${study}&includefield=link`)
    const [row = {}] = (await response.json()) as Dataset[]
    return firstString(row, linkTag.residence)
  }

  /** Jobs that are not done, by queue. */
  async unfinished(): Promise<Record<string, number>> {
    const response = await this.ask('/link/v1/replication')
    const { clusters } = (await response.json()) as {
      clusters: Record<'cluster' | 'waiting' | 'running' | 'deadLetters', unknown>[]
    }
    return Object.fromEntries(
      clusters.map(({ cluster, waiting, running, deadLetters }) => [
        cluster,
        Number(waiting) + Number(running) + Number(deadLetters),
      ]),
    )
  }

  /** Notices told since the proxy was started. */
  async noticesTold(): Promise<number> {
    const text = await (await this.ask('/metrics')).text()
    const peer = names.find((it) => it !== this.name)
    return Number(
      new RegExp(`^dicomweb_link_converge_runs_total\\{.*cluster="${peer}".*result="ok".*\\} (\\d+)$`, 'm').exec(
        text,
      )?.[1] ?? 0,
    )
  }
}

describe.skipIf(!orthancAvailable)('two linked sites', () => {
  const open = disposedAfterAll()
  const sites = {} as Record<Name, Site>
  /** Changes that each site made itself. */
  const changes: Record<Name, number> = { north: 0, south: 0 }

  beforeAll(async () => {
    const ports = { north: await freePort(), south: await freePort() }
    const started = names.map(async (name) => {
      const other = name === 'north' ? 'south' : 'north'
      const archive = open.use(await startOrthanc({ name }))
      const dataDir = await mkdtemp(join(tmpdir(), `linked-${name}-`))
      open.defer(() => rm(dataDir, { recursive: true, force: true }))
      const address = `http://127.0.0.1:${ports[other]}`
      const peer = { id: other, role: 'linked', dicomweb: `${address}/dicom-web`, link: `${address}/link/v1` }
      const apiKeys = [
        { name: other, hash: hashOf(other), scopes: ['query', 'retrieve', 'link'] },
        { name: 'tester', hash: hashOf('tester'), scopes: ['query', 'retrieve', 'store', 'admin'] },
      ]
      const config = {
        ...{ site: name, viewer: false, listen: { host: '127.0.0.1', port: ports[name] }, auth: { apiKeys } },
        clusters: [
          { id: name, role: 'home', dicomweb: archive.dicomweb },
          { ...peer, auth: { bearer: { token: keyOf(name) } } },
        ],
      }
      sites[name] = new Site(name, archive, { dataDir, config })
      open.defer(() => sites[name].kill())
      await sites[name].start()
    })
    await Promise.all(started)
  })

  const uids = (...made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()
  const store = async (name: Name, ...made: readonly MadeInstance[]) => {
    changes[name]++
    await sites[name].store(...made)
  }
  const tell = async (name: Name, study: string, change: object) => {
    changes[name]++
    await sites[name].tell(study, change)
  }
  const holds = (name: Name, study: string, ...made: readonly MadeInstance[]) =>
    expect.poll(() => heldBy(sites[name].archive, study), agreement).toEqual(uids(...made))
  const quiet = () =>
    expect
      .poll(async () => [await sites.north.unfinished(), await sites.south.unfinished()], agreement)
      .toEqual([
        { south: 0, 'south:pull': 0 },
        { north: 0, 'north:pull': 0 },
      ])

  const study = madeUid()
  const series = madeUid()
  const images = [1, 2, 3].map((instanceNumber) => madeInstance({ study, series, instanceNumber, rows: 64 }))
  const report = madeInstance({ study, modality: 'SR' })

  test('what is stored at one is at the other, as a visitor, byte for byte', async () => {
    await store('north', ...images)
    await holds('south', study, ...images)
    await quiet()
    expect(await sites.north.residenceOf(study)).toBe('RESIDENT')
    expect(await sites.south.residenceOf(study)).toBe('VISITOR')
    for (const { instance, bytes } of images) {
      const { archive } = sites.south
      const found = await archive.rest('/tools/lookup', { method: 'POST', body: instance })
      const [{ ID = '' } = {}] = (await found.json()) as { ID?: string }[]
      const file = Buffer.from(await (await archive.rest(`/instances/${ID}/file`)).arrayBuffer())
      expect(file.equals(bytes)).toBe(true)
    }
  })

  test('what is added at the other comes back', async () => {
    await store('south', report)
    await holds('north', study, ...images, report)
    expect(await sites.south.residenceOf(study)).toBe('RESIDENT')
  })

  test('both come to say the same of it, whoever was told', async () => {
    const correction = { keyword: 'PatientName', value: 'Doe^Jane', source: 'RIS' }
    await Promise.all([
      tell('north', study, { reportStatus: 'DICTATED', comments: [{ text: 'seen in the north' }] }),
      tell('south', study, { comments: [{ text: 'seen in the south' }], corrections: [correction] }),
    ])
    await tell('south', study, { studyStatus: 'READ', comments: [{ text: 'seen again' }] })
    const said = {
      ...{ reportStatus: 'DICTATED', studyStatus: 'READ' },
      comments: ['seen again', 'seen in the north', 'seen in the south'],
      corrections: [expect.objectContaining({ ...correction, site: 'south' })],
    }
    for (const name of names) await expect.poll(() => sites[name].told(study), agreement).toEqual(said)
  })

  test('then there is nothing left to say, and no more was said than was changed', async () => {
    await quiet()
    for (const name of names) {
      const told = await sites[name].noticesTold()
      expect(told).toBeGreaterThan(0)
      expect(told).toBeLessThanOrEqual(changes[name])
    }
  })

  test('who operates a site may hold back what it pulls', async () => {
    const held = madeInstance()
    const pulls = (verb: string) => sites.north.ask(`/link/v1/replication/south:pull/${verb}`, { method: 'POST' })
    expect((await pulls('pause')).status).toBe(200)
    await store('south', held)
    await expect.poll(async () => (await sites.north.unfinished())['south:pull'], agreement).toBe(1)
    expect(await heldBy(sites.north.archive, held.study)).toEqual([])
    expect((await pulls('resume')).status).toBe(200)
    await holds('north', held.study, held)
    await quiet()
  })

  test('what is stored while the other is down reaches it when it is back', async () => {
    const later = madeInstance({ study: madeUid() })
    await sites.south.kill()
    await store('north', later)
    await expect.poll(async () => (await sites.north.unfinished()).south, agreement).toBe(1)
    await sites.south.start()
    await holds('south', later.study, later)
    await quiet()
  })

  test('what was deleted at one on purpose does not come back, and everything else does', async () => {
    const [gone, added] = [images[0] as MadeInstance, madeInstance({ study })]
    const { archive } = sites.south
    const body = JSON.stringify({ studyInstanceUID: study, sopInstanceUIDs: [gone.instance] })
    const headers = { 'content-type': 'application/json' }
    const buried = await sites.south.ask('/link/v1/tombstones', { method: 'POST', headers, body })
    expect(buried.ok, await buried.text()).toBe(true)
    await remove(archive, gone)
    await store('north', added)
    await holds('south', study, ...images.slice(1), report, added)
    await quiet()
    expect(await heldBy(archive, study)).not.toContain(gone.instance)
  })

  /** As the proxy of `origin` sends it, with the key of `sender`. */
  async function send(
    sender: string,
    { study: of, origin, ...more }: Pick<StudyUpdateNotice, 'study' | 'origin'> & Partial<StudyUpdateNotice>,
  ) {
    const notice: StudyUpdateNotice = {
      ...{ noticeId: randomUUID(), origin, hops: [origin], maxHops: 4, issuedAt: new Date(), trigger: 'OBJECT' },
      ...{ study: of, version: { [origin]: 1 }, attributes: emptySnapshot, series: [], ...more },
    }
    const authorization = `Bearer ${keyOf(sender)}`
    const headers = { 'content-type': noticeMediaType, 'idempotency-key': notice.noticeId, authorization }
    const body = Buffer.from(writeNotice(notice))
    return sites.north.ask('/link/v1/study-updates', { method: 'POST', headers, body })
  }

  test('what is not what was promised is not stored, however large, and the rest is', async () => {
    const [of, uid] = [madeUid(), madeUid()]
    const made = [8, 2100, 8, 2100, 8].map((rows) => madeInstance({ study: of, series: uid, rows, columns: 2048 }))
    await sites.south.archive.load(made.map(({ bytes }) => bytes))
    const instances = await Promise.all(
      made.map(async ({ instance, bytes }, index) => {
        const digest = index < 2 ? '0'.repeat(64) : await digestOf(bytes)
        return { sopInstanceUID: instance as Uid, digest }
      }),
    )
    const series = [{ seriesInstanceUID: uid as Uid, instances }]
    const answer = await send('south', { study: of as Uid, origin: 'south', series })
    expect(answer.status, await answer.text()).toBe(202)
    const receipt = new URL(answer.headers.get('location') ?? '')
    const headers = { authorization: `Bearer ${keyOf('south')}` }
    const outcome = async () => (await sites.north.ask(receipt.pathname, { headers })).json()
    await expect
      .poll(outcome, agreement)
      .toMatchObject({ state: 'PARTIAL', promised: 5, held: 0, pulled: 3, refused: 2 })
    expect(await heldBy(sites.north.archive, of)).toEqual(uids(...made.slice(2)))
    expect((await sites.north.ask(receipt.pathname)).status).toBe(403)
    await quiet()
  })

  test('what one has lost, and what came into one by another way, is found by a sweep', async () => {
    const made = madeInstance({ study: madeUid() })
    const [lost, kept] = [madeInstance({ study: madeUid() }), madeInstance({ study: madeUid() })]
    await store('south', lost, kept)
    for (const it of [lost, kept]) await holds('north', it.study, it)
    await quiet()
    await sites.south.kill()
    await remove(sites.north.archive, lost)
    await sites.south.archive.load([made.bytes])
    await sites.south.start({ sweepEveryMs: 1000 })
    for (const it of [made, lost, kept]) await holds('north', it.study, it)
    await quiet()
  })

  test('a site speaks for itself alone', async () => {
    const notice = { study: study as Uid, origin: 'east' }
    const answer = await send('south', notice)
    expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining('origin')])
    expect((await send('tester', notice)).status).toBe(403)
    expect((await send('nobody', notice)).status).toBe(401)
  })
})

async function remove(archive: Orthanc, { instance }: MadeInstance): Promise<void> {
  const found = await archive.rest('/tools/lookup', { method: 'POST', body: instance })
  const [{ ID = '' } = {}] = (await found.json()) as { ID?: string }[]
  await archive.rest(`/instances/${ID}`, { method: 'DELETE' })
}

async function digestOf(bytes: Uint8Array): Promise<string> {
  const { header, body } = await sniffInstance(once(bytes), { maxHeaderBytes: 65_536 })
  return datasetDigest(body, header.datasetOffset)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

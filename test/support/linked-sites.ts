import { createHash } from 'node:crypto'
import postgres from 'postgres'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import { linkTag } from '../../src/dicom/private-dictionary.ts'
import { noticeMediaType } from '../../src/link/notice.ts'
import { partsIn } from '../faults/site.ts'
import { storeRequest } from './federation.ts'
import { dataDirectory } from './folders.ts'
import { Forwarder, type Passing } from './forwarder.ts'
import type { MadeInstance } from './made-instance.ts'
import { type Orthanc, startOrthanc } from './orthanc.ts'
import { type PostgresServer, postgresAvailable, startPostgres } from './postgres.ts'
import { type Proxy as ProxyProcess, startProxy } from './processes.ts'
import { digestOf, headerOf } from './uploads.ts'

export const siteNames = ['north', 'south', 'east'] as const
export type SiteName = (typeof siteNames)[number]
export const othersOf = (site: SiteName): SiteName[] => siteNames.filter((it) => it !== site)

/** What passes from a site to its archive, or to another site. */
export interface Passed extends Passing {
  readonly from: SiteName
  readonly to: SiteName
}

/** A notice as a site sent it. */
export interface SentNotice {
  readonly from: SiteName
  readonly to: SiteName
  readonly id: string
  readonly study: string
  readonly body: Buffer
}

/** Of one queue: `GET /link/v1/replication`. */
interface QueueState {
  readonly cluster: string
  readonly waiting: number
  readonly running: number
  readonly deadLetters: number
  readonly refusedInstances: number
}

const keyOf = (name: string) => `a-long-key-of-${name}`
const hashOf = (name: string) => `sha256:${createHash('sha256').update(keyOf(name)).digest('hex')}`

/** Calls of the test come to an end, also those to a process that hangs. */
const answerWithinMs = 30_000

/** A proxy with an archive of its own, which it reaches, as it does the other sites, by forwarders. */
export class LinkedSite {
  readonly name: SiteName
  readonly archive: Orthanc
  /** To its archive. */
  readonly home: Forwarder
  /** From it to the other sites. */
  readonly to = new Map<SiteName, Forwarder>()
  /** From the other sites to it. */
  readonly from: Forwarder[] = []
  /** How its proxy ended that nobody killed. */
  crashed: string | undefined
  /** What its proxies wrote until they ended. */
  #written = ''
  #proxy: ProxyProcess | undefined
  #options: { readonly dataDir: string; readonly config: object } | undefined
  readonly #databaseUrl: string | undefined

  constructor(name: SiteName, archive: Orthanc, home: Forwarder, databaseUrl?: string) {
    this.name = name
    this.archive = archive
    this.home = home
    this.#databaseUrl = databaseUrl
    home.target = archive.port
  }

  get log(): string {
    return this.#written + wordsOf(this.#proxy)
  }

  configure(dataDir: string): void {
    const others = othersOf(this.name)
    const key = (name: string, ...scopes: string[]) => ({ name, hash: hashOf(name), scopes })
    const peers = others.map((id) => {
      const address = this.to.get(id)?.url
      const auth = { bearer: { token: keyOf(this.name) } }
      return { id, role: 'linked', dicomweb: `${address}/dicom-web`, link: `${address}/link/v1`, auth }
    })
    const apiKeys = [
      ...others.map((it) => key(it, 'query', 'retrieve', 'link')),
      key('tester', 'query', 'retrieve', 'store', 'admin'),
    ]
    const config = {
      ...{ site: this.name, viewer: false, auth: { apiKeys } },
      ...(this.#databaseUrl && { database: { url: this.#databaseUrl } }),
      clusters: [{ id: this.name, role: 'home', dicomweb: `${this.home.url}/dicom-web` }, ...peers],
    }
    this.#options = { dataDir, config }
  }

  async start(): Promise<void> {
    await this.lapseLeases()
    const proxy = await startProxy(this.#options)
    this.#proxy = proxy
    void proxy.ended.then((how) => {
      // Killed by the schedule it is another one, or none, by now.
      if (this.#proxy === proxy) this.crashed = `the proxy of ${this.name} ended by itself: ${JSON.stringify(how)}`
    })
    for (const forwarder of this.from) forwarder.target = Number(new URL(this.#proxy.url).port)
  }

  async kill(): Promise<void> {
    const ending = this.#proxy
    this.#proxy = undefined
    for (const forwarder of this.from) forwarder.target = undefined
    await ending?.kill('SIGKILL')
    this.#written = `${this.#written}${wordsOf(ending)}-- killed\n`
  }

  /** The process stands still, and its connections stay open. */
  pause(): void {
    if (this.#proxy) process.kill(this.#proxy.pid, 'SIGSTOP')
  }

  resume(): void {
    if (this.#proxy) process.kill(this.#proxy.pid, 'SIGCONT')
  }

  /** As another site calls it: without a forwarder. */
  ask(path: string, { as = 'tester', ...init }: RequestInit & { readonly as?: string } = {}): Promise<Response> {
    if (!this.#proxy) throw new Error(`${this.name} is down`)
    const headers = { authorization: `Bearer ${keyOf(as)}`, ...init.headers }
    return fetch(`${this.#proxy.url}${path}`, { signal: AbortSignal.timeout(answerWithinMs), ...init, headers })
  }

  /** SOP Instance UIDs that it acknowledges. */
  async store(made: readonly MadeInstance[]): Promise<string[]> {
    const response = await this.ask('/dicom-web/studies', storeRequest(made.map(({ bytes }) => bytes)))
    if (response.status !== 200 && response.status !== 202) throw new Error(await refusal(response))
    const { '00081199': referenced } = (await response.json()) as Dataset
    return (referenced?.Value ?? []).map((item) => firstString(item as Dataset, '00081155') ?? '')
  }

  /** False: what it was told is against the rules (409). */
  async tell(study: string, change: object): Promise<boolean> {
    const headers = { 'content-type': 'application/merge-patch+json' }
    const body = JSON.stringify(change)
    const response = await this.ask(`/link/v1/studies/${study}`, { method: 'PATCH', headers, body })
    if (response.status !== 200 && response.status !== 409) throw new Error(await refusal(response))
    await response.arrayBuffer()
    return response.ok
  }

  /** A notice of another site, as that one would send it. */
  notify({ from, id, body }: Pick<SentNotice, 'from' | 'id'> & { readonly body: Uint8Array }): Promise<Response> {
    const headers = { 'content-type': noticeMediaType, 'idempotency-key': id }
    return this.ask('/link/v1/study-updates', { method: 'POST', as: from, headers, body: new Uint8Array(body) })
  }

  /** What it says of a study, in an order that does not tell how it came to know. */
  async told(study: string) {
    const response = await this.ask(`/link/v1/studies/${study}`)
    if (!response.ok) throw new Error(await refusal(response))
    const { reportStatus, verified, verifiedAt, comments } = (await response.json()) as Record<string, unknown>
    const sorted = (comments as object[]).map((it) => JSON.stringify(it)).sort()
    return { reportStatus, verified, verifiedAt, comments: sorted }
  }

  /** As it tells others, who compare: what its archive has, and which changes are in it. */
  async digestOf(study: string): Promise<unknown> {
    const [as] = othersOf(this.name)
    const response = await this.ask(`/link/v1/digests?study=${study}`, { ...(as && { as }) })
    if (!response.ok) throw new Error(await refusal(response))
    return response.json()
  }

  async residenceOf(study: string): Promise<string | undefined> {
    const response = await this.ask(`/dicom-web/studies?StudyInstanceUID=${study}&includefield=link`)
    const [row = {}] = (await response.json()) as Dataset[]
    return firstString(row, linkTag.residence)
  }

  async queues(): Promise<QueueState[]> {
    const response = await this.ask('/link/v1/replication')
    if (!response.ok) throw new Error(await refusal(response))
    return ((await response.json()) as { readonly clusters: QueueState[] }).clusters
  }

  /** What failed and waits for its next attempt is due at once, as when an operator pauses and resumes. */
  async hurry(cluster: string): Promise<void> {
    for (const verb of ['pause', 'resume']) {
      const response = await this.ask(`/link/v1/replication/${cluster}/${verb}`, { method: 'POST' })
      if (!response.ok) throw new Error(await refusal(response))
      await response.arrayBuffer()
    }
  }

  /** What its archive has of a study, as it is stored: SHA-256 of the datasets, by SOP Instance UID. */
  async content(study: string): Promise<Record<string, string>> {
    const accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    const response = await this.archive.rest(`/dicom-web/studies/${study}`, { headers: { accept } })
    if (response.status === 404) return {}
    if (!response.ok) throw new Error(await refusal(response))
    const files = partsIn(response.headers.get('content-type') ?? '', Buffer.from(await response.arrayBuffer()))
    return Object.fromEntries((await Promise.all(files.map(digested))).sort())
  }

  /** What is claimed by who cannot settle it any more is not waited for. */
  async lapseLeases(): Promise<void> {
    if (this.#databaseUrl === undefined) return
    const sql = postgres(this.#databaseUrl, { max: 1 })
    const [table] = await sql`select to_regclass('converge_job') is not null as found`
    if (table?.found) await sql`update converge_job set lease_until = now() where lease is not null`
    await sql.end()
  }
}

/** Three sites, each linked with each other one. */
export interface LinkedSites extends AsyncDisposable {
  readonly sites: Readonly<Record<SiteName, LinkedSite>>
  /** Of those sites that keep what they know in PostgreSQL: all but the first, where it is installed. */
  readonly database: PostgresServer | undefined
  /** All that sites sent each other so far. */
  readonly notices: SentNotice[]
  /** Resolves when something like it is on its way, before it arrives. */
  passing(isIt: (passed: Passed) => boolean): Promise<void>
}

export async function startLinkedSites(): Promise<LinkedSites> {
  await using started = new AsyncDisposableStack()
  const database = postgresAvailable ? started.adopt(await startPostgres(), (it) => it.stop()) : undefined
  const notices: SentNotice[] = []
  const waiting = new Map<(passed: Passed) => boolean, () => void>()
  const onPassed = (passed: Passed) => {
    if (passed.body) notices.push(noticeIn(passed, passed.body))
    for (const [isIt, resolve] of waiting) if (isIt(passed)) resolve()
  }
  const forwarder = async (from: SiteName, to: SiteName) =>
    started.use(
      await Forwarder.start({ keep: '/study-updates', onPassing: (passing) => onPassed({ from, to, ...passing }) }),
    )
  const siteOf = async (name: SiteName) => {
    const archive = started.use(await startOrthanc({ name }))
    const url = name === siteNames[0] ? undefined : await database?.createDatabase()
    return [name, new LinkedSite(name, archive, await forwarder(name, name), url)] as const
  }
  const sites = Object.fromEntries(await Promise.all(siteNames.map(siteOf))) as Record<SiteName, LinkedSite>
  for (const from of siteNames) {
    for (const to of othersOf(from)) {
      const between = await forwarder(from, to)
      sites[from].to.set(to, between)
      sites[to].from.push(between)
    }
  }
  for (const site of Object.values(sites)) {
    const { path, remove } = await dataDirectory()
    started.defer(remove)
    started.defer(() => site.kill())
    site.configure(path)
  }
  await Promise.all(Object.values(sites).map((site) => site.start()))
  const kept = started.move()
  const passing = (isIt: (passed: Passed) => boolean) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    waiting.set(isIt, resolve)
    return promise.finally(() => waiting.delete(isIt))
  }
  return { sites, database, notices, passing, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

function noticeIn({ from, to }: Passed, body: Buffer): SentNotice {
  const { noticeId: id, studyInstanceUID: study } = JSON.parse(body.toString()) as Record<string, string>
  return { from, to, id: id ?? '', study: study ?? '', body }
}

const wordsOf = (proxy: ProxyProcess | undefined) => (proxy ? proxy.stdout() + proxy.stderr() : '')

const refusal = async (response: Response) => `${response.status} ${(await response.text()).slice(0, 500)}`

async function digested(file: Buffer): Promise<[string, string]> {
  const { sopInstanceUID } = await headerOf(file)
  return [sopInstanceUID, await digestOf(file)]
}

import { afterAll, expect } from 'vitest'
import type { ClusterConfig } from '../../src/config/schema.ts'
import type { Dataset } from '../../src/dicom/dataset.ts'
import type { MadeInstance } from './made-instance.ts'
import { type Orthanc, type OrthancOptions, startOrthanc } from './orthanc.ts'
import { type ProxyOptions, type Proxy as ProxyProcess, startProxy } from './processes.ts'

/** Three real archives and the proxy in front of them: home `north`, linked `south`, third party `cardio`. */
export interface Federation extends AsyncDisposable {
  readonly north: Orthanc
  readonly south: Orthanc
  readonly cardio: Orthanc
  /** The running proxy; another one after {@link restart}. */
  readonly proxy: ProxyProcess
  /** Asks the proxy and holds the answer against what no answer may hold. Paths begin with `/`, or are its URLs. */
  ask(path: string, init?: RequestInit): Promise<Answer>
  /** Rows or datasets of an answer that is expected to be a success. */
  datasets(path: string): Promise<Dataset[]>
  /** Starts the proxy again on its data and port-independent configuration; ends the running one as told. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

export interface FederationOptions {
  readonly content?: Readonly<Record<ArchiveName, readonly (string | Uint8Array)[]>>
  readonly south?: OrthancOptions
  /** Beside the clusters. */
  readonly config?: object
  readonly proxy?: Omit<ProxyOptions, 'config'>
}

export const archiveNames = ['north', 'south', 'cardio'] as const
export type ArchiveName = (typeof archiveNames)[number]
type Archives = Readonly<Record<ArchiveName, Orthanc>>

/** What only the archives know of themselves; seen in an answer it has leaked. */
const aeTitleOf = (name: ArchiveName) => `${name.toUpperCase()}AE`

export async function startArchives(options: FederationOptions = {}): Promise<Archives & AsyncDisposable> {
  await using started = new AsyncDisposableStack()
  const start = async (name: ArchiveName): Promise<[ArchiveName, Orthanc]> => {
    const own = name === 'south' ? options.south : undefined
    const settings = { DicomAet: aeTitleOf(name), ...own?.settings }
    const archive = started.use(await startOrthanc({ ...own, name, settings }))
    await archive.load(options.content?.[name] ?? [])
    return [name, archive]
  }
  const archives = Object.fromEntries(await Promise.all(archiveNames.map(start))) as unknown as Archives
  const kept = started.move()
  return { ...archives, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** How the proxy is told of them. */
export const clustersOf = ({ north, south, cardio }: Archives): Partial<ClusterConfig>[] => [
  { id: 'north', role: 'home', dicomweb: north.dicomweb, priority: 5 },
  { id: 'south', role: 'linked', dicomweb: south.dicomweb },
  { id: 'cardio', role: 'thirdParty', dicomweb: cardio.dicomweb },
]

/** Starts everything, filled; ready when this resolves. */
export async function startFederation(options: FederationOptions = {}): Promise<Federation> {
  await using started = new AsyncDisposableStack()
  const archives = started.use(await startArchives(options))
  const config = { site: 'north', viewer: false, clusters: clustersOf(archives), ...options.config }
  const start = () => startProxy({ ...options.proxy, config })
  let proxy = await start()
  const kept = started.move()
  const ask = (path: string, init?: RequestInit) => askProxy(proxy.url, path, init, archives)
  return {
    ...archives,
    get proxy() {
      return proxy
    },
    ask,
    datasets: async (path) => {
      const answer = await ask(path, { headers: { accept: 'application/dicom+json' } })
      expect(answer.status, answer.text()).toBe(200)
      return answer.json() as Dataset[]
    },
    restart: async (signal) => {
      await proxy.kill(signal)
      proxy = await start()
    },
    [Symbol.asyncDispose]: async () => {
      await proxy.kill('SIGKILL')
      await kept.disposeAsync()
    },
  }
}

/** One federation for all tests of a file; the object is usable from `beforeAll` on. */
export function disposedAfterAll(): AsyncDisposableStack {
  const stack = new AsyncDisposableStack()
  afterAll(() => stack.disposeAsync())
  return stack
}

/** An answer of the proxy, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly type: string
  readonly bytes: Buffer
  /** Each `Warning`, without code and agent. */
  readonly warnings: readonly string[]
  text(): string
  json(): unknown
  /** Of a multipart answer; fails when it is none or has no closing boundary. */
  parts(): AnswerPart[]
}

export interface AnswerPart {
  readonly headers: Headers
  readonly bytes: Buffer
}

/** Every answer is looked through for addresses and titles of the archives, whatever it is about. */
async function askProxy(base: string, path: string, init: RequestInit = {}, archives: Archives): Promise<Answer> {
  const response = await fetch(path.startsWith('/') ? `${base}${path}` : path, { redirect: 'error', ...init })
  const bytes = Buffer.from(await response.arrayBuffer())
  const answer = answerOf(response, bytes)
  expectNothingLeaked(answer, archives)
  return answer
}

function answerOf({ status, headers }: Response, bytes: Buffer): Answer {
  const type = headers.get('content-type') ?? ''
  return {
    status,
    headers,
    type,
    bytes,
    warnings: (headers.get('warning') ?? '').split(/(?:^|, )299 north: /).filter((text) => text !== ''),
    text: () => bytes.toString('utf8'),
    json: () => JSON.parse(bytes.toString('utf8')),
    parts: () => splitParts(type, bytes),
  }
}

function expectNothingLeaked({ headers, bytes }: Answer, archives: Archives): void {
  const head = JSON.stringify([...headers])
  for (const name of archiveNames) {
    for (const secret of [`:${archives[name].port}`, aeTitleOf(name)]) {
      expect(head).not.toContain(secret)
      expect(bytes.includes(secret), `${secret} in an answer`).toBe(false)
    }
  }
}

/** A reader of multipart of the test's own, strict about what RFC 2046 wants of whoever writes. */
function splitParts(type: string, bytes: Buffer): AnswerPart[] {
  const boundary = /^multipart\/related;.*boundary="?([^";]+)"?/.exec(type)?.[1]
  if (boundary === undefined) throw new Error(`not multipart but ${type}: ${bytes.subarray(0, 500).toString()}`)
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  const all = Buffer.concat([Buffer.from('\r\n'), bytes])
  const parts: AnswerPart[] = []
  let at = all.indexOf(delimiter)
  for (let next = at; ; at = next) {
    const start = at + delimiter.length
    if (all.subarray(start, start + 2).toString() === '--') return parts
    next = all.indexOf(delimiter, start)
    if (next < 0) throw new Error('the closing boundary is missing')
    parts.push(partOf(all.subarray(start + 2, next)))
  }
}

function partOf(bytes: Buffer): AnswerPart {
  const end = bytes.indexOf('\r\n\r\n')
  const lines = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const fields = lines.map((line) => /^([^:]+): *(.*)$/.exec(line)?.slice(1, 3) as [string, string])
  return { headers: new Headers(fields), bytes: bytes.subarray(end + 4) }
}

/** `multipart/related` as a modality writes it, one file a part. */
export function storeRequest(files: readonly (Uint8Array | { readonly type: string; readonly bytes: Uint8Array })[]): {
  method: 'POST'
  headers: Record<string, string>
  body: Uint8Array<ArrayBuffer>
} {
  const boundary = 'a-boundary-of-the-test'
  const parts = files.flatMap((file) => {
    const { type, bytes } = file instanceof Uint8Array ? { type: 'application/dicom', bytes: file } : file
    return [Buffer.from(`--${boundary}\r\nContent-Type: ${type}\r\n\r\n`), bytes, Buffer.from('\r\n')]
  })
  return {
    method: 'POST',
    headers: {
      'content-type': `multipart/related; type="application/dicom"; boundary=${boundary}`,
      accept: 'application/dicom+json',
    },
    body: new Uint8Array(Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)])),
  }
}

export const instancePath = ({ study, series, instance }: MadeInstance): string =>
  `/dicom-web/studies/${study}/series/${series}/instances/${instance}`

/** SOP Instance UIDs an archive holds of a study, asked of itself. */
export async function heldBy(archive: Orthanc, study: string): Promise<string[]> {
  const response = await archive.rest(`/dicom-web/studies/${study}/instances`)
  const rows = (await response.json()) as Dataset[]
  return rows.map((row) => String(row['00080018']?.Value?.[0])).sort()
}

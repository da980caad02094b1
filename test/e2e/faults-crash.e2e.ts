import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { partsIn } from '../faults/site.ts'
import { type FakeArchive, startFakeArchive } from '../support/fake-archive.ts'
import { storeRequest } from '../support/federation.ts'
import { dataDirectory } from '../support/folders.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { type Proxy as ProxyProcess, startProxy } from '../support/processes.ts'

/** For replication to bring what is left, after a crash and the pauses between attempts. */
const convergedMs = 120_000

type Dataset = Record<string, { Value?: unknown[] } | undefined>

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const uidsIn = (answer: Dataset, sequence: '00081198' | '00081199') =>
  ((answer[sequence]?.Value ?? []) as Dataset[]).map((item) => String(item['00081155']?.Value?.[0]))

/** Every SOP Instance UID an archive has, as often as it has it, asked of itself. */
async function instancesAt(archive: Orthanc): Promise<string[]> {
  const rows = (await (await archive.rest('/dicom-web/instances')).json()) as Dataset[]
  return rows.map((row) => String(row['00080018']?.Value?.[0])).sort()
}

/** Sends instances, some of a study at a time, until it cannot; notes what was acknowledged. */
async function sendOnAndOn(url: string, acknowledged: Map<string, MadeInstance>, onAnswer: () => void): Promise<void> {
  for (;;) {
    const study = madeUid()
    const sent = [1, 2, 3, 4].map((instanceNumber) => madeInstance({ study, instanceNumber, rows: 200, columns: 200 }))
    try {
      const response = await fetch(`${url}/dicom-web/studies`, storeRequest(sent.map(({ bytes }) => bytes)))
      const stored = new Set(uidsIn((await response.json()) as Dataset, '00081199'))
      for (const it of sent) if (stored.has(it.instance)) acknowledged.set(it.instance, it)
    } catch {
      return
    }
    onAnswer()
  }
}

/** Several clients send at once; the proxy is killed while they do, after so many answers. */
async function killWhileStoring(proxy: ProxyProcess, answers: number): Promise<Map<string, MadeInstance>> {
  const acknowledged = new Map<string, MadeInstance>()
  let left = answers
  const onAnswer = () => void (--left === 0 && proxy.kill('SIGKILL'))
  await Promise.all([1, 2, 3].map(() => sendOnAndOn(proxy.url, acknowledged, onAnswer)))
  await proxy.ended
  expect(acknowledged.size).toBeGreaterThanOrEqual(answers * 4)
  return acknowledged
}

const missingFrom = (held: readonly string[], wanted: Iterable<string>) =>
  [...wanted].filter((uid) => !held.includes(uid))

const once = (uids: readonly string[]) => expect(uids).toEqual([...new Set(uids)])

describe.skipIf(!orthancAvailable)('a proxy killed by kill -9', () => {
  let north: Orthanc
  let south: Orthanc
  let wire: FakeArchive
  let data: Awaited<ReturnType<typeof dataDirectory>>
  let proxy: ProxyProcess
  /** Told of each upload that begins to arrive at the linked cluster. */
  let onReplicated: () => void = () => undefined

  beforeAll(async () => {
    ;[north, south] = await Promise.all([startOrthanc({ name: 'north' }), startOrthanc({ name: 'south' })])
    // Between the proxy and the linked cluster, so that the test knows what is on its way there.
    wire = await startFakeArchive()
    wire.on('/', (request, response) => {
      if (request.method === 'POST') request.once('data', () => onReplicated())
      return forward(request, response, south.port)
    })
  })
  afterAll(async () => {
    await Promise.all([north?.stop(), south?.stop(), wire?.close()])
  })
  beforeEach(async () => {
    data = await dataDirectory()
  })
  afterEach(async () => {
    await proxy?.kill('SIGKILL')
    onReplicated = () => undefined
    await data.remove()
  })

  const start = async (home: object) => {
    const clusters = [
      { id: 'north', role: 'home', ...home },
      { id: 'south', role: 'linked', dicomweb: wire.dicomweb },
    ]
    proxy = await startProxy({ dataDir: data.path, config: { site: 'test', viewer: false, clusters } })
    return proxy
  }
  const converged = (wanted: Iterable<string>) =>
    expect
      .poll(async () => missingFrom(await instancesAt(south), wanted), { timeout: convergedMs, interval: 200 })
      .toEqual([])

  it('while storing has lost nothing it acknowledged, and brings all of it to the linked cluster', async () => {
    const home = { dicomweb: north.dicomweb }
    const acknowledged = await killWhileStoring(await start(home), 20)
    await start(home)
    const atHome = await instancesAt(north)
    expect(missingFrom(atHome, acknowledged.keys())).toEqual([])
    await converged(acknowledged.keys())
    const atSouth = await instancesAt(south)
    once(atHome)
    once(atSouth)
    expect(missingFrom(await instancesAt(north), atSouth)).toEqual([])
  })

  it('while storing into its embedded cluster has lost nothing it acknowledged, byte for byte', async () => {
    const home = { embedded: {} }
    const acknowledged = await killWhileStoring(await start(home), 20)
    await start(home)
    for (const study of new Set([...acknowledged.values()].map((it) => it.study))) {
      const wanted = [...acknowledged.values()].filter((it) => it.study === study)
      const response = await fetch(`${proxy.url}/dicom-web/studies/${study}`, { headers: { Accept: '*/*' } })
      const files = partsIn(response.headers.get('content-type') ?? '', Buffer.from(await response.arrayBuffer()))
      expect(files.map(digest).sort()).toEqual(wanted.map(({ bytes }) => digest(bytes)).sort())
    }
    await converged(acknowledged.keys())
    once(await instancesAt(south))
  })

  it('while replicating brings the rest after its restart, and nothing twice', async () => {
    const home = { dicomweb: north.dicomweb }
    await start(home)
    const sent = Array.from({ length: 8 }, () => madeUid()).map((study) =>
      Array.from({ length: 10 }, () => madeInstance({ study, rows: 200, columns: 200 })),
    )
    // In the middle of the third upload to the linked cluster.
    let left = 3
    onReplicated = () => void (--left === 0 && proxy.kill('SIGKILL'))
    const acknowledged: string[] = []
    for (const study of sent) {
      const answer = fetch(`${proxy.url}/dicom-web/studies`, storeRequest(study.map(({ bytes }) => bytes)))
      const stored = await answer.then(async (it) => (await it.json()) as Dataset).catch(() => ({}))
      acknowledged.push(...uidsIn(stored, '00081199'))
    }
    await proxy.ended
    expect(acknowledged.length).toBeGreaterThan(0)
    await start(home)
    await converged(acknowledged)
    once(await instancesAt(south))
    once(await instancesAt(north))
  })

  it('while the linked cluster is down still brings everything there when both are back', async () => {
    const home = { dicomweb: north.dicomweb }
    await south.kill()
    const acknowledged = await killWhileStoring(await start(home), 6)
    await south.restart()
    await start(home)
    await converged(acknowledged.keys())
    once(await instancesAt(south))
  })
})

/** Relays a request to a port of this machine, and the answer back. */
function forward(request: IncomingMessage, response: ServerResponse, port: number): void {
  const { method, url, headers } = request
  const onward = httpRequest({ port, method, path: url, headers })
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => response.destroy())
  request.on('error', () => onward.destroy())
  response.on('close', () => onward.destroy())
  request.pipe(onward)
}

describe('a disk that is full', () => {
  let data: Awaited<ReturnType<typeof dataDirectory>>
  let folder: string
  let mounted = false

  beforeAll(async () => {
    data = await dataDirectory()
    folder = join(data.path, 'clusters', 'north')
    await mkdir(folder, { recursive: true })
    mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder]).status === 0
  })
  afterAll(async () => {
    if (mounted) spawnSync('umount', [folder])
    await data.remove()
  })

  it('fails what does not fit with A700H, stores the rest, and the proxy lives on', async ({ skip }) => {
    skip(!mounted, 'nobody but root may mount a small disk')
    const clusters = [{ id: 'north', role: 'home', embedded: {} }]
    await using proxy = await startProxy({ dataDir: data.path, config: { site: 'test', viewer: false, clusters } })
    const study = madeUid()
    const sent = Array.from({ length: 10 }, () => madeInstance({ study, rows: 1700, columns: 1700 }))
    const response = await fetch(`${proxy.url}/dicom-web/studies`, storeRequest(sent.map(({ bytes }) => bytes)))
    expect(response.status).toBe(202)
    const answer = (await response.json()) as Dataset
    const stored = uidsIn(answer, '00081199')
    const failed = uidsIn(answer, '00081198')
    expect(stored.length).toBeGreaterThan(0)
    expect(failed.length).toBeGreaterThan(0)
    expect([...stored, ...failed].sort()).toEqual(sent.map(({ instance }) => instance).sort())
    const reasons = ((answer['00081198']?.Value ?? []) as Dataset[]).map((item) => item['00081197']?.Value?.[0])
    expect(new Set(reasons)).toEqual(new Set([0xa700]))

    const read = await fetch(`${proxy.url}/dicom-web/studies/${study}`, { headers: { Accept: '*/*' } })
    const files = partsIn(read.headers.get('content-type') ?? '', Buffer.from(await read.arrayBuffer()))
    const kept = sent.filter(({ instance }) => stored.includes(instance))
    expect(files.map(digest).sort()).toEqual(kept.map(({ bytes }) => digest(bytes)).sort())
  })
})

import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partOf, partsIn } from '../faults/site.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { type PostgresServer, postgresAvailable, startPostgres } from '../support/postgres.ts'
import { type Proxy as ProxyProcess, startProxy } from '../support/processes.ts'

const mebibyte = 1024 ** 2
/** For what the proxy may take more than before, whatever passes through it; far below what does. */
const allowance = 100 * mebibyte
const clientIdleTimeoutMs = 2000

const study = madeUid()
/** 300 MB. */
const large = Array.from({ length: 75 }, (_, index) =>
  madeInstance({ study, series: `${study}.1`, instanceNumber: index + 1, rows: 2000, columns: 2000, grey: index }),
)
const path = `/dicom-web/studies/${study}`
const multipartDicom = 'multipart/related; type="application/dicom"; boundary=b'

const memoryOf = (pid: number, field: 'VmRSS' | 'VmHWM') =>
  Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
const descriptorsOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length

/** The most memory the process had during the work. */
async function peakDuring(pid: number, work: () => Promise<void>): Promise<number> {
  // Sets the high-water mark back to what is in use now.
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  await work()
  return memoryOf(pid, 'VmHWM')
}

/** The same, beyond what it had before. */
async function growthDuring(pid: number, work: () => Promise<void>): Promise<number> {
  const before = memoryOf(pid, 'VmRSS')
  return (await peakDuring(pid, work)) - before
}

async function open(address: string): Promise<Socket> {
  const { port, hostname } = new URL(address)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

const closedOf = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))

/** Asks and takes only what arrives first: its reading stops there. */
async function askAndStop(address: string, resource = path): Promise<Socket> {
  const socket = await open(address)
  socket.write(`GET ${resource} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  await once(socket, 'readable')
  return socket
}

/** Everything a client that had stopped reads when it goes on; `complete` as HTTP says it. */
async function readOn(socket: Socket): Promise<{ head: string; body: Buffer; complete: boolean }> {
  const chunks: Buffer[] = []
  const closed = closedOf(socket)
  socket.on('data', (chunk) => chunks.push(chunk))
  await closed
  const all = Buffer.concat(chunks)
  const end = all.indexOf('\r\n\r\n')
  const lastChunk = all.subarray(-5).toString() === '0\r\n\r\n'
  return { head: all.subarray(0, end).toString(), body: unchunked(all.subarray(end + 4)), complete: lastChunk }
}

function unchunked(body: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at)
    const size = end < 0 ? 0 : Number.parseInt(body.toString('latin1', at, end), 16)
    if (size === 0) return Buffer.concat(pieces)
    pieces.push(body.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

/** Sends pieces as fast as they are taken, until the connection says no. */
async function sendAll(socket: Socket, pieces: Iterable<Uint8Array | string>): Promise<void> {
  const closed = closedOf(socket)
  for (const piece of pieces) {
    if (!socket.writable) return
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain').catch(() => undefined), closed])
  }
}

/** Posts one message of exactly these pieces and reads the answer to its end. */
async function upload(address: string, length: number, pieces: Iterable<Uint8Array | string>): Promise<string> {
  const client = await open(address)
  let answer = ''
  client.on('data', (chunk) => {
    answer += chunk
  })
  const closed = closedOf(client)
  client.write(
    `POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${length}\r\n`,
  )
  client.write(`Content-Type: ${multipartDicom}\r\n\r\n`)
  await sendAll(client, pieces)
  await closed
  return answer
}

function* zeros(count: number): Generator<Uint8Array> {
  const chunk = Buffer.alloc(mebibyte)
  for (let sent = 0; sent < count; sent++) yield chunk
}

let postgres: PostgresServer

// The embedded database compiles itself while it is used, for which it takes hundreds of megabytes at any time.
beforeAll(async () => {
  if (postgresAvailable) postgres = await startPostgres()
})
afterAll(() => postgres?.stop())

const start = async (config: object): Promise<ProxyProcess> =>
  startProxy({ config: { ...config, database: { url: await postgres.createDatabase() } } })

describe.skipIf(!orthancAvailable || !postgresAvailable)('the proxy as a process', () => {
  let north: Orthanc
  let south: Orthanc
  let config: object

  beforeAll(async () => {
    ;[north, south] = await Promise.all([startOrthanc({ name: 'north' }), startOrthanc({ name: 'south' })])
    await north.load(large.map(({ bytes }) => bytes))
    config = {
      site: 'test',
      viewer: false,
      drainTimeoutMs: 3000,
      limits: { clientIdleTimeoutMs },
      clusters: [
        { id: 'north', role: 'home', dicomweb: north.dicomweb, timeoutMs: 3000 },
        { id: 'south', role: 'linked', dicomweb: south.dicomweb, timeoutMs: 3000, updates: 'none' },
      ],
    }
  })
  afterAll(async () => {
    await Promise.all([north?.stop(), south?.stop()])
  })

  describe('under load', () => {
    let proxy: ProxyProcess
    let descriptors: number

    /** What every kind of work needs once is there before anything is measured. */
    beforeAll(async () => {
      proxy = await start(config)
      const small = await (await fetch(`${proxy.url}${path}/series?limit=1`)).arrayBuffer()
      expect(small.byteLength).toBeGreaterThan(0)
      const warm = await fetch(`${proxy.url}${path}`)
      for await (const _ of warm.body ?? []);
      descriptors = descriptorsOf(proxy.pid)
    })
    afterAll(async () => {
      await proxy?.kill('SIGKILL')
    })

    const alive = async () => expect((await fetch(`${proxy.url}/healthz`)).status).toBe(200)

    it('needs no more memory for a study of 300 MB whose client reads nothing, and cuts it after the idle timeout', async () => {
      let client: Socket | undefined
      const growth = await growthDuring(proxy.pid, async () => {
        client = await askAndStop(proxy.url)
        await proxy.says(/"event":"answer-cut"/)
      })
      expect(growth).toBeLessThan(allowance)
      if (client) expect((await readOn(client)).complete).toBe(false)
      await alive()
    })

    it('needs no more memory for ten clients that stop reading at the same time and leave', async () => {
      const growth = await growthDuring(proxy.pid, async () => {
        const clients = await Promise.all(Array.from({ length: 10 }, () => askAndStop(proxy.url)))
        for (const client of clients) client.destroy()
        await expect.poll(() => descriptorsOf(proxy.pid), { timeout: 30_000 }).toBeLessThanOrEqual(descriptors + 8)
      })
      expect(growth).toBeLessThan(2 * allowance)
      await alive()
    })

    it('needs no more memory to refuse a part of 1 GB that is no instance', async () => {
      const [before, after] = ['--b\r\n\r\n', '\r\n--b--\r\n']
      let answer = ''
      const growth = await growthDuring(proxy.pid, async () => {
        const length = before.length + 1024 * mebibyte + after.length
        answer = await upload(proxy.url, length, [before, ...zeros(1024), after])
      })
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
      expect(growth).toBeLessThan(allowance)
      await alive()
    })

    it('refuses an upload with 503 while home hangs, and does not gather it in memory', async () => {
      north.pause()
      let answer = ''
      const growth = await growthDuring(proxy.pid, async () => {
        answer = await upload(
          proxy.url,
          1_000_000_000,
          large.map(({ bytes }) => partOf(bytes)),
        )
      })
      north.resume()
      expect(answer).toMatch(/^HTTP\/1\.1 503 /)
      expect(answer).toMatch(/\r\nretry-after: \d+/i)
      expect(growth).toBeLessThan(allowance)
    })

    it('has no more files and connections open afterwards than before', async () => {
      const south503 = fetch(`${proxy.url}/dicom-web/studies?PatientID=nobody`)
      await (await south503).arrayBuffer()
      await expect
        .poll(() => descriptorsOf(proxy.pid), { timeout: 30_000, interval: 100 })
        .toBeLessThanOrEqual(descriptors + 8)
      await alive()
    })
  })

  describe('told to end', () => {
    it.each(['SIGTERM', 'SIGINT'] as const)(
      'by %s finishes a retrieval that is read slowly, takes no new connections, and exits with 0',
      async (signal) => {
        await using proxy = await start({ ...config, drainTimeoutMs: 60_000 })
        const client = await askAndStop(proxy.url)
        const ended = proxy.kill(signal)
        await proxy.says(/"event":"draining"/)
        await expect(fetch(`${proxy.url}/healthz`)).rejects.toThrow()
        const { head, body, complete } = await readOn(client)
        expect(complete).toBe(true)
        expect(partsIn(/content-type: (.*)/i.exec(head)?.[1] ?? '', body)).toHaveLength(large.length)
        expect(await ended).toEqual({ code: 0, signal: null })
      },
    )

    it('cuts a client that takes nothing and one that sends nothing when its time is over, and exits with 0', async () => {
      const limits = { clientIdleTimeoutMs: 60_000 }
      await using proxy = await start({ ...config, drainTimeoutMs: 1000, limits })
      const client = await askAndStop(proxy.url)
      const silent = await open(proxy.url)
      silent.write('POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n')
      expect(await proxy.kill('SIGTERM')).toEqual({ code: 0, signal: null })
      expect((await readOn(client)).complete).toBe(false)
      silent.destroy()
    })
  })
})

describe.skipIf(!postgresAvailable)('an embedded cluster', () => {
  it('stores and gives an instance of 600 MB in the memory that one of 150 MB needs', async () => {
    const clusters = [{ id: 'north', role: 'home', embedded: {} }]
    await using proxy = await start({ site: 'test', viewer: false, clusters })
    // Enough of it for V8 to let as much come together before it collects as it ever does.
    const before = memoryOf(proxy.pid, 'VmRSS')
    const peak = await peakDuring(proxy.pid, () => passThrough(proxy, 150))
    expect(peak - before).toBeLessThan(2 * allowance)
    const larger = await peakDuring(proxy.pid, () => passThrough(proxy, 600))
    expect(larger - peak).toBeLessThan(allowance)
  })

  /** Stores an instance and retrieves it again. Its dataset ends with the pixels, whose length is said to be another. */
  async function passThrough(proxy: ProxyProcess, mebibytes: number): Promise<void> {
    const { bytes, study: uid } = madeInstance({ rows: 1, columns: 2 })
    const head = Buffer.from(bytes.subarray(0, bytes.length - 2))
    head.writeUInt32LE(mebibytes * mebibyte, head.length - 4)
    const [before, after] = ['--b\r\nContent-Type: application/dicom\r\n\r\n', '\r\n--b--\r\n']
    const length = before.length + head.length + mebibytes * mebibyte + after.length
    const answer = await upload(proxy.url, length, [before, head, ...zeros(mebibytes), after])
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    let received = 0
    const response = await fetch(`${proxy.url}/dicom-web/studies/${uid}`)
    for await (const chunk of response.body ?? []) received += chunk.length
    expect(received).toBeGreaterThan(mebibytes * mebibyte)
  }
})

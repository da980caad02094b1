import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { partsIn } from '../faults/site.ts'
import { heldBy, storeRequest } from '../support/federation.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { type Proxy as ProxyProcess, startProxy } from '../support/processes.ts'

interface ClusterState {
  readonly id: string
  readonly state: string
  readonly reason?: string
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Long enough for a cluster that works, on a busy machine; what hangs is waited for no longer than this. */
const timeoutMs = 3000
/** For a probe to find out, with the pauses between probes. */
const recoveryMs = 60_000

const study = madeUid()
/** Together more than connections and buffers between an archive and a client hold. */
const twice = Array.from({ length: 24 }, (_, index) =>
  madeInstance({ study, series: `${study}.1`, instanceNumber: index + 1, rows: 1000, columns: 1000, grey: index }),
)
const atSouth = madeInstance()

describe.skipIf(!orthancAvailable)('with a home and a linked archive', () => {
  let north: Orthanc
  let south: Orthanc
  let proxy: ProxyProcess

  beforeAll(async () => {
    ;[north, south] = await Promise.all([startOrthanc({ name: 'north' }), startOrthanc({ name: 'south' })])
    const files = twice.map(({ bytes }) => bytes)
    await Promise.all([north.load(files), south.load([...files, atSouth.bytes])])
    proxy = await startProxy({
      config: {
        site: 'test',
        viewer: false,
        clusters: [
          { id: 'north', role: 'home', dicomweb: north.dicomweb, priority: 5, timeoutMs, idleTimeoutMs: timeoutMs },
          { id: 'south', role: 'linked', dicomweb: south.dicomweb, timeoutMs },
        ],
      },
    })
  })
  afterAll(async () => {
    await proxy?.kill('SIGKILL')
    await Promise.all([north?.stop(), south?.stop()])
  })

  /** Every test leaves both archives running and known to run, with all they hold. */
  afterEach(async () => {
    for (const archive of [north, south]) {
      archive.resume()
      if (archive.pid === undefined) await archive.restart()
    }
    for (const id of ['north', 'south']) {
      await expect.poll(async () => (await stateOf(id))?.state, { timeout: recoveryMs, interval: 100 }).toBe('up')
    }
    await expect.poll(metadataStatus, { timeout: recoveryMs, interval: 100 }).toBe(200)
  })

  const states = async (): Promise<ClusterState[]> => {
    const { clusters } = (await (await fetch(`${proxy.url}/readyz`)).json()) as { clusters: ClusterState[] }
    return clusters
  }
  const stateOf = async (id: string) => (await states()).find((it) => it.id === id)
  const query = async (parameters = '') => {
    const response = await fetch(`${proxy.url}/dicom-web/studies${parameters}`)
    const text = await response.text()
    const rows = response.ok ? (JSON.parse(text) as Record<string, { Value: string[] }>[]) : []
    const studies = rows.map((row) => row['0020000D']?.Value[0])
    return {
      status: response.status,
      headers: response.headers,
      warning: response.headers.get('warning'),
      studies,
      text,
    }
  }
  const retrieve = () =>
    fetch(`${proxy.url}/dicom-web/studies/${study}`, {
      headers: { Accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' },
    })
  const expectAll = (response: Response, body: Buffer) => {
    const files = partsIn(response.headers.get('content-type') ?? '', body)
    expect(files.map(digest).sort()).toEqual(twice.map(({ bytes }) => digest(bytes)).sort())
  }
  const metadataStatus = async () => {
    const response = await fetch(`${proxy.url}/dicom-web/studies/${study}/metadata`)
    await response.arrayBuffer()
    return response.status
  }
  const untilOpen = async (id: string) => {
    const open = expect.poll(async () => (await query()).warning, { timeout: 60_000, interval: 1 })
    await open.toContain(`cluster ${id} circuit-open`)
  }

  it('a killed cluster is named in the answers of the others, stays listed as down, and is used again when it is back', async () => {
    await south.kill()
    const first = await query()
    expect(first).toMatchObject({ status: 200, studies: [study] })
    expect(first.warning).toBe('299 test: Results are incomplete: cluster south unreachable')
    await untilOpen('south')
    expect(await stateOf('south')).toMatchObject({ state: 'down', reason: 'unreachable' })
    expect((await states()).map(({ id }) => id)).toEqual(['north', 'south'])

    await south.restart()
    await expect.poll(async () => (await stateOf('south'))?.state, { timeout: recoveryMs, interval: 100 }).toBe('up')
    const again = await query()
    expect(again.warning).toBeNull()
    expect(again.studies.toSorted()).toEqual([study, atSouth.study].toSorted())
  })

  it('a study held twice is complete while one of its holders is down', async () => {
    await north.kill()
    const response = await retrieve()
    // What it holds is known for some seconds more: until then it is known as well that nothing is missing.
    const doubts = response.status === 206 ? expect.stringContaining('cluster north unreachable') : null
    expect([response.status, response.headers.get('warning')]).toEqual([response.status === 206 ? 206 : 200, doubts])
    expectAll(response, Buffer.from(await response.arrayBuffer()))
  })

  it('a study is completed from the other holder when the first is killed while sending', async () => {
    const response = await retrieve()
    expect([response.status, response.headers.get('warning')]).toEqual([200, null])
    const chunks: Uint8Array[] = []
    for await (const chunk of response.body ?? []) {
      if (chunks.length === 0) await north.kill()
      chunks.push(chunk)
    }
    expectAll(response, Buffer.concat(chunks))
  })

  it('a study is completed from the other holder when the first hangs while sending', async () => {
    const response = await retrieve()
    expect([response.status, response.headers.get('warning')]).toEqual([200, null])
    const chunks: Uint8Array[] = []
    for await (const chunk of response.body ?? []) {
      if (chunks.length === 0) north.pause()
      chunks.push(chunk)
    }
    expectAll(response, Buffer.concat(chunks))
  })

  it('a hung cluster is waited for until its deadline, then left alone, and used again when it goes on', async () => {
    south.pause()
    // It goes on only after all of this: what is awaited here came without it.
    const first = await query()
    expect(first).toMatchObject({ status: 200, studies: [study] })
    expect(first.warning).toBe('299 test: Results are incomplete: cluster south timed-out')
    await untilOpen('south')
    expect(await stateOf('south')).toMatchObject({ state: 'down', reason: 'timed-out' })

    south.resume()
    await expect.poll(async () => (await stateOf('south'))?.state, { timeout: recoveryMs, interval: 100 }).toBe('up')
    expect((await query()).warning).toBeNull()
  })

  it('queries and studies are 503 with Retry-After while all clusters are down', async () => {
    await Promise.all([north.kill(), south.kill()])
    const { status, headers, text } = await query()
    expect(status).toBe(503)
    expect(headers.get('retry-after')).toMatch(/^\d+$/)
    expect(text).not.toMatch(/127\.0\.0\.1|ECONN/)
    const response = await retrieve()
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect((await fetch(`${proxy.url}/readyz`)).status).toBe(200)
  })

  it('queries are 504 while all clusters hang', async () => {
    for (const archive of [north, south]) archive.pause()
    expect((await query()).status).toBe(504)
  })

  it('an upload is 503 with Retry-After while home is down, and is stored when it is sent again', async () => {
    await north.kill()
    const sent = madeInstance()
    const post = () => fetch(`${proxy.url}/dicom-web/studies`, storeRequest([sent.bytes]))
    const refused = await post()
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await refused.json()).not.toHaveProperty('00081199')
    await north.restart()
    await expect.poll(async () => (await stateOf('north'))?.state, { timeout: recoveryMs, interval: 100 }).toBe('up')
    expect((await post()).status).toBe(200)
    expect(await heldBy(north, sent.study)).toEqual([sent.instance])
  })

  it('an upload is 503 with Retry-After while home hangs, and nothing of it is acknowledged', async () => {
    north.pause()
    const refused = await fetch(`${proxy.url}/dicom-web/studies`, storeRequest([madeInstance().bytes]))
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await refused.json()).not.toHaveProperty('00081199')
  })
})

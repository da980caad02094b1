import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Cluster, InstanceUpload } from '../../src/clusters/cluster.ts'
import { ClusterError } from '../../src/core/outcome.ts'
import { noLog } from '../../src/core/telemetry.ts'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { WireError } from '../../src/dicom/wire-error.ts'
import { createHomeWatch } from '../../src/store/home-watch.ts'
import { createStoreService, type StoreService } from '../../src/store/service.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const signal = new AbortController().signal
const base = 'https://proxy.example/dicom-web'
const rest = { base, representation: 'instances' } as const
const spoolDir = mkdtempSync(join(tmpdir(), 'spool-'))
const deps = { maxBufferedPartBytes: 1024 * 1024, maxJsonBytes: 1024 * 1024, spoolDir }

afterAll(() => rmSync(spoolDir, { recursive: true }))

function setup() {
  const home = new MemoryCluster('north', { role: 'home' })
  const requested: Uid[][] = []
  const replicate = async (studies: readonly Uid[]) => void requested.push([...studies])
  return { home, requested, service: createStoreService({ ...deps, home, replicate }) }
}

async function* bodies(...chunks: (Uint8Array | Error)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    if (chunk instanceof Error) throw chunk
    yield chunk
  }
}

async function* parts(...items: (Uint8Array | Part)[]): Parts {
  for (const item of items) {
    yield item instanceof Uint8Array ? { contentType: 'application/dicom', body: bodies(item) } : item
  }
}

const uidsIn = (response: Dataset, sequence: string): string[] =>
  (response[sequence]?.Value ?? []).map((item) => firstString(item as Dataset, tag.ReferencedSOPInstanceUID) ?? '')

const reasonsIn = (response: Dataset): unknown[] =>
  (response[tag.FailedSOPSequence]?.Value ?? []).map((item) => (item as Dataset)[tag.FailureReason]?.Value?.[0])

describe('storing', () => {
  it('answers with what home stored, under addresses of the proxy, and asks for replication first', async () => {
    const { home, requested, service } = setup()
    const study = madeUid()
    const made = [madeInstance({ study }), madeInstance({ study })]
    const answer = await service.store({ parts: parts(...made.map(({ bytes }) => bytes)), ...rest }, signal)
    expect(answer.status).toBe(200)
    expect(uidsIn(answer.response, tag.ReferencedSOPSequence)).toEqual(made.map(({ instance }) => instance))
    expect(firstString(answer.response, tag.RetrieveURL)).toBe(`${base}/studies/${study}`)
    expect(requested).toEqual([[study]])
    expect(home.held.size).toBe(2)
  })

  it('names what is no DICOM, of another study or of another type, and stores the rest', async () => {
    const { service } = setup()
    const [good, stray] = [madeInstance(), madeInstance()]
    const text: Part = { contentType: 'text/plain', body: bodies(Buffer.from('hello')) }
    const request = {
      study: good.study as Uid,
      parts: parts(Buffer.from('no dicom'), stray.bytes, text, good.bytes),
      ...rest,
    }
    const { status, response } = await service.store(request, signal)
    expect(status).toBe(202)
    expect(uidsIn(response, tag.ReferencedSOPSequence)).toEqual([good.instance])
    expect(reasonsIn(response)).toEqual([0xc000, 0xa900, 0xc000])
    expect(uidsIn(response, tag.FailedSOPSequence)[1]).toBe(stray.instance)
  })

  it('answers 409 when nothing was stored, with the reason home gave', async () => {
    const { home, service } = setup()
    home.faults.refuses = 0x0122
    const { status, response } = await service.store({ parts: parts(madeInstance().bytes), ...rest }, signal)
    expect(status).toBe(409)
    expect(reasonsIn(response)).toEqual([0x0122])
  })

  it('fails while home is down', async () => {
    const { home, service } = setup()
    home.faults.down = 'unreachable'
    const store = service.store({ parts: parts(madeInstance().bytes), ...rest }, signal)
    await expect(store).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('is not acknowledged when the intent to replicate cannot be made durable', async () => {
    const { home } = setup()
    const replicate = async () => {
      throw new Error('database gone')
    }
    const service = createStoreService({ ...deps, home, replicate })
    await expect(service.store({ parts: parts(madeInstance().bytes), ...rest }, signal)).rejects.toThrow(
      'database gone',
    )
  })

  it('shows home nothing of an instance that breaks off, and still replicates what came before it', async () => {
    const { home, requested, service } = setup()
    const [whole, half] = [madeInstance(), madeInstance()]
    const broken = bodies(
      half.bytes.subarray(0, 900),
      new WireError('truncated', 'the body ends in the middle of a part'),
    )
    const store = service.store({ parts: parts(whole.bytes, { contentType: '', body: broken }), ...rest }, signal)
    await expect(store).rejects.toMatchObject({ code: 'bad-request' })
    expect([...home.held.keys()]).toEqual([whole.instance])
    expect(requested).toEqual([[whole.study]])
  })
})

describe('storing with a spool', () => {
  function withSpool() {
    const home = new MemoryCluster('north', { role: 'home' })
    const cluster = new MemoryCluster('spool')
    const requested: [string, Uid[]][] = []
    const replicate = async (studies: readonly Uid[], { id }: Cluster) => void requested.push([id, [...studies]])
    const known: { state: 'up' | 'down' | 'unknown' } = { state: 'up' }
    const watch = createHomeWatch({ home, state: () => known.state, clock: new FakeClock() })
    const spool = { cluster, home: watch, log: noLog }
    return { home, cluster, requested, known, service: createStoreService({ ...deps, home, spool, replicate }) }
  }
  const send = (service: StoreService, ...made: readonly MadeInstance[]) =>
    service.store({ parts: parts(...made.map(({ bytes }) => bytes)), ...rest }, signal)

  it('leaves it alone as long as home answers', async () => {
    const { home, cluster, service } = withSpool()
    const answer = await send(service, madeInstance())
    expect([answer.status, answer.isSpooled, home.held.size, cluster.held.size]).toEqual([200, false, 1, 0])
  })

  it('does not ask a home that is known to be down', async () => {
    const { home, cluster, requested, known, service } = withSpool()
    known.state = 'down'
    const made = madeInstance()
    const answer = await send(service, made)
    expect([answer.status, answer.isSpooled, home.held.size, cluster.held.size]).toEqual([202, true, 0, 1])
    expect(requested).toEqual([['spool', [made.study]]])
  })

  it.each([
    ['answers', undefined, 1],
    ['does not', 'unreachable', 0],
  ] as const)('asks a home of which nothing is known, and goes by whether it %s', async (_, down, atHome) => {
    const { home, cluster, known, service } = withSpool()
    known.state = 'unknown'
    if (down) home.faults.down = down
    await send(service, madeInstance())
    expect([home.held.size, cluster.held.size]).toEqual([atHome, 1 - atHome])
  })

  it('takes at once what home failed to take before any of it was read', async () => {
    const { home, cluster, service } = withSpool()
    home.faults.down = 'unreachable'
    expect(await send(service, madeInstance())).toMatchObject({ status: 202, isSpooled: true })
    expect(cluster.held.size).toBe(1)
  })

  it('is where the next try goes when home breaks down in the middle of a request', async () => {
    const { home, cluster, requested, service } = withSpool()
    const made = madeInstance()
    home.store = async (uploads) => {
      for await (const _ of uploads) break
      home.faults.down = 'unreachable'
      throw new ClusterError('north', 'unreachable', 'lost')
    }
    await expect(send(service, made)).rejects.toMatchObject({ code: 'unavailable' })
    expect(cluster.held.size).toBe(0)
    expect(await send(service, made)).toMatchObject({ status: 202, isSpooled: true })
    expect([...cluster.held.keys()]).toEqual([made.instance])
    expect(requested.map(([at]) => at)).toEqual(['north', 'spool'])
  })

  it('is not for what home refuses, nor for a client that left', async () => {
    const { home, cluster, service } = withSpool()
    home.faults.down = 'failed'
    await expect(send(service, madeInstance())).rejects.toMatchObject({ code: 'bad-gateway' })
    home.faults.down = 'unreachable'
    const left = AbortSignal.abort(new Error('left'))
    await expect(service.store({ parts: parts(madeInstance().bytes), ...rest }, left)).rejects.toThrow()
    expect(cluster.held.size).toBe(0)
  })

  it('acknowledges nothing when the spool has no room', async () => {
    const { cluster, known, service } = withSpool()
    known.state = 'down'
    cluster.faults.refuses = 0xa700
    await expect(send(service, madeInstance())).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('storing metadata and bulk data that come apart', () => {
  const made = madeInstance()
  const uids = [made.study, made.series, made.instance]
  const metadata = (bulk: string): Dataset => ({
    [tag.SOPClassUID]: { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.7'] },
    [tag.StudyInstanceUID]: { vr: 'UI', Value: [uids[0]] },
    [tag.SeriesInstanceUID]: { vr: 'UI', Value: [uids[1]] },
    [tag.SOPInstanceUID]: { vr: 'UI', Value: [uids[2]] },
    [tag.PatientName]: { vr: 'PN', Value: [{ Alphabetic: 'Müller^Jürgen' }] },
    [tag.PixelData]: { vr: 'OB', BulkDataURI: bulk },
  })
  const json = (dataset: Dataset): Part => ({
    contentType: 'application/dicom+json',
    body: bodies(Buffer.from(JSON.stringify([dataset]))),
  })
  const pixels: Part = {
    contentType: 'application/octet-stream',
    location: 'bulk/1',
    body: bodies(Buffer.from('PIXELS')),
  }
  const request = { ...rest, representation: 'metadata' } as const

  it('makes whole instances of them and leaves nothing behind', async () => {
    const { home, service } = setup()
    const answer = await service.store({ ...request, parts: parts(json(metadata('bulk/1')), pixels) }, signal)
    expect(answer.status).toBe(200)
    const bytes = Buffer.from(home.held.get(made.instance)?.bytes ?? [])
    expect(bytes.includes('PIXELS') && bytes.includes('Müller^Jürgen')).toBe(true)
    expect(readdirSync(spoolDir)).toEqual([])
  })

  it('refuses two parts of one location: nobody knows which is meant', async () => {
    const { home, service } = setup()
    const again: Part = { ...pixels, body: bodies(Buffer.from('OTHERS')) }
    const sent = parts(json(metadata('bulk/1')), { ...pixels, body: bodies(Buffer.from('PIXELS')) }, again)
    await expect(service.store({ ...request, parts: sent }, signal)).rejects.toMatchObject({ code: 'bad-request' })
    expect([home.held.size, readdirSync(spoolDir)]).toEqual([0, []])
  })

  it('bounds the metadata of a request, not of each of its parts', async () => {
    const { service } = setup()
    const large = { ...metadata('bulk/1'), '00104000': { vr: 'LT', Value: ['x'.repeat(600_000)] } }
    const store = service.store({ ...request, parts: parts(json(large), json(large), pixels) }, signal)
    await expect(store).rejects.toMatchObject({ code: 'too-large' })
  })

  it('refuses an instance whose bulk data did not come', async () => {
    const { home, service } = setup()
    const answer = await service.store({ ...request, parts: parts(json(metadata('bulk/2'))) }, signal)
    expect([answer.status, reasonsIn(answer.response), home.held.size]).toEqual([409, [0xc000], 0])
  })

  describe('with many values', () => {
    const count = 40
    const privateTag = (index: number) => `0029${(0x1000 + index).toString(16).toUpperCase()}`
    const values = Array.from({ length: count }, (_, index) => `bulk/${index}`)
    const dataset = (): Dataset => ({
      ...metadata('bulk/0'),
      ...Object.fromEntries(values.map((uri, index) => [privateTag(index), { vr: 'OB', BulkDataURI: uri }])),
    })
    const many = () =>
      parts(
        json(dataset()),
        ...values.map((location) => ({ ...pixels, location, body: bodies(Buffer.alloc(100_000)) })),
      )
    const openFiles = () =>
      readdirSync('/proc/self/fd').filter((it) => {
        try {
          return readlinkSync(`/proc/self/fd/${it}`).startsWith(spoolDir)
        } catch {
          return false
        }
      }).length

    it('has one file of bulk data open at a time', async () => {
      const { home } = setup()
      const seen: number[] = []
      const service = createStoreService({ ...deps, maxBufferedPartBytes: 1, home, replicate: async () => undefined })
      const store = home.store.bind(home)
      home.store = (uploads) => store(watched(uploads))
      async function* watched(uploads: AsyncIterable<InstanceUpload>) {
        for await (const upload of uploads) yield { ...upload, body: counted(upload.body) }
      }
      async function* counted(body: AsyncIterable<Uint8Array>) {
        for await (const chunk of body) {
          seen.push(openFiles())
          yield chunk
        }
      }
      expect((await service.store({ ...request, parts: many() }, signal)).status).toBe(200)
      expect(seen.length).toBeGreaterThan(count)
      expect(Math.max(...seen)).toBe(1)
    })

    it('has none open after an instance was refused before it was read', async () => {
      const { home } = setup()
      const service = createStoreService({ ...deps, maxBufferedPartBytes: 1, home, replicate: async () => undefined })
      const refused = await service.store({ ...request, study: madeUid() as Uid, parts: many() }, signal)
      expect(reasonsIn(refused.response)).toEqual([0xa900])
      const incomplete = parts(
        json({ ...dataset(), [privateTag(count)]: { vr: 'OB', BulkDataURI: 'bulk/none' } }),
        pixels,
      )
      expect(reasonsIn((await service.store({ ...request, parts: incomplete }, signal)).response)).toEqual([0xc000])
      expect(openFiles()).toBe(0)
    })
  })
})

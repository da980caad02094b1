import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { InstanceUpload, StoreResult } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { readMultipart } from '../../src/dicom/multipart.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { tag } from '../../src/dicom/tags.ts'
import { type FakeArchive, json, startFakeArchive, status } from '../support/fake-archive.ts'
import { type MadeInstance, madeInstance } from '../support/made-instance.ts'
import { bytesOf, clusterAt, failureOf, forever, uploadsOf } from './setup.ts'

/** A well-behaved archive in memory, which can be told to answer otherwise. */
class Shelf {
  readonly held = new Map<string, { study: string; series: string; content: Buffer }>()
  /** UIDs in each STOW request. */
  readonly requests: string[][] = []
  /** Takes the place of its answer to a STOW request. */
  answer: ((listed: readonly string[]) => { status: number; body: unknown }) | undefined

  attach(archive: FakeArchive): void {
    archive
      .on(/studies\/[\d.]+\/instances\?/, (request, response) => {
        const study = /studies\/([\d.]+)/.exec(request.url ?? '')?.[1]
        const rows = [...this.held].filter(([, it]) => it.study === study)
        json(rows.map(([uid, it]) => ({ [tag.SOPInstanceUID]: ui(uid), [tag.SeriesInstanceUID]: ui(it.series) })))(
          request,
          response,
        )
      })
      .on(/instances\/[\d.]+$/, (request, response) => {
        const held = this.held.get(/instances\/([\d.]+)$/.exec(request.url ?? '')?.[1] ?? '')
        if (!held) return status(404)(request, response)
        response.writeHead(200, { 'Content-Type': 'application/dicom' }).end(held.content)
      })
      .on(/studies$/, async (request, response) => {
        const stored = await this.#take(request)
        const { status: code, body } = this.answer?.(stored) ?? { status: 200, body: storedList(stored) }
        response.writeHead(code, { 'Content-Type': 'application/dicom+json' }).end(JSON.stringify(body))
      })
  }

  put({ study, series, instance, bytes }: MadeInstance): void {
    this.held.set(instance, { study, series, content: Buffer.from(bytes) })
  }

  async #take(request: IncomingMessage): Promise<string[]> {
    const boundary = /boundary="([^"]+)"/.exec(request.headers['content-type'] ?? '')?.[1] ?? ''
    const stored: string[] = []
    for await (const part of readMultipart(request, boundary, { maxParts: 1000, maxPartBytes: 1024 ** 3 })) {
      if (part.contentType !== 'application/dicom') throw new Error(`a part of type ${part.contentType}`)
      const { header, body } = await sniffInstance(part.body, { maxHeaderBytes: 1024 ** 2 })
      const { studyInstanceUID: study, seriesInstanceUID: series, sopInstanceUID: instance } = header
      this.put({ study, series, instance, bytes: await bytesOf(body) })
      stored.push(instance)
    }
    this.requests.push(stored)
    return stored
  }
}

const ui = (value: string) => ({ vr: 'UI', Value: [value] })
const item = (uid: string, more: object = {}) => ({ [tag.ReferencedSOPInstanceUID]: ui(uid), ...more })
const us = (value: number) => ({ vr: 'US', Value: [value] })
const storedList = (uids: readonly string[]) => ({
  [tag.ReferencedSOPSequence]: { vr: 'SQ', Value: uids.map((uid) => item(uid)) },
})
const outcomes = (results: readonly StoreResult[]) =>
  results.map(({ outcome }) => (outcome.status === 'stored' ? 'stored' : outcome.failureReason))

describe('storing in an archive', () => {
  let archive: FakeArchive
  let shelf: Shelf
  let cluster: PooledCluster

  beforeEach(async () => {
    archive = await startFakeArchive()
    shelf = new Shelf()
    shelf.attach(archive)
    // One connection: whatever storing has to look up must not wait for the connection it stores through.
    cluster = clusterAt(archive.dicomweb, { cluster: { maxConnections: 1 } })
  })
  afterEach(async () => {
    await cluster.close()
    await archive.close()
  })

  const store = async (...instances: MadeInstance[]) =>
    outcomes(await cluster.store(uploadsOf(...instances), forever()))
  const inStudy = (study: string, count: number) => Array.from({ length: count }, () => madeInstance({ study }))

  it('sends the instances of a study in one request, byte by byte', async () => {
    const instances = inStudy('1.2', 3)
    expect(await store(...instances)).toEqual(['stored', 'stored', 'stored'])
    expect(shelf.requests).toEqual([instances.map(({ instance }) => instance)])
    for (const { instance, bytes } of instances) expect(shelf.held.get(instance)?.content).toEqual(Buffer.from(bytes))
  })

  it('stores instances of studies in turns', async () => {
    const [a, b] = [inStudy('1.2', 2), inStudy('1.3', 2)]
    const mixed = [a[0], b[0], a[1], b[1]].filter((it) => it !== undefined)
    expect(await store(...mixed)).toEqual(['stored', 'stored', 'stored', 'stored'])
    expect(shelf.held.size).toBe(4)
  })

  it('does not send again what is there with the same content', async () => {
    const [first, second] = [madeInstance({ study: '1.2' }), madeInstance({ study: '1.2' })]
    shelf.put(first)
    expect(await store(first, second)).toEqual(['stored', 'stored'])
    expect(shelf.requests).toEqual([[second.instance]])
  })

  it('refuses other content under a UID that is there, and the stored one stays', async () => {
    const first = madeInstance({ study: '1.2' })
    shelf.put(first)
    const other = madeInstance({ ...first, grey: 99 })
    expect(await store(other)).toEqual([0x0111])
    expect(shelf.requests).toEqual([])
    expect(shelf.held.get(first.instance)?.content).toEqual(Buffer.from(first.bytes))
  })

  it('sees a UID that comes twice in one call', async () => {
    const first = madeInstance({ study: '1.2' })
    const other = madeInstance({ ...first, grey: 99 })
    expect(await store(first, first, other)).toEqual(['stored', 'stored', 0x0111])
    expect(shelf.requests).toEqual([[first.instance]])
  })

  it('sends an instance that is listed although its file is gone', async () => {
    const instance = madeInstance({ study: '1.2' })
    shelf.put(instance)
    archive.on(/instances\/[\d.]+$/, status(404))
    expect(await store(instance)).toEqual(['stored'])
    expect(shelf.requests).toEqual([[instance.instance]])
  })

  it.each([
    ['an empty object', {}],
    ['empty lists', { [tag.ReferencedSOPSequence]: { vr: 'SQ' }, [tag.FailedSOPSequence]: { vr: 'SQ' } }],
    ['other instances', storedList(['9.9'])],
  ])('has stored nothing when 200 comes with %s', async (_what, body) => {
    shelf.answer = () => ({ status: 200, body })
    expect(await store(...inStudy('1.2', 2))).toEqual([0x0110, 0x0110])
  })

  it('takes a 400 with empty lists for an answer about each instance', async () => {
    shelf.answer = () => ({ status: 400, body: { [tag.ReferencedSOPSequence]: { vr: 'SQ' } } })
    expect(await store(...inStudy('1.2', 2))).toEqual([0x0110, 0x0110])
  })

  it.each([202, 400, 409])('takes a %i that lists instances for an answer', async (code) => {
    const [good, bad, warned, silent] = inStudy('1.2', 4).map((it) => it)
    if (!good || !bad || !warned || !silent) throw new Error('unreachable')
    shelf.answer = () => ({
      status: code,
      body: {
        [tag.ReferencedSOPSequence]: {
          vr: 'SQ',
          Value: [item(good.instance), item(warned.instance, { [tag.WarningReason]: us(0xb000) })],
        },
        [tag.FailedSOPSequence]: { vr: 'SQ', Value: [item(bad.instance, { [tag.FailureReason]: us(0xa700) })] },
      },
    })
    const results = await cluster.store(uploadsOf(good, bad, warned, silent), forever())
    expect(results.map(({ outcome }) => outcome)).toEqual([
      { status: 'stored' },
      { status: 'failed', failureReason: 0xa700 },
      { status: 'stored', warningReason: 0xb000 },
      { status: 'failed', failureReason: 0x0110 },
    ])
  })

  it.each([
    [400, 'rejected'],
    [409, 'rejected'],
    [401, 'access-denied'],
    [413, 'rejected'],
    [500, 'failed'],
    [503, 'failed'],
  ])('fails as a whole when the archive answers %i and lists nothing', async (code, reason) => {
    archive.on(/studies$/, status(code))
    const failure = await failureOf(cluster.store(uploadsOf(...inStudy('1.2', 2)), forever()))
    expect(failure.reason).toBe(reason)
  })

  it('fails as a whole when the connection is lost while sending', async () => {
    archive.on(/studies$/, (request) => {
      request.once('data', () => request.destroy())
    })
    const failure = await failureOf(cluster.store(uploadsOf(...inStudy('1.2', 2)), forever()))
    expect(failure.reason).toBe('unreachable')
  })

  it('tells the caller its own error when its stream breaks off, and does not finish the request', async () => {
    const [first, second] = inStudy('1.2', 2)
    if (!first || !second) throw new Error('unreachable')
    const broken = new Error('the sender went away')
    const uploads = async function* (): AsyncGenerator<InstanceUpload> {
      yield* uploadsOf(first)
      for await (const upload of uploadsOf(second)) {
        const body = async function* () {
          yield* upload.body
          throw broken
        }
        yield { ...upload, body: body() }
      }
    }
    await expect(cluster.store(uploads(), forever())).rejects.toBe(broken)
    expect(shelf.held.has(second.instance)).toBe(false)
  })

  it('stops when the caller leaves', async () => {
    const leaving = new AbortController()
    const reason = new Error('gone')
    const [first] = inStudy('1.2', 1)
    if (!first) throw new Error('unreachable')
    let left = false
    const uploads = async function* (): AsyncGenerator<InstanceUpload> {
      try {
        yield* uploadsOf(first)
        leaving.abort(reason)
        yield* uploadsOf(first)
      } finally {
        left = true
      }
    }
    await expect(cluster.store(uploads(), leaving.signal)).rejects.toBe(reason)
    expect(left).toBe(true)
    expect(cluster.pool.waiting).toBe(0)
  })

  it('sends a large instance unharmed', async () => {
    const { bytes } = madeInstance({ study: '1.2', instance: '1.2.9' })
    const chunk = Buffer.alloc(1024 ** 2, 7)
    const sent = createHash('sha256').update(bytes)
    const large = async function* () {
      yield bytes
      for (let index = 0; index < 16; index++) {
        sent.update(chunk)
        yield chunk
      }
    }
    const uploads = async function* (): AsyncGenerator<InstanceUpload> {
      yield await sniffInstance(large(), { maxHeaderBytes: 1024 ** 2 })
    }
    expect(outcomes(await cluster.store(uploads(), forever()))).toEqual(['stored'])
    const held = shelf.held.get('1.2.9')?.content ?? Buffer.alloc(0)
    expect(createHash('sha256').update(held).digest('hex')).toBe(sent.digest('hex'))
  })

  it('asks for nothing when there is nothing to store', async () => {
    expect(await store()).toEqual([])
    expect(archive.seen).toEqual([])
  })
})

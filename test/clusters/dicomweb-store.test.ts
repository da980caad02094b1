import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { InstanceUpload } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { tag } from '../../src/dicom/tags.ts'
import { type FakeArchive, startFakeArchive, status } from '../support/fake-archive.ts'
import { type MadeInstance, madeInstance } from '../support/made-instance.ts'
import { clusterAt, failureOf, forever, uploadsOf } from './setup.ts'
import { item, outcomes, Shelf, storedList, us } from './shelf.ts'

/** An instance with 16 MB behind it: more than sockets hold. */
async function* large(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
  for (let index = 0; index < 16; index++) yield Buffer.alloc(1024 ** 2, 7)
}

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

  it('sends the instances of a study after the first one in one request, byte by byte', async () => {
    const instances = inStudy('1.2', 3)
    expect(await store(...instances)).toEqual(['stored', 'stored', 'stored'])
    const [first, ...others] = instances.map(({ instance }) => instance)
    expect(shelf.requests).toEqual([[first], others])
    for (const { instance, bytes } of instances) expect(shelf.held.get(instance)?.content).toEqual(Buffer.from(bytes))
  })

  it('asks for the first instance of a study alone, and lists the study only when more of it follow', async () => {
    const [first, second, third] = inStudy('1.2', 3)
    if (!first || !second || !third) throw new Error('three are made')
    const questions = () =>
      archive.seen.flatMap(({ url }) => {
        const { pathname, searchParams } = new URL(url, archive.dicomweb)
        return pathname.endsWith('/studies/1.2/instances') ? [searchParams.get(tag.SOPInstanceUID)] : []
      })
    await store(first)
    expect(questions()).toEqual([first.instance])
    await store(second, third)
    expect(questions()).toEqual([first.instance, null])
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
    [400, 0x0110],
    [409, 0x0110],
    [413, 0xa700],
    [415, 0x0110],
  ])(
    'a %i without a list fails what was in that request, not what was stored before and after',
    async (code, reason) => {
      const [first, known, refused, alsoRefused, last] = inStudy('1.2', 5)
      if (!first || !known || !refused || !alsoRefused || !last) throw new Error('unreachable')
      shelf.put(known)
      const takes = (listed: readonly string[]) => ({ status: 200, body: storedList(listed) })
      shelf.answer = (listed) =>
        listed.includes(refused.instance) ? { status: code, body: 'too much' } : takes(listed)
      // What is there already is looked at between two requests.
      expect(await store(first, known, refused, alsoRefused, known, last)).toEqual([
        'stored',
        'stored',
        reason,
        reason,
        'stored',
        'stored',
      ])
    },
  )

  it('a 413 in the middle of a large instance fails that instance, and those after it are stored', async () => {
    let asked = 0
    archive.on(/studies$/, async (request, response) => {
      if (asked++ > 0) await shelf.take(request, response)
      else request.once('data', () => response.writeHead(413, { Connection: 'close' }).end('too large'))
    })
    const [after] = inStudy('1.2', 1)
    if (!after) throw new Error('unreachable')
    const uploads = async function* (): AsyncGenerator<InstanceUpload> {
      yield await sniffInstance(large(madeInstance({ study: '1.2' }).bytes), { maxHeaderBytes: 1024 ** 2 })
      yield* uploadsOf(after)
    }
    expect(outcomes(await cluster.store(uploads(), forever()))).toEqual([0xa700, 'stored'])
    expect(shelf.requests).toEqual([[after.instance]])
  })

  it.each([
    [401, 'access-denied'],
    [403, 'access-denied'],
    [404, 'not-found'],
    [429, 'failed'],
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
    const sent = createHash('sha256')
    for await (const chunk of large(bytes)) sent.update(chunk)
    const uploads = async function* (): AsyncGenerator<InstanceUpload> {
      yield await sniffInstance(large(bytes), { maxHeaderBytes: 1024 ** 2 })
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

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { patienceFactor, type SearchRequest } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import {
  type Answer,
  beginning,
  bytes,
  cutShort,
  type FakeArchive,
  hangUp,
  json,
  multipart,
  multipartType,
  silence,
  startFakeArchive,
  status,
} from '../support/fake-archive.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { freePort } from '../support/orthanc.ts'
import { clusterAt, failureOf, forever, idle, readAll, uid } from './setup.ts'

const anyStudy: SearchRequest = { level: 'study', constraints: [], includeFields: [], limit: 10 }
const study = { kind: 'instances', target: { study: uid('1.2') }, transferSyntax: '*' } as const

/** What an archive does wrong, and what a search makes of it. */
const wrongAnswers: readonly (readonly [string, Answer, string])[] = [
  ['401', status(401), 'access-denied'],
  ['403', status(403), 'access-denied'],
  ['400', status(400), 'rejected'],
  ['410', status(410), 'gone'],
  ['406', status(406), 'unsupported'],
  ['415', status(415), 'unsupported'],
  ['501', status(501), 'unsupported'],
  ['500', status(500, 'stack trace'), 'failed'],
  ['503', status(503), 'failed'],
  ['429', status(429), 'failed'],
  ['a redirection', status(302, '', { Location: 'http://192.0.2.1/elsewhere' }), 'malformed'],
  ['404 to the search for all studies', status(404), 'malformed'],
  ['an HTML page with status 200', bytes('text/html', '<html>Please log in</html>'), 'malformed'],
  ['an HTML page said to be JSON', bytes('application/dicom+json', '<html>'), 'malformed'],
  ['an object instead of a list', json({ '0020000D': { vr: 'UI', Value: ['1.2'] } }), 'malformed'],
  ['a list of something else', json(['1.2']), 'malformed'],
  ['JSON that ends early', bytes('application/dicom+json', '[{"0020000D":{"vr":"UI"'), 'truncated'],
  ['fewer bytes than it announced', cutShort('application/dicom+json', '[{}', 100), 'truncated'],
  ['gzip that is none', bytes('application/dicom+json', '[]', { 'Content-Encoding': 'gzip' }), 'malformed'],
  ['a compression nobody asked for', bytes('application/dicom+json', '[]', { 'Content-Encoding': 'br' }), 'malformed'],
  ['headers without end', status(200, '[]', { 'X-Large': 'x'.repeat(40_000) }), 'too-large'],
  ['nothing, closing the connection', hangUp, 'unreachable'],
]

describe('an archive that misbehaves', () => {
  let archive: FakeArchive
  let cluster: PooledCluster

  beforeEach(async () => {
    archive = await startFakeArchive()
    cluster = clusterAt(archive.dicomweb)
  })
  afterEach(async () => {
    await cluster.close()
    await archive.close()
  })

  it.each(wrongAnswers)('answering %s fails a search for the reason it is', async (_what, answer, reason) => {
    archive.on('/studies', answer)
    const failure = await failureOf(cluster.search(anyStudy, forever()))
    expect(failure.reason).toBe(reason)
    expect(failure.message).toMatch(/^cluster north: /)
    expect(failure.message).not.toMatch(/127\.0\.0\.1|192\.0\.2\.1|stack trace/)
    await idle(cluster)
  })

  const picture = {
    kind: 'rendered',
    target: { study: uid('1.2') },
    mediaTypes: ['image/png'],
    parameters: {},
  } as const
  const asked = {
    instances: () => cluster.retrieve(study, forever()).then(readAll),
    pictures: () => cluster.retrieve(picture, forever()).then(readAll),
    metadata: () => Array.fromAsync(cluster.metadata(study.target, forever())),
  }

  it.each([
    ['instances', 'a page', bytes('text/html', '<html>'), 200],
    ['instances', 'no multipart message', bytes(multipartType, 'what is this?\r\n--c--'), 200],
    ['pictures', 'a page', bytes('text/html', '<html>'), 200],
    ['metadata', 'a page', bytes('text/html', '<html>'), 200],
    ['metadata', 'no list', json('no list'), 200],
    ['metadata', 'what is no HTTP', (_request, response) => void response.socket?.write('SSH-2.0\r\n'), undefined],
  ] as const satisfies readonly (readonly [string, string, Answer, number | undefined])[])(
    'asked for %s and answering %s is malformed, with the status it said',
    async (what, _answer, answer, code) => {
      archive.on('/studies', answer)
      const failure = await failureOf(asked[what]())
      expect([failure.reason, failure.status]).toEqual(['malformed', code])
    },
  )

  it('answering 204 has found nothing', async () => {
    archive.on('/studies', status(204))
    expect(await cluster.search(anyStudy, forever())).toEqual({ rows: [], truncated: false })
  })

  it('that is not there is unreachable', async () => {
    const nobody = clusterAt(`http://127.0.0.1:${await freePort()}/dicom-web`)
    const failure = await failureOf(nobody.search(anyStudy, forever()))
    expect(failure.reason).toBe('unreachable')
    await nobody.close()
  })

  it('is timed out when it never answers, and its connection is closed', async () => {
    const clock = new FakeClock()
    const slow = clusterAt(archive.on('/studies', silence).dicomweb, { clock })
    const search = failureOf(slow.search(anyStudy, forever()))
    const request = await archive.next()
    await clock.advance(slow.timeoutMs)
    expect((await search).reason).toBe('timed-out')
    expect(await request.ended).toEqual({ complete: false })
    await slow.close()
  })

  it('is given more time for an object that nobody else can give', async () => {
    const clock = new FakeClock()
    const slow = clusterAt(archive.on('/studies', silence).dicomweb, { clock })
    const retrieved = failureOf(slow.retrieve({ ...study, patient: true }, forever()))
    const request = await archive.next()
    await clock.advance(slow.timeoutMs)
    expect(slow.pool.running).toBe(1)
    await clock.advance((patienceFactor - 1) * slow.timeoutMs)
    expect((await retrieved).reason).toBe('timed-out')
    await request.ended
    await slow.close()
  })

  it('is timed out when a search begins to be answered and does not go on', async () => {
    const clock = new FakeClock()
    const slow = clusterAt(archive.on('/studies', beginning('application/dicom+json', '[{}')).dicomweb, { clock })
    const search = failureOf(slow.search(anyStudy, forever()))
    const request = await archive.next()
    while (slow.pool.running === 0) await turn()
    await clock.advance(slow.timeoutMs)
    expect((await search).reason).toBe('timed-out')
    await request.ended
    await slow.close()
  })

  it('is timed out when it falls silent in the middle of an instance', async () => {
    const quiet = clusterAt(
      archive.on('/studies', beginning(multipartType, multipart(['one'], { whole: false }))).dicomweb,
      {
        cluster: { idleTimeoutMs: 50 },
      },
    )
    const parts = await quiet.retrieve(study, forever())
    expect((await failureOf(readAll(parts))).reason).toBe('timed-out')
    await idle(quiet)
    await quiet.close()
  })

  it('leaving out the closing boundary has not given the study', async () => {
    archive.on('/studies', bytes(multipartType, multipart(['one', 'two'], { whole: false })))
    const parts = await cluster.retrieve(study, forever())
    expect((await failureOf(readAll(parts))).reason).toBe('truncated')
    await idle(cluster)
  })

  it('closing the connection inside a chunk has not given the study', async () => {
    const head = `HTTP/1.1 200 OK\r\nContent-Type: ${multipartType}\r\nTransfer-Encoding: chunked\r\n\r\n`
    archive.on('/studies', (_request, response) => {
      response.socket?.end(`${head}1000\r\n${multipart(['one'], { whole: false })}`)
    })
    const failure = await failureOf(cluster.retrieve(study, forever()).then(readAll))
    expect(failure.reason).toBe('truncated')
  })

  it('breaking off in the middle of a part has not given the study', async () => {
    archive.on('/studies', cutShort(multipartType, multipart(['one'], { whole: false }), 10_000))
    const parts = await cluster.retrieve(study, forever())
    expect((await failureOf(readAll(parts))).reason).toBe('truncated')
  })

  it.each([
    ['an HTML page', bytes('text/html', '<html>'), 'malformed'],
    ['JSON', json([]), 'malformed'],
    ['204', status(204), 'not-found'],
    ['404', status(404), 'not-found'],
    ['400', status(400), 'unsupported'],
    ['another boundary than announced', bytes(multipartType, '--x\r\n\r\nhello\r\n--x--'), 'malformed'],
  ] as const)('answering %s to a retrieval fails it', async (_what, answer, reason) => {
    archive.on('/studies', answer)
    const failure = await failureOf(cluster.retrieve(study, forever()).then(readAll))
    expect(failure.reason).toBe(reason)
    await idle(cluster)
  })

  it('sending more than a part may have is cut off', async () => {
    const strict = clusterAt(archive.on('/studies', bytes(multipartType, multipart(['x'.repeat(5000)]))).dicomweb, {
      limits: { maxPartBytes: 1024 },
    })
    const failure = await failureOf(strict.retrieve(study, forever()).then(readAll))
    expect(failure.reason).toBe('too-large')
    await strict.close()
  })

  it('sending more JSON than the limit is cut off', async () => {
    const strict = clusterAt(archive.on('/studies', json(Array(5000).fill({}))).dicomweb, {
      limits: { maxJsonBytes: 1024 },
    })
    expect((await failureOf(strict.search(anyStudy, forever()))).reason).toBe('too-large')
    await strict.close()
  })

  it('is asked again when it closed a kept-alive connection at the moment of its use', async () => {
    let asked = 0
    archive.on('/studies', (request, response) =>
      asked++ === 0 ? hangUp(request, response) : json([])(request, response),
    )
    expect((await cluster.search(anyStudy, forever())).rows).toEqual([])
    expect(asked).toBe(2)
  })
})

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type FakeArchive, silence, startFakeArchive } from '../support/fake-archive.ts'
import { madeInstance } from '../support/made-instance.ts'
import { multipartDicom, partOf, type Site, sendFiles, startArchive, startSite } from './site.ts'

const held = madeInstance({ rows: 64, columns: 64 })
const ofStudy = new RegExp(`/studies/${held.study}$`)

describe('a client that leaves', () => {
  let north: FakeArchive
  let site: Site

  beforeEach(async () => {
    north = await startArchive(held)
  })
  afterEach(async () => {
    await site[Symbol.asyncDispose]()
    await north.close()
  })

  /** More often than failures would open the breaker. */
  const often = Array.from({ length: 8 })

  it('in the middle of a download cancels it at the cluster, which stays up', async () => {
    north.on(ofStudy, (request, response) => {
      response.writeHead(200, { 'Content-Type': multipartDicom })
      response.write(partOf(held.bytes))
      response.write(partOf(held.bytes).subarray(0, 1000))
      request.resume()
    })
    site = await startSite({ north })
    for (const _ of often) {
      const leave = new AbortController()
      const response = await fetch(`${site.dicomweb}/studies/${held.study}`, { signal: leave.signal })
      await response.body?.getReader().read()
      leave.abort()
      const asked = north.seen.filter(({ url }) => ofStudy.test(url))
      expect(await asked.at(-1)?.ended).toEqual({ complete: false })
    }
    expect(await site.stateOf('north')).toMatchObject({ state: 'up', breaker: 'closed' })
  })

  it('before the first byte cancels the question, and the cluster is not blamed', async () => {
    site = await startSite({ north })
    await (await fetch(`${site.dicomweb}/studies`)).arrayBuffer()
    north.on('00100020', silence)
    for (const _ of often) {
      const leave = new AbortController()
      const answer = fetch(`${site.dicomweb}/studies?PatientID=1`, { signal: leave.signal })
      let asked = await north.next()
      while (!asked.url.includes('00100020')) asked = await north.next()
      leave.abort()
      await expect(answer).rejects.toThrow()
      await asked.ended
    }
    expect(await site.stateOf('north')).toMatchObject({ state: 'up', breaker: 'closed' })
  })

  it('in the middle of an upload cancels it at the home cluster, which stays up', async () => {
    let begun = Promise.withResolvers<void>()
    north.on(/\/studies$/, (request) => void request.once('data', () => begun.resolve()))
    site = await startSite({ north }, { limits: { maxBufferedPartBytes: 1024 } })
    for (const _ of often) {
      begun = Promise.withResolvers()
      const client = await open(site.address)
      client.write(`POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${multipartDicom}\r\n`)
      client.write('Content-Length: 1000000\r\n\r\n')
      client.write(partOf(madeInstance({ rows: 64, columns: 64 }).bytes).subarray(0, 3000))
      await begun.promise
      client.destroy()
      const posts = north.seen.filter(({ method }) => method === 'POST')
      expect(await posts.at(-1)?.ended).toEqual({ complete: false })
    }
    expect(await site.stateOf('north')).toMatchObject({ state: 'up', breaker: 'closed' })
  })

  it('its connection open but takes nothing, is cut, and the cluster with it is not blamed', async () => {
    // More than what the connections between here and there hold.
    const large = Buffer.alloc(64 * 1024 ** 2)
    large.set(held.bytes)
    north.on(ofStudy, sendFiles([{ ...held, bytes: large }]))
    site = await startSite({ north }, { limits: { clientIdleTimeoutMs: 200 } })
    const client = await open(site.address)
    client.write(`GET /dicom-web/studies/${held.study} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await once(client, 'readable')
    const asked = north.seen.findLast(({ url }) => ofStudy.test(url))
    expect(await asked?.ended).toEqual({ complete: false })
    expect(await site.stateOf('north')).toMatchObject({ state: 'up', breaker: 'closed' })
    client.destroy()
  })
})

async function open(address: string): Promise<Socket> {
  const { port, hostname } = new URL(address)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  readonly status: number
  readonly head: string
  readonly body: string
}

const closedOf = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))

/** Sends bytes as they are and reads until the connection is closed. */
async function raw(address: string, ...pieces: (string | Uint8Array)[]): Promise<RawAnswer> {
  const socket = await open(address)
  const received: Buffer[] = []
  socket.on('data', (chunk) => received.push(chunk))
  const closed = closedOf(socket)
  for (const piece of pieces) if (socket.writable) socket.write(piece)
  await closed
  const [head = '', ...body] = Buffer.concat(received).toString('latin1').split('\r\n\r\n')
  return { head, status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), body: body.join('\r\n\r\n') }
}

const below = '/dicom-web/studies/1.2/series/1.3/instances/1.4'
const many = (count: number) => Array.from({ length: count }, (_, index) => index + 1).join(',')

/** Addresses nobody should be able to do anything with, and the only statuses they may get. */
const badAddresses: readonly (readonly [string, string, number])[] = [
  ['letters for a UID', '/dicom-web/studies/abc', 400],
  ['a UID that ends in a dot', '/dicom-web/studies/1.2.', 400],
  ['a UID of 65 digits', `/dicom-web/studies/${'1'.repeat(65)}`, 400],
  ['a UID with NUL', '/dicom-web/studies/1.2%00', 400],
  ['a UID with a line end', '/dicom-web/studies/1.2%0d%0aSet-Cookie:%20a=b', 400],
  ['a UID with an encoded slash', '/dicom-web/studies/1.2%2f..%2f..%2fetc%2fpasswd', 400],
  ['a UID with a backslash', '/dicom-web/studies/1.2/series/..%5c..%5c1.2', 400],
  ['a UID of other digits', '/dicom-web/studies/%D9%A1.%D9%A2', 400],
  ['a UID that is no UTF-8', '/dicom-web/studies/%E0%A4%A', 400],
  ['steps up', '/dicom-web/studies/../../etc/passwd', 404],
  ['encoded steps up', '/dicom-web/studies/%2e%2e/%2e%2e/etc/passwd', 404],
  ['twice encoded steps up', '/dicom-web/studies/%252e%252e/metadata', 400],
  ['steps up in bulk data', `${below}/bulkdata/..%2f..%2f..`, 400],
  ['a bulk data token of our alphabet', `${below}/bulkdata/AAAAAAAAAAAA`, 400],
  ['frame 0', `${below}/frames/0`, 400],
  ['a negative frame', `${below}/frames/-1`, 400],
  ['an empty frame', `${below}/frames/1,,2`, 400],
  ['a frame beyond all numbers', `${below}/frames/99999999999999999999`, 400],
  ['a limit that is none', '/dicom-web/studies?limit=-1', 400],
  ['a date that is none', '/dicom-web/studies?StudyDate=yesterday', 400],
  ['an attribute twice', '/dicom-web/studies?PatientID=1&PatientID=2', 400],
  ['a query that is not encoded rightly', '/dicom-web/studies?PatientID=%', 400],
  ['WADO-URI of a path', '/wado?requestType=WADO&studyUID=../..&seriesUID=1&objectUID=1', 400],
  ['WADO-URI of nothing', '/wado', 400],
  ['a picture as large as a town', `${below}/rendered?viewport=999999,999999`, 400],
  ['a window without width', `${below}/rendered?window=1,0,linear`, 400],
  ['another method', '/dicom-web/studies/1.2/metadata', 405],
  ['an address of 70 KB', `/dicom-web/studies?PatientID=${'a'.repeat(70_000)}`, 414],
  ['10,001 frames', `${below}/frames/${many(10_001)}`, 400],
]

const hostLine = 'Host: localhost\r\n'
const post = (headers: string) => `POST /dicom-web/studies HTTP/1.1\r\n${hostLine}${headers}\r\n`

/** What is hardly HTTP: an answer of 4xx or a closed connection, whatever the reader prefers. */
const badRequests: readonly (readonly [string, string | Uint8Array])[] = [
  ['no Host', 'GET /dicom-web/studies HTTP/1.1\r\nConnection: close\r\n\r\n'],
  ['a Host that is none', 'GET /dicom-web/studies HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'],
  ['the Host of somebody else', 'GET /dicom-web/studies HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n'],
  [
    'an absolute address of somebody else',
    `GET http://evil.example/dicom-web/studies HTTP/1.1\r\n${hostLine}Connection: close\r\n\r\n`,
  ],
  ['a scheme of files', `GET file:///etc/passwd HTTP/1.1\r\n${hostLine}Connection: close\r\n\r\n`],
  ['a line end within a header', `GET /dicom-web/studies HTTP/1.1\r\n${hostLine}X-A: b\rX-C: d\r\n\r\n`],
  ['NUL in a header', `GET /dicom-web/studies HTTP/1.1\r\n${hostLine}X-A: \0\r\n\r\n`],
  ['a header with a space in its name', `GET /dicom-web/studies HTTP/1.1\r\n${hostLine}X A: b\r\n\r\n`],
  ['two lengths', `${post('Content-Length: 1\r\nContent-Length: 2\r\n')}ab`],
  ['a length beside chunks', `${post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n')}0\r\n\r\n`],
  ['an unknown transfer encoding', `${post('Transfer-Encoding: xchunked\r\n')}0\r\n\r\n`],
  ['a negative length', post('Content-Length: -1\r\n')],
  [
    'a chunk whose size is none',
    `${post(`Content-Type: ${multipartDicom}\r\nTransfer-Encoding: chunked\r\n`)}zz\r\n\r\n`,
  ],
  ['an unknown method', `FOO /dicom-web/studies HTTP/1.1\r\n${hostLine}Connection: close\r\n\r\n`],
  ['a tunnel', `CONNECT evil.example:443 HTTP/1.1\r\n${hostLine}\r\n`],
  ['a trace', `TRACE /dicom-web/studies HTTP/1.1\r\n${hostLine}Connection: close\r\n\r\n`],
  ['an asterisk', `OPTIONS * HTTP/1.1\r\n${hostLine}Connection: close\r\n\r\n`],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['TLS', Buffer.from('16030100a5010000a10303', 'hex')],
  ['200 KB of header', `GET /dicom-web/studies HTTP/1.1\r\n${hostLine}X-A: ${'a'.repeat(200_000)}\r\n\r\n`],
  ['20,000 headers', `GET /dicom-web/studies HTTP/1.1\r\n${hostLine}${'X-A: b\r\n'.repeat(20_000)}\r\n`],
]

describe('a request that is malformed', () => {
  let north: FakeArchive
  let site: Site

  beforeAll(async () => {
    north = await startFakeArchive()
    site = await startSite(
      { north },
      { limits: { headersTimeoutMs: 500, clientIdleTimeoutMs: 500, maxParts: 20_000, maxUrlBytes: 65_536 } },
    )
  })
  afterAll(async () => {
    const response = await fetch(`${site.address}/healthz`)
    expect(response.status).toBe(200)
    await site[Symbol.asyncDispose]()
    await north.close()
  })

  const harmless = ({ status, head, body }: RawAnswer) => {
    expect(head).toMatch(/content-type: application\/problem\+json/i)
    expect(JSON.parse(body)).toMatchObject({ status, code: expect.any(String), detail: expect.any(String) })
    expect(body).not.toMatch(/\n\s+at |node_modules|\/src\/|\.ts:|127\.0\.0\.1|passwd:/)
    expect(head).not.toMatch(/set-cookie/i)
  }

  it.each(badAddresses)('by %s is refused', async (_what, path, expected) => {
    const method = expected === 405 ? 'DELETE' : 'GET'
    const answer = await raw(site.address, `${method} ${path} HTTP/1.1\r\n${hostLine}Connection: close\r\n\r\n`)
    expect(answer.status).toBe(expected)
    harmless(answer)
  })

  it.each(badRequests)('with %s is refused', async (_what, text) => {
    const answer = await raw(site.address, text)
    if (answer.status === 0) return
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.status).toBeLessThan(500)
    harmless(answer)
  })

  it('of HTTP/1.0 is answered as far as it can be', async () => {
    const answer = await raw(site.address, `GET /healthz HTTP/1.0\r\n${hostLine}\r\n`)
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body)).toEqual({ status: 'ok' })
  })

  it('with an id that would split the answer gets another id', async () => {
    const answer = await raw(
      site.address,
      `GET /healthz HTTP/1.1\r\n${hostLine}X-Request-Id: a%0d%0aSet-Cookie: b\r\nConnection: close\r\n\r\n`,
    )
    expect(answer.status).toBe(200)
    expect(answer.head).not.toMatch(/set-cookie/i)
  })

  it('whose header drips is cut with 408', async () => {
    const socket = await open(site.address)
    const timer = setInterval(() => socket.write('X-A: b\r\n'), 20)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.write(`GET /healthz HTTP/1.1\r\n${hostLine}`)
    await closedOf(socket)
    clearInterval(timer)
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
  })

  const upload = (contentType: string, ...body: (string | Uint8Array)[]) => {
    const head = post(`Content-Type: ${contentType}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n`)
    const pieces = body.map((piece) => Buffer.from(piece))
    const chunks = pieces.flatMap((piece) => [`${piece.length.toString(16)}\r\n`, piece, '\r\n'])
    return raw(site.address, head, ...chunks, '0\r\n\r\n')
  }
  const part = partOf(madeInstance().bytes)

  const badUploads: readonly (readonly [string, string, (string | Uint8Array)[], number])[] = [
    ['no type', 'text/plain', ['hello'], 415],
    ['one file without multipart', 'application/dicom', [held.bytes], 415],
    ['parts of XML', 'multipart/related; type="application/dicom+xml"; boundary=b', [part, '--b--'], 415],
    ['no boundary in its type', 'multipart/related; type="application/dicom"', [part, '--b--'], 400],
    ['an empty boundary', 'multipart/related; type="application/dicom"; boundary=""', [part, '--b--'], 400],
    [
      'another boundary than its type names',
      'multipart/related; type="application/dicom"; boundary=x',
      [part, '--b--'],
      400,
    ],
    ['nothing', multipartDicom, [], 400],
    ['no closing boundary', multipartDicom, [Buffer.from('--b\r\n\r\nabc')], 400],
    ['a header of a part without end', multipartDicom, [`--b\r\nX-A: ${'a'.repeat(100_000)}`], 413],
    ['a line in the header of a part that is none', multipartDicom, ['--b\r\nnonsense\r\n\r\nabc\r\n--b--'], 400],
    ['more parts than allowed', multipartDicom, ['--b\r\n\r\na\r\n'.repeat(30_000), '--b--'], 413],
    [
      'metadata that is no JSON',
      'multipart/related; type="application/dicom+json"; boundary=b',
      ['--b\r\nContent-Type: application/dicom+json\r\n\r\n[{\r\n--b--'],
      400,
    ],
    [
      'metadata nested without end',
      'multipart/related; type="application/dicom+json"; boundary=b',
      [`--b\r\nContent-Type: application/dicom+json\r\n\r\n[${'['.repeat(100_000)}\r\n--b--`],
      400,
    ],
  ]

  it.each(badUploads)('because it uploads %s is refused', async (_what, contentType, body, expected) => {
    const answer = await upload(contentType, ...body)
    expect(answer.status).toBe(expected)
    harmless(answer)
  })

  it.each([
    ['parts that are no instances', 'hello'],
    ['a multipart within the part', '--c\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--c--'],
    ['zeros', '\0'.repeat(1_000_000)],
    ['an element whose length is a lie', Buffer.concat([held.bytes.subarray(0, 200), Buffer.alloc(10, 0xff)])],
  ])('because it uploads %s is answered part by part', async (_what, content) => {
    const answer = await upload(multipartDicom, '--b\r\n\r\n', content, '\r\n--b--')
    expect(answer.status).toBe(409)
    expect(
      JSON.parse(answer.body.replace(/^[\da-f]+\r\n/, '').replace(/\r\n0\r\n\r\n$/, ''))['00081198'].Value,
    ).toHaveLength(1)
  })

  it('because it uploads thousands of tiny parts is answered for each', async () => {
    const answer = await upload(multipartDicom, '--b\r\n\r\na\r\n'.repeat(10_000), '--b--')
    expect(answer.status).toBe(409)
    expect(answer.body.match(/00081197/g)).toHaveLength(10_000)
  })

  it('because its upload stops is cut with 400', async () => {
    const answer = await raw(
      site.address,
      post(`Content-Type: ${multipartDicom}\r\nContent-Length: 100000\r\n`),
      '--b\r\n\r\nabc',
    )
    expect(answer.status).toBe(400)
    harmless(answer)
  })

  it('because its upload never ends is refused, and no more of it is read', async () => {
    const socket = await open(site.address)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    const closed = closedOf(socket)
    socket.write(post('Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n'))
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000), Buffer.from('\r\n')])
    const more = () => {
      while (socket.writable && socket.write(chunk));
      socket.once('drain', more)
    }
    more()
    await closed
    expect(text).toMatch(/^HTTP\/1\.1 415 /)
  })
})

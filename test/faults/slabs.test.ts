import { execFileSync } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type Answer, bytes, type FakeArchive } from '../support/fake-archive.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { multipartDicom, type Site, startArchive, startArchiveOf, startSite } from './site.ts'

/*
 * Connections to archives read into memory that is used over and over: what is given back too early is overwritten
 * by what another answer brings. All content is of its own, so that none can pass for other.
 */

let archives: Record<string, FakeArchive> = {}
let site: Site

afterEach(async () => {
  await site[Symbol.asyncDispose]()
  for (const archive of Object.values(archives)) await archive.close()
})

/** Bytes that look random and are the same for the same seed. */
const noise = (seed: number, length: number): Buffer =>
  createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16, seed >> 8)).update(Buffer.alloc(length))

let seeds = 0

function noisy(study: string, series: string, kilobytes: number): MadeInstance {
  const made = madeInstance({ study, series, rows: kilobytes, columns: 1000 })
  const file = Buffer.from(made.bytes)
  noise(++seeds, kilobytes * 1000).copy(file, file.length - kilobytes * 1000)
  return { ...made, bytes: file }
}

function noisyStudy(count = 30): MadeInstance[] {
  const [study, series] = [madeUid(), madeUid()]
  return Array.from({ length: count }, (_, index) => noisy(study, series, [300, 3000, 400, 300, 600][index % 5] ?? 0))
}

const digestOf = (file: Uint8Array) => createHash('sha256').update(file).digest('hex')
const digestsOf = (files: readonly Uint8Array[]) => files.map(digestOf).sort()
const digestsIn = (held: readonly MadeInstance[]) => digestsOf(held.map((it) => it.bytes))

/** A message whose parts say so many bytes more than they have. */
const messageOf = (files: readonly Uint8Array[], tooMany = 0, type = 'application/dicom') =>
  Buffer.concat([
    ...files.flatMap((file) => [
      Buffer.from(`--b\r\nContent-Type: ${type}\r\nContent-Length: ${file.length + tooMany}\r\n\r\n`),
      file,
      Buffer.from('\r\n'),
    ]),
    Buffer.from('--b--\r\n'),
  ])

/** Writes a body in chunks of so many bytes, up to where the archive dies. */
const inChunks =
  (body: Buffer, chunkBytes: number, dies = Number.POSITIVE_INFINITY): Answer =>
  async (_request, response) => {
    response.writeHead(200, { 'Content-Type': multipartDicom })
    const end = Math.min(body.length, dies)
    for (let at = 0; at < end && !response.destroyed; at += chunkBytes) {
      const chunk = body.subarray(at, Math.min(at + chunkBytes, end))
      await new Promise((resolve) => response.write(chunk, resolve))
    }
    if (dies < body.length) response.destroy()
    else response.end()
  }

const ofStudy = ([first]: readonly MadeInstance[]) => new RegExp(`/studies/${first?.study}$`)
const pathOf = ({ study, series, instance }: MadeInstance) => `/studies/${study}/series/${series}/instances/${instance}`

/** The parts of an answer, by a reader of the test's own. */
async function retrieved(path: string, accept = 'multipart/related; type="application/dicom"; transfer-syntax=*') {
  const response = await fetch(`${site.dicomweb}${path}`, { headers: { Accept: accept } })
  const body = Buffer.from(await response.arrayBuffer())
  expect(response.status, body.subarray(0, 300).toString()).toBe(200)
  const boundary = /boundary="?([^";]+)/.exec(response.headers.get('content-type') ?? '')?.[1]
  const all = Buffer.concat([Buffer.from('\r\n'), body])
  const delimiter = `\r\n--${boundary}`
  const parts: Buffer[] = []
  for (let at = all.indexOf(delimiter); ; ) {
    const next = all.indexOf(delimiter, at + 1)
    if (next < 0) {
      expect(all.subarray(at).toString()).toBe(`${delimiter}--\r\n`)
      return parts
    }
    parts.push(all.subarray(all.indexOf('\r\n\r\n', at + 2) + 4, next))
    at = next
  }
}

/** Studies that so many clients retrieve at once, each another one first. */
async function expectExact(studies: readonly (readonly MadeInstance[])[], clients = 8): Promise<void> {
  const wanted = studies.map(digestsIn)
  const read = async (client: number) => {
    const turn = client % studies.length
    expect(digestsOf(await retrieved(`/studies/${studies[turn]?.[0]?.study}`))).toEqual(wanted[turn])
  }
  await Promise.all(Array.from({ length: clients }, (_, client) => read(client)))
}

describe('studies for eight clients at once', () => {
  const studies = [noisyStudy(), noisyStudy(), noisyStudy()]
  const files = studies.map((held) => held.map((it) => it.bytes))

  it.each([
    [200_000, 4_000_000],
    [64_000_000, 200_000],
  ])('come byte for byte, in chunks of %i, held back up to %i', async (size, maxBufferedPartBytes) => {
    archives = { north: await startArchive(...studies.flat()) }
    for (const [index, held] of studies.entries()) {
      archives.north?.on(ofStudy(held), inChunks(messageOf(files[index] ?? []), size))
    }
    site = await startSite(archives, { limits: { maxBufferedPartBytes } })
    await expectExact(studies)
  })

  it('come byte for byte from two archives, one of which dies again and again', async () => {
    archives = { north: await startArchive(...studies.flat()), south: await startArchive(...studies.flat()) }
    for (const [index, held] of studies.entries()) {
      const body = messageOf(files[index] ?? [])
      archives.north?.on(ofStudy(held), inChunks(body, 1_000_000, body.length * 0.6))
      archives.south?.on(ofStudy(held), inChunks(body, 1_000_000))
    }
    site = await startSite(archives, { limits: { maxBufferedPartBytes: 1_000_000 } })
    await expectExact(studies)
  })
})

it('frames asked for by several at once, and again, while studies are retrieved, come byte for byte', async () => {
  const held = noisyStudy()
  const frames = new Map(held.slice(0, 10).map((it) => [`${pathOf(it)}/frames/1`, noise(++seeds, 700_000)]))
  const archive = await startArchive(...held)
  archives = { north: archive.on(ofStudy(held), inChunks(messageOf(held.map((it) => it.bytes)), 64_000_000)) }
  for (const [path, frame] of frames) {
    archive.on(path, bytes('multipart/related; type="application/octet-stream"; boundary=b', messageOf([frame])))
  }
  site = await startSite(archives, { cacheBytes: 64_000_000 })
  const accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
  const readFrames = async () => {
    for (const [path, frame] of frames) expect(digestsOf(await retrieved(path, accept))).toEqual(digestsOf([frame]))
  }
  const readers = () => [readFrames(), readFrames(), readFrames(), expectExact([held], 4)]
  await Promise.all(readers())
  await Promise.all(readers())
  expect(archive.seen.filter(({ url }) => url.includes('/frames/'))).toHaveLength(frames.size)
})

it('frames that a slow client has yet to take stay as they are, while the cache drops them for others', async () => {
  const made = noisy(madeUid(), madeUid(), 1)
  const frames = Array.from({ length: 24 }, () => noise(++seeds, 700_000))
  const archive = await startArchive(made)
  const path = (index: number) => `${pathOf(made)}/frames/${index + 1}`
  for (const [index, frame] of frames.entries()) {
    archive.on(path(index), bytes('multipart/related; type="application/octet-stream"; boundary=b', messageOf([frame])))
  }
  archives = { north: archive }
  site = await startSite(archives, { cacheBytes: 6_000_000 })
  const slow = frames.slice(0, 12)
  using client = askedAtOnce(slow.map((_, index) => path(index)))
  await expect.poll(() => archive.seen.filter(({ url }) => url.includes('/frames/')).length).toBe(slow.length)
  const accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
  for (let index = slow.length; index < frames.length; index++) {
    expect(digestsOf(await retrieved(path(index), accept))).toEqual(digestsOf([frames[index] as Buffer]))
  }
  expect((await client.bodies(slow.length)).map(digestOf)).toEqual(slow.map(digestOf))
})

/** A client that asks for all of it on one connection, and takes nothing before it is told to. */
function askedAtOnce(paths: readonly string[]) {
  const { hostname, port, pathname } = new URL(site.dicomweb)
  const accept = 'application/octet-stream; transfer-syntax=*'
  const socket = connect(Number(port), hostname)
  socket.pause()
  const requests = paths.map(
    (path) => `GET ${pathname}${path} HTTP/1.1\r\nHost: ${hostname}\r\nAccept: ${accept}\r\n\r\n`,
  )
  socket.write(requests.join(''))
  const bodies = async (count: number) => {
    const taken: Buffer[] = []
    let buffer = Buffer.alloc(0)
    for await (const chunk of socket) {
      buffer = Buffer.concat([buffer, chunk as Buffer])
      for (;;) {
        const begin = buffer.indexOf('\r\n\r\n') + 4
        const length = Number(/content-length: (\d+)/i.exec(buffer.toString('latin1', 0, begin))?.[1])
        if (begin < 4 || buffer.length < begin + length) break
        taken.push(Buffer.from(buffer.subarray(begin, begin + length)))
        buffer = buffer.subarray(begin + length)
      }
      if (taken.length === count) return taken
    }
    throw new Error(`the connection ended after ${taken.length} answers`)
  }
  return { bodies, [Symbol.dispose]: () => void socket.destroy() }
}

it('studies of an archive that is asked by TLS come byte for byte', async () => {
  using certificate = selfSigned()
  const held = noisyStudy(15)
  const archive = await startArchiveOf(held, certificate)
  archives = { north: archive.on(ofStudy(held), inChunks(messageOf(held.map((it) => it.bytes)), 1_000_000)) }
  site = await startSite(archives, { cluster: { ca: certificate.path } })
  await expectExact([held], 4)
})

describe.each([
  ['too small', -1000],
  ['too large', 1000],
  ['larger than what is left of the answer', 50_000_000],
])('an archive that says lengths of parts that are %s', (_what, tooMany) => {
  const held = noisyStudy(8)
  const honest = noisyStudy(10)
  const lying = async () => {
    const archive = await startArchive(...honest, ...held)
    const answer = (files: readonly MadeInstance[]) =>
      inChunks(
        messageOf(
          files.map((it) => it.bytes),
          tooMany,
        ),
        200_000,
      )
    for (const one of held) archive.on(pathOf(one), answer([one]))
    return archive
      .on(ofStudy(held), answer(held))
      .on(ofStudy(honest), inChunks(messageOf(honest.map((it) => it.bytes)), 200_000))
  }
  const asked = () => Object.values(archives).map(({ seen }) => seen.filter(({ url }) => !url.includes('?')).length)

  it('alone has a study: it comes complete, and at the first try when it is asked for again', async () => {
    archives = { north: await lying() }
    site = await startSite(archives)
    await expectExact([held], 1)
    const [before = 0] = asked()
    await expectExact([held], 1)
    expect(asked()).toEqual([before + 1])
  })

  it('said right ones before: its study comes complete, and at the first try when it is asked for again', async () => {
    archives = { north: await lying() }
    site = await startSite(archives, { limits: { maxBufferedPartBytes: 16_000_000 } })
    await expectExact([honest], 1)
    const [before = 0] = asked()
    await expectExact([held], 1)
    const [after = 0] = asked()
    expect(after).toBeGreaterThan(before + 1)
    await expectExact([held], 1)
    expect(asked()).toEqual([after + 1])
  })

  it('alone has an instance: it comes', async () => {
    archives = { north: await lying() }
    site = await startSite(archives)
    for (const one of held.slice(0, 2)) expect(digestsOf(await retrieved(pathOf(one)))).toEqual(digestsIn([one]))
  })

  it('has a study that another has too: it comes complete', async () => {
    archives = { north: await lying(), south: await lying() }
    site = await startSite(archives)
    await expectExact([held], 1)
    await expectExact([held], 1)
  })
})

/** A certificate of `localhost` and its key, as files and as text. */
function selfSigned() {
  const directory = mkdtempSync(join(tmpdir(), 'dicomweb-link-slabs-'))
  const [key, path] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc']
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', path, ...subject], { stdio: 'pipe' })
  return {
    path,
    key: readFileSync(key),
    cert: readFileSync(path),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  }
}

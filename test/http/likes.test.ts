import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FramesRequest } from '../../src/clusters/cluster.ts'
import { LinkError } from '../../src/core/errors.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import type { RetrieveAnswer } from '../../src/retrieve/service.ts'
import { instancePath, part, partsOf, type Site, startSite, whole } from './harness.ts'
import { partsInHand } from './in-hand.ts'

const frame = (number: number | string) => `${instancePath}/frames/${number}`
const viewer = { Accept: 'multipart/related; type="image/jpeg"', 'X-Viewer': '1' }
/** What is asked with headers of its own goes the whole way. */
const other = (number: number) => ({ ...viewer, 'X-Viewer': `other ${number}` })

let site: Site
let answers: Map<number, RetrieveAnswer<Parts> | LinkError>
const answerTo = async ({ frames }: FramesRequest): Promise<RetrieveAnswer<Parts>> => {
  const answer = answers.get(frames[0] ?? 0) ?? partsInHand(['image/jpeg', `frame ${frames}`])
  if (answer instanceof LinkError) throw answer
  return answer
}

beforeEach(async () => {
  answers = new Map()
  site = await startSite()
  site.services.onRetrieve = answerTo
})
afterEach(() => site.close())

async function get(path: string, headers: Record<string, string> = viewer) {
  const response = await site.fetch(path, { headers })
  const { date: _, 'x-request-id': __, ...sent } = Object.fromEntries(response.headers)
  const text = await response.text().catch(() => 'cut')
  return { status: response.status, sent, text: text.replaceAll(/"requestId":"[^"]*"/g, '') }
}

/** What a request is answered with that comes after one like it, and by the whole way. */
async function both(number: number) {
  await get(frame(1))
  return [await get(frame(number)), await get(frame(number), other(number))]
}

describe('a request for another frame', () => {
  it('is answered as the one before, with what is the frame its own', async () => {
    const [likewise, expected] = await both(22)
    expect(likewise).toEqual(expected)
    expect(likewise?.status).toBe(200)
    expect(likewise?.text).toContain('frame 22')
    expect(site.services.asked.map(({ request }) => (request as FramesRequest).frames)).toEqual([[1], [22], [22]])
  })

  it('has an id of its own, and a line in the log like any other', async () => {
    await get(frame(1))
    const line = site.logged('request')
    const { headers } = await site.fetch(frame(2), { headers: { ...viewer, 'X-Request-Id': 'mine' } })
    expect(headers.get('x-request-id')).toBe('mine')
    expect(await line).toMatchObject({
      requestId: 'mine',
      status: 200,
      principal: 'anonymous',
      route: expect.stringContaining('/frames/:frames'),
    })
  })

  it.each<[string, () => RetrieveAnswer<Parts> | LinkError]>([
    ['is not there', () => new LinkError('not-found', 'no such frame')],
    ['is nowhere to be had now', () => new LinkError('unavailable', 'all are silent')],
    ['is too large for memory', () => whole(partsOf(part('image/jpeg', 'a', 'b')))],
    ['comes with a warning', () => ({ ...partsInHand(['image/jpeg', 'x']), warnings: ['something lacks'] })],
    ['is of several parts', () => partsInHand(['image/jpeg', 'x'], ['image/png', 'y'])],
    ['is of another type', () => partsInHand(['image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90', 'x'])],
  ])('that %s is told as by the whole way', async (_, answer) => {
    site.services.onRetrieve = async (request: FramesRequest) => {
      if (request.frames[0] === 7) answers.set(7, answer())
      return answerTo(request)
    }
    const [likewise, expected] = await both(7)
    const boundary = /dicomweb-link-[\w-]+/g
    const comparable = JSON.parse(JSON.stringify([likewise, expected]).replaceAll(boundary, 'b')) as unknown[]
    expect(comparable[0]).toEqual(comparable[1])
  })

  it('is asked for once, whatever comes of it', async () => {
    const answers = [
      () => new LinkError('not-found', 'no such frame'),
      () => whole(partsOf(part('image/jpeg', 'a', 'b'))),
      () => ({ ...partsInHand(['image/jpeg', 'x']), warnings: ['something lacks'] }),
    ]
    await get(frame(1))
    for (const [index, answer] of answers.entries()) {
      const before = site.services.asked.length
      const given = answer()
      site.services.onRetrieve = async () => {
        if (given instanceof LinkError) throw given
        return given
      }
      await get(frame(index + 2))
      expect(site.services.asked).toHaveLength(before + 1)
    }
  })

  it('may be kept by who is to ask again before using it, or not at all, as its type has it', async () => {
    await get(frame(1), { Accept: '*/*' })
    site.services.onRetrieve = async () => partsInHand(['text/plain', 'x'])
    const [likewise, expected] = [
      await get(frame(2), { Accept: '*/*' }),
      await get(frame(2), { ...other(1), Accept: '*/*' }),
    ]
    expect(likewise).toEqual(expected)
    expect(likewise.sent['cache-control']).toBe('no-store')
  })

  it.each([
    ['a precondition', { 'If-None-Match': '*' }, 304],
    ['a precondition that is not met', { 'If-Match': '"x"' }, 412],
    ['a form that there is not', { Accept: 'text/plain' }, 406],
  ])('with %s is looked into, each time', async (_, headers, status) => {
    await get(frame(1))
    for (const number of [2, 3]) expect((await get(frame(number), { ...viewer, ...headers })).status).toBe(status)
  })

  it('with a range gets its part of the frame alone', async () => {
    const alone = { Accept: 'image/jpeg' }
    await get(frame(1), alone)
    for (const number of [2, 3]) {
      expect(await get(frame(number), { ...alone, Range: 'bytes=6-6' })).toMatchObject({
        status: 206,
        text: `${number}`,
      })
    }
  })

  it.each([frame('0'), frame('1,2'), frame('x'), `${instancePath.replace('1.2.840.1', '1..2')}/frames/2`])(
    'of no such form is none: %s',
    async (path) => {
      await get(frame(1))
      const expected = await get(path, other(0))
      expect(await get(path)).toEqual(expected)
    },
  )
})

describe('a request for another frame, where credentials are needed', () => {
  const hashes = {
    admin: 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918',
    test: 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  }
  beforeEach(async () => {
    await site.close()
    const scopes = ['retrieve']
    const apiKeys = [
      { name: 'one', hash: hashes.admin, scopes },
      { name: 'other', hash: hashes.test, scopes, role: 'external' },
    ]
    site = await startSite({ auth: { apiKeys } })
    site.services.onRetrieve = answerTo
  })

  it('is asked for on behalf of who sends it', async () => {
    for (const number of [1, 2]) {
      await get(frame(number), { ...viewer, 'X-API-Key': 'admin' })
      await get(frame(number), { ...viewer, 'X-API-Key': 'test' })
    }
    const audiences = site.services.asked.map(({ audience }) => audience)
    expect(audiences).toEqual(['internal', 'external', 'internal', 'external'])
  })

  it.each([
    ['no credentials', {}],
    ['bad ones', { 'X-API-Key': 'wrong' }],
  ])('is refused with %s', async (_, headers) => {
    await get(frame(1), { ...viewer, 'X-API-Key': 'admin' })
    expect((await get(frame(2), { ...viewer, ...headers })).status).toBe(401)
    expect(site.services.asked).toHaveLength(1)
  })
})

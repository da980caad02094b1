import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Answer,
  bytes,
  cutShort,
  type FakeArchive,
  hangUp,
  json,
  multipart,
  silence,
  status,
} from '../support/fake-archive.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { partsIn, type Site, startArchive, startSite } from './site.ts'

const study = madeUid()
const series = madeUid()
const [first, second, report] = [1, 2, 3].map((instanceNumber) => madeInstance({ study, series, instanceNumber })) as [
  MadeInstance,
  MadeInstance,
  MadeInstance,
]
const octetStream = 'application/octet-stream'
const parts = `multipart/related; type="${octetStream}"`
const asStored = `${parts}; transfer-syntax=*`

const ui = (value: string) => ({ vr: 'UI', Value: [value] })
const us = (value: number) => ({ vr: 'US', Value: [value] })
const identity = (it: MadeInstance) => ({
  '0020000D': ui(it.study),
  '0020000E': ui(it.series),
  '00080018': ui(it.instance),
})
const imageOf = (it: MadeInstance, frames = 1) => ({
  ...identity(it),
  '00280008': { vr: 'IS', Value: [frames] },
  '00280010': us(4),
  '00280011': us(4),
  '00280100': us(8),
})
const pathOf = (it: MadeInstance) => `/studies/${study}/series/${series}/instances/${it.instance}`
const sent = (contents: readonly string[], type = octetStream) =>
  bytes(`multipart/related; type="${type}"; boundary=b`, multipart(contents, { type }))

let north: FakeArchive
let south: FakeArchive
let site: Site

beforeEach(async () => {
  north = await startArchive(first, second, report)
  south = await startArchive(first, second, report)
})
afterEach(async () => {
  await site[Symbol.asyncDispose]()
  await north.close()
  await south.close()
})

async function pixels(path: string, accept = asStored) {
  const response = await fetch(`${site.dicomweb}${path}/pixeldata`, { headers: { Accept: accept } })
  const body = Buffer.from(await response.arrayBuffer())
  const type = response.headers.get('content-type') ?? ''
  const text = body.toString('latin1')
  const several = type.startsWith('multipart/')
  return {
    status: response.status,
    type,
    text,
    frames: several ? partsIn(type, body).map(String) : [text],
    places: [...text.matchAll(/Content-Location: (\S+)/g)].map(([, place]) => place),
    warning: response.headers.get('warning'),
  }
}

const failures: readonly (readonly [string, Answer])[] = [
  ['says 404', status(404)],
  ['says 500', status(500)],
  ['says 400', status(400)],
  ['is silent', silence],
  ['hangs up', hangUp],
  ['sends nothing', sent([])],
  ['sends a page', bytes('text/html', '<html>Sign in</html>')],
  ['breaks off in the first frame', cutShort('multipart/related; boundary=b', '--b\r\n\r\nnor', 100)],
]

describe('the pixel data of an instance', () => {
  beforeEach(() => {
    for (const archive of [north, south]) archive.on(`${pathOf(first)}/metadata`, json([imageOf(first, 3)]))
    north.on('/frames/1,2,3', sent(['north 1', 'north 2', 'north 3']))
    south.on('/frames/1,2,3', sent(['south 1', 'south 2', 'south 3']))
  })

  it('is all of its frames, each with its address', async () => {
    site = await startSite({ north, south })
    const { status: code, frames, places, warning } = await pixels(pathOf(first))
    expect([code, warning]).toEqual([200, null])
    expect(frames).toEqual(['north 1', 'north 2', 'north 3'])
    expect(places).toEqual([1, 2, 3].map((it) => `${site.dicomweb}${pathOf(first)}/frames/${it}`))
  })

  it('is whole while another cluster is silent', async () => {
    south.on('/', silence)
    site = await startSite({ north, south }, { cluster: { timeoutMs: 200 } })
    const { status: code, frames, warning } = await pixels(pathOf(first))
    expect([code, frames.length, warning]).toEqual([200, 3, null])
  })

  it.each(failures)('of which the first holder %s comes from the next one', async (_, answer) => {
    north.on('/frames/', answer)
    site = await startSite({ north, south }, { cluster: { timeoutMs: 300, idleTimeoutMs: 300 } })
    expect((await pixels(pathOf(first))).frames).toEqual(['south 1', 'south 2', 'south 3'])
  })

  it('that nobody completes is an aborted connection', async () => {
    for (const archive of [north, south]) archive.on('/frames/', sent(['one', 'two']))
    site = await startSite({ north, south })
    await expect(pixels(pathOf(first))).rejects.toThrow()
  })

  it('of more frames than one address names is asked for piece by piece, and comes from one cluster', async () => {
    north.on('/metadata', json([imageOf(first, 1100)]))
    north.on('/frames/', (request, response) => {
      const wanted = request.url?.split('/').at(-1)?.split(',') ?? []
      return sent(wanted.map((frame) => `frame ${frame}`))(request, response)
    })
    site = await startSite({ north, south })
    const { frames } = await pixels(pathOf(first))
    expect(frames).toEqual(Array.from({ length: 1100 }, (_, index) => `frame ${index + 1}`))
    expect(south.seen.some(({ url }) => url.includes('/frames/'))).toBe(false)
  })

  it('is none of what is no image', async () => {
    for (const archive of [north, south]) archive.on('/metadata', json([identity(first)]))
    site = await startSite({ north, south })
    const { status: code, text } = await pixels(pathOf(first))
    expect(code).toBe(404)
    expect(JSON.parse(text).detail).toBe(`instance ${first.instance} has no pixel data`)
  })
})

describe('the form of pixel data', () => {
  const explicitLittleEndian = '1.2.840.10008.1.2.1'
  /** Gives frames only as they are stored, in JPEG 2000, and says so as archives do. */
  const cannotDecode =
    (code: number): Answer =>
    (request, response) =>
      (request.headers.accept === asStored ? sent(['stored'], 'image/jp2') : status(code))(request, response)

  beforeEach(() => {
    for (const archive of [north, south]) archive.on('/metadata', json([imageOf(first)]))
  })

  it.each([400, 405, 406, 500, 501])('is that of the next holder when the first says %i to it', async (code) => {
    north.on('/frames/1', cannotDecode(code))
    south.on('/frames/1', sent(['decoded'], `${octetStream}; transfer-syntax=${explicitLittleEndian}`))
    site = await startSite({ north, south })
    expect((await pixels(pathOf(first), parts)).frames).toEqual(['decoded'])
    expect(await site.stateOf('north')).toMatchObject({ state: 'up', breaker: 'closed' })
  })

  it.each([400, 500])('is as stored when nobody can decode and no transfer syntax was named (%i)', async (code) => {
    for (const archive of [north, south]) archive.on('/frames/1', cannotDecode(code))
    site = await startSite({ north, south })
    const { type, frames } = await pixels(pathOf(first), parts)
    expect(type).toContain('type="image/jp2"')
    expect(frames).toEqual(['stored'])
  })

  it.each([400, 500])('that nobody can give is a 406 that says what is offered (%i)', async (code) => {
    for (const archive of [north, south]) archive.on('/frames/1', cannotDecode(code))
    site = await startSite({ north, south })
    const { status: got, text } = await pixels(pathOf(first), `${parts}; transfer-syntax=${explicitLittleEndian}`)
    expect(got).toBe(406)
    expect(JSON.parse(text).detail).toMatch(
      /north unsupported, south unsupported.*this resource offers .*transfer-syntax=\*/,
    )
  })

  it('is the next one that the client names', async () => {
    for (const archive of [north, south]) archive.on('/frames/1', cannotDecode(500))
    site = await startSite({ north, south })
    const accept = `${parts}; transfer-syntax=${explicitLittleEndian}, multipart/related; type="image/jp2";q=0.5`
    expect((await pixels(pathOf(first), accept)).frames).toEqual(['stored'])
  })

  it('is the next one that the client names although a holder is silent', async () => {
    north.on('/frames/1', cannotDecode(406))
    south.on('/frames/1', silence)
    site = await startSite({ north, south }, { cluster: { timeoutMs: 200 } })
    const accept = `${parts}; transfer-syntax=${explicitLittleEndian}, ${asStored};q=0.5`
    expect((await pixels(pathOf(first), accept)).frames).toEqual(['stored'])
  })

  it('is one part alone for who likes it so, and only of one frame', async () => {
    north.on('/frames/1', sent(['pixels']))
    site = await startSite({ north })
    const alone = await pixels(pathOf(first), `${octetStream}; transfer-syntax=*`)
    expect([alone.type, alone.text]).toEqual([octetStream, 'pixels'])
    north.on('/metadata', json([imageOf(first, 2)])).on('/frames/1,2', sent(['a', 'b']))
    expect((await pixels(pathOf(first), `${octetStream}; transfer-syntax=*`)).status).toBe(406)
  })
})

describe('the pixel data of a study and a series', () => {
  const paths = [`/studies/${study}`, `/studies/${study}/series/${series}`]

  beforeEach(() => {
    const all = json([imageOf(first, 2), imageOf(second), identity(report)])
    for (const archive of [north, south]) archive.on(/(studies|series)\/[\d.]+\/metadata/, all)
    north.on(`${first.instance}/frames/1,2`, sent(['a1', 'a2'])).on(`${second.instance}/frames/1`, sent(['b1']))
  })

  it.each(paths)('are the frames of its images, each with its address: %s', async (path) => {
    site = await startSite({ north, south })
    const { frames, places } = await pixels(path)
    expect(frames).toEqual(['a1', 'a2', 'b1'])
    const expected = [`${pathOf(first)}/frames/1`, `${pathOf(first)}/frames/2`, `${pathOf(second)}/frames/1`]
    expect(places).toEqual(expected.map((it) => `${site.dicomweb}${it}`))
  })

  it('come from one cluster for each instance', async () => {
    north.on(`${second.instance}/frames/1`, status(500))
    south.on(`${second.instance}/frames/1`, sent(['b1 of south'], 'image/jpeg'))
    site = await startSite({ north, south })
    expect((await pixels(`/studies/${study}`)).frames).toEqual(['a1', 'a2', 'b1 of south'])
  })

  it('that cannot be completed are an aborted connection', async () => {
    for (const archive of [north, south]) archive.on(`${second.instance}/frames/1`, status(500))
    site = await startSite({ north, south })
    await expect(pixels(`/studies/${study}`)).rejects.toThrow()
  })

  it('say when a cluster that may hold more is silent', async () => {
    south.on('/', silence)
    site = await startSite({ north, south }, { cluster: { timeoutMs: 200 } })
    const { status: code, frames, warning } = await pixels(`/studies/${study}`)
    expect([code, frames.length]).toEqual([206, 3])
    expect(warning).toContain('cluster south timed-out')
  })

  it('do not come alone', async () => {
    site = await startSite({ north, south })
    expect((await pixels(`/studies/${study}`, octetStream)).status).toBe(406)
  })
})

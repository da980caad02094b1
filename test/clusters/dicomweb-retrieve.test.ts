import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RenderedRequest, RetrieveRequest } from '../../src/clusters/cluster.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { isBulkdataPath, relativeToRoot } from '../../src/clusters/dicomweb-metadata.ts'
import {
  bytes,
  type FakeArchive,
  json,
  multipart,
  multipartType,
  startFakeArchive,
  status,
} from '../support/fake-archive.ts'
import { clusterAt, failureOf, forever, idle, readAll, uid } from './setup.ts'

const target = { study: uid('1.2'), series: uid('1.3'), instance: uid('1.4') }
const instancePath = '/studies/1.2/series/1.3/instances/1.4'

describe('a retrieval from an archive', () => {
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

  const contents = async (request: RetrieveRequest) =>
    (await readAll(await cluster.retrieve(request, forever()))).map(({ content }) => content.toString())
  const rendered = (over: Partial<RenderedRequest>): RenderedRequest => ({
    kind: 'rendered',
    target,
    mediaTypes: ['image/jpeg'],
    parameters: {},
    ...over,
  })
  /** Answers only requests with exactly this Accept, as archives do that know one. */
  const onlyFor = (accept: string, type: string, body: string) =>
    archive.on('/studies', (request, response) =>
      (request.headers.accept === accept ? bytes(type, body) : status(400))(request, response),
    )

  it('asks for instances as they are stored', async () => {
    archive.on('/studies/1.2', bytes(multipartType, multipart(['one', 'two'])))
    expect(await contents({ kind: 'instances', target: { study: uid('1.2') }, transferSyntax: '*' })).toEqual([
      'one',
      'two',
    ])
    expect(archive.seen[0]?.headers.accept).toBe('multipart/related; type="application/dicom"; transfer-syntax=*')
  })

  it('takes a single part for a message of one', async () => {
    archive.on(instancePath, bytes('application/dicom', 'one'))
    expect(await contents({ kind: 'instances', target, transferSyntax: '*' })).toEqual(['one'])
  })

  it('finds the boundary behind a type with parameters of its own', async () => {
    const type = 'multipart/related; type="application/octet-stream; boundary=x"; boundary=b'
    archive.on('/frames/1', bytes(type, multipart(['pixels'])))
    const mediaType = 'application/octet-stream'
    expect(await contents({ kind: 'frames', target, frames: [1], mediaType, transferSyntax: '*' })).toEqual(['pixels'])
  })

  it('gives frames in the order wanted, also twice, from archives that sort and remove duplicates', async () => {
    archive.on('/frames/', (request, response) => {
      const frames = new Set(request.url?.split('/').at(-1)?.split(',').map(Number))
      bytes(multipartType, multipart([...frames].sort((a, b) => a - b).map(String)))(request, response)
    })
    const frames = [1, 2, 5, 5, 3, 4]
    const request = { kind: 'frames', target, frames, mediaType: 'image/jp2', transferSyntax: '*' } as const
    expect(await contents(request)).toEqual(frames.map(String))
    expect(archive.seen.map(({ url }) => url.split('/').at(-1))).toEqual(['1,2,5', '5', '3,4'])
  })

  describe('of several frames', () => {
    const pixels = (frames: number[]) =>
      ({ kind: 'frames', target, frames, mediaType: 'application/octet-stream', transferSyntax: '*' }) as const
    const kinds: [string, (frames: number[]) => RetrieveRequest][] = [
      ['pixels', pixels],
      ['pictures', (frames) => rendered({ frames })],
    ]
    /** As archives do: in ascending order, each once, and only those that there are. */
    const holds = (count: number) =>
      archive.on('/frames/', (request, response) => {
        const asked =
          /frames\/([\d,]+)/
            .exec(request.url ?? '')?.[1]
            ?.split(',')
            .map(Number) ?? []
        const given = [...new Set(asked)].filter((frame) => frame <= count).sort((a, b) => a - b)
        bytes(multipartType, multipart(given.map(String)))(request, response)
      })
    const ignoresTheList = () => archive.on('/frames/', bytes(multipartType, multipart(['1', '2', '3'])))

    it.each(kinds)('gives %s in the order wanted, also twice', async (_, asked) => {
      holds(3)
      expect(await contents(asked([3, 1, 1]))).toEqual(['3', '1', '1'])
    })

    it.each(kinds)('takes %s for cut short when one is missing', async (_, asked) => {
      holds(3)
      for (const frames of [[2, 7], [7], [2, 7, 1]]) {
        expect((await failureOf(contents(asked(frames)))).reason).toBe('truncated')
      }
    })

    it.each(kinds)('gives no %s when an archive begins with others', async (_, asked) => {
      ignoresTheList()
      for (const frames of [[3], [3, 1, 2]]) {
        const parts = (await cluster.retrieve(asked(frames), forever()))[Symbol.asyncIterator]()
        expect((await failureOf(parts.next())).reason).toBe('malformed')
      }
      await idle(cluster)
    })

    it.each(kinds)('takes no single part for several %s', async (_, asked) => {
      archive.on('/frames/', bytes('image/jpeg', 'one'))
      expect((await failureOf(cluster.retrieve(asked([1, 2]), forever()))).reason).toBe('malformed')
      expect(await contents(asked([1]))).toEqual(['one'])
    })

    it('ends badly behind a frame too large to be held back when others follow', async () => {
      const strict = clusterAt(archive.dicomweb, { limits: { maxBufferedPartBytes: 1 } })
      archive.on('/frames/', bytes(multipartType, multipart(['large', 'too'])))
      expect((await failureOf(strict.retrieve(pixels([1]), forever()).then(readAll))).reason).toBe('malformed')
      await strict.close()
    })

    it('gives what came whole before the answer broke off', async () => {
      archive.on('/frames/', (_, response) => {
        response.writeHead(200, { 'Content-Type': multipartType })
        response.write('--b\r\n\r\none\r\n--b\r\n', () => response.destroy())
      })
      expect(await contents(pixels([1]))).toEqual(['one'])
    })
  })

  it('asks for frames of a media type without transfer syntax where `*` is not understood', async () => {
    onlyFor('multipart/related; type="image/jpeg"', multipartType, multipart(['picture']))
    const request = { kind: 'frames', target, frames: [1], mediaType: 'image/jpeg', transferSyntax: '*' } as const
    expect(await contents(request)).toEqual(['picture'])
  })

  describe('of frames in another form than bytes as stored', () => {
    const asked = (mediaType: string, transferSyntax = '*') =>
      ({ kind: 'frames', target, frames: [1], mediaType, transferSyntax }) as const
    const asStored = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    /** As Orthanc: whatever is not to be had as it is stored is a 400 or a 500. */
    const stores = (type: string, transcodes: Record<string, string> = {}) =>
      archive.on('/frames/', (request, response) => {
        const { accept = '' } = request.headers
        const body = accept === asStored ? 'stored' : transcodes[accept]
        if (body === undefined) return status(accept.includes('transfer-syntax=*') ? 400 : 500)(request, response)
        return bytes(multipartType, multipart([body], { type: accept === asStored ? type : '' }))(request, response)
      })

    it.each([
      ['image/jp2', '*', 'image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91'],
      ['image/*', '*', 'image/jp2'],
      ['image/jp2', '1.2.840.10008.1.2.4.91', 'image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91'],
      ['application/octet-stream', '1.2.840.10008.1.2.4.91', 'image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91'],
      ['application/octet-stream', '1.2.840.10008.1.2.1', 'application/octet-stream'],
    ])('gives %s in %s when it is what is stored: %s', async (mediaType, transferSyntax, stored) => {
      stores(stored)
      expect(await contents(asked(mediaType, transferSyntax))).toEqual(['stored'])
    })

    it.each([
      ['image/jpeg', '*', 'image/jp2'],
      ['image/jp2', '1.2.840.10008.1.2.4.90', 'image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91'],
      ['image/jp2', '1.2.840.10008.1.2.4.90', 'image/jp2'],
      ['application/octet-stream', '1.2.840.10008.1.2.1', 'image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91'],
      ['application/octet-stream', '1.2.840.10008.1.2.1', 'image/jp2'],
    ])('cannot give %s in %s when what is stored is %s', async (mediaType, transferSyntax, stored) => {
      stores(stored)
      const failure = await failureOf(cluster.retrieve(asked(mediaType, transferSyntax), forever()))
      expect(failure.reason).toBe('unsupported')
      await idle(cluster)
    })

    it('lets go of what is not wanted, however much it is', async () => {
      archive.on('/frames/', (request, response) => {
        if (request.headers.accept !== asStored) return status(406)(request, response)
        response.writeHead(200, { 'Content-Type': multipartType })
        response.write(`--b\r\nContent-Type: image/jp2\r\n\r\n${'x'.repeat(1_000_000)}`)
      })
      expect((await failureOf(cluster.retrieve(asked('image/jpeg'), forever()))).reason).toBe('unsupported')
      for (const { ended } of archive.seen) await ended
    })

    it('asks for the media type alone last', async () => {
      stores('image/jp2', { 'multipart/related; type="image/jpeg"': 'transcoded' })
      expect(await contents(asked('image/jpeg'))).toEqual(['transcoded'])
    })
  })

  it('takes it for unsupported when an archive cannot transcode, and for a failure when it cannot read', async () => {
    archive.on('/studies', status(500))
    const as = (transferSyntax: string) => ({ kind: 'instances', target, transferSyntax }) as const
    expect((await failureOf(cluster.retrieve(as('1.2.840.10008.1.2.1'), forever()))).reason).toBe('unsupported')
    expect((await failureOf(cluster.retrieve(as('*'), forever()))).reason).toBe('failed')
  })

  it('tries media types of pictures one after the other', async () => {
    onlyFor('image/png', 'image/png', 'picture')
    expect(await contents(rendered({ mediaTypes: ['image/webp', 'image/png'] }))).toEqual(['picture'])
    const failure = await failureOf(cluster.retrieve(rendered({ mediaTypes: ['image/webp'] }), forever()))
    expect(failure.reason).toBe('unsupported')
  })

  it('passes on how a picture shall look', async () => {
    archive.on('/rendered', bytes(multipartType, multipart(['one', 'two'])))
    const parameters = { window: '40,400,linear', annotation: 'patient&technique' }
    expect(await contents(rendered({ frames: [2, 3], parameters }))).toEqual(['one', 'two'])
    expect(archive.seen[0]?.url).toBe(
      `/dicom-web${instancePath}/frames/2,3/rendered?window=40,400,linear&annotation=patient%26technique`,
    )
  })

  it('takes a page for a picture only when a page was asked for', async () => {
    archive.on('/rendered', bytes('text/html', '<p>Report</p>'))
    expect((await failureOf(cluster.retrieve(rendered({}), forever()))).reason).toBe('malformed')
    expect(await contents(rendered({ mediaTypes: ['text/html'] }))).toEqual(['<p>Report</p>'])
  })

  it.each([
    ['multipart/related; type="application/octet-stream", */*', 'lists'],
    ['multipart/related; type="application/octet-stream"', 'multipart only'],
    ['*/*', 'single parts only'],
  ])('gets bulk data with %s from archives that know %s', async (accept) => {
    const several = accept.startsWith('multipart')
    onlyFor(accept, several ? multipartType : 'application/octet-stream', several ? multipart(['bulk']) : 'bulk')
    expect(await contents({ kind: 'bulkdata', path: `studies/1.2/bulk/1` })).toEqual(['bulk'])
  })

  it.each([
    '../admin',
    'studies/../admin',
    'studies/%2e%2e/admin',
    'studies/1.2%2f..',
    'http://x/studies/1',
    'studies/a b',
  ])('of bulk data at %s is not made', async (path) => {
    expect(isBulkdataPath(path)).toBe(false)
    expect((await failureOf(cluster.retrieve({ kind: 'bulkdata', path }, forever()))).reason).toBe('not-found')
    expect(archive.seen).toEqual([])
  })

  it('of metadata gives bulk data addresses below the root of the archive, and no others', async () => {
    const at = (uri: string) => ({ vr: 'OB', BulkDataURI: uri })
    const body = [
      {
        '00420011': at(`https://inside.example${'/dicom-web'}${instancePath}/bulk/1`),
        '7FE00010': at('http://elsewhere.example/other/studies/1'),
        '00880200': { vr: 'SQ', Value: [{ '7FE00010': at('bulk/2'), '00280010': { vr: 'US', Value: [1] } }] },
      },
    ]
    const compressed = gzipSync(JSON.stringify(body))
    archive.on('/metadata', bytes('application/dicom+json', compressed, { 'Content-Encoding': 'gzip' }))
    const datasets = []
    for await (const dataset of cluster.metadata(target, forever())) datasets.push(dataset)
    expect(datasets).toEqual([
      {
        '00420011': at(`${instancePath.slice(1)}/bulk/1`),
        '00880200': {
          vr: 'SQ',
          Value: [{ '7FE00010': at(`${instancePath.slice(1)}/bulk/2`), '00280010': { vr: 'US', Value: [1] } }],
        },
      },
    ])
    expect(archive.seen[0]?.headers['accept-encoding']).toBe('gzip')
  })

  it('of metadata of what is not there fails', async () => {
    archive.on('/metadata', status(404))
    const first = cluster.metadata(target, forever())[Symbol.asyncIterator]().next()
    expect((await failureOf(first)).reason).toBe('not-found')
  })

  it('of metadata that is nested beyond reason fails', async () => {
    let dataset: object = {}
    for (let level = 0; level < 100; level++) dataset = { '00880200': { vr: 'SQ', Value: [dataset] } }
    archive.on('/metadata', json([dataset]))
    const first = cluster.metadata(target, forever())[Symbol.asyncIterator]().next()
    expect((await failureOf(first)).reason).toBe('malformed')
  })
})

describe('a bulk data address', () => {
  const request = '/pacs/rs/studies/1/series/2/instances/3/metadata'

  it.each([
    ['http://any.host/pacs/rs/studies/1/bulk/a', 'studies/1/bulk/a'],
    ['https://any.host:8443/pacs/rs/studies/1/bulk/a?x=1&y=2#part', 'studies/1/bulk/a?x=1&y=2'],
    ['/pacs/rs/studies/1/bulk/a', 'studies/1/bulk/a'],
    ['bulk/a', 'studies/1/series/2/instances/3/bulk/a'],
    ['../../bulk/a', 'studies/1/series/2/bulk/a'],
    ['//any.host/pacs/rs/studies/1/bulk/a', 'studies/1/bulk/a'],
    ['http://any.host/other/studies/1/bulk/a', undefined],
    ['http://any.host/pacs/rs2/studies/1', undefined],
    ['http://any.host/pacs/rs/admin', undefined],
    ['/pacs/rs/studies/../admin', undefined],
    ['/pacs/rs/studies/%2e%2e/admin', undefined],
    ['../../../../../../admin', undefined],
    ['/pacs/rs/studies/1%2f..%2fadmin', undefined],
    ['/pacs/rs/studies/1%5C..', undefined],
    ['file:///pacs/rs/studies/1', undefined],
    ['http://', undefined],
    [42, undefined],
  ])('%s is %s', (uri, path) => {
    expect(relativeToRoot(uri, '/pacs/rs', request)).toBe(path)
  })
})

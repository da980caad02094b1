import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Attribute, Dataset } from '../../src/dicom/dataset.ts'
import { identifiers, madeFile } from '../render/made-image.ts'
import { federatedStudies, filesOf, sampleBytes } from '../support/federated-studies.ts'
import { type Answer, disposedAfterAll, type Federation, instancePath, startFederation } from '../support/federation.ts'
import { type MadeInstance, madeInstance } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { digestOf, headerOf } from '../support/uploads.ts'

const content = federatedStudies()
const { split, overlapping, single, made } = content

/** A published file that is stored in a compressed transfer syntax, and where it is held. */
interface Compressed extends MadeInstance {
  readonly frames: number
}

const identify = async (bytes: Uint8Array, frames: number): Promise<Compressed> => {
  const { studyInstanceUID, seriesInstanceUID, sopInstanceUID } = await headerOf(bytes)
  return { study: studyInstanceUID, series: seriesInstanceUID, instance: sopInstanceUID, bytes, frames }
}

const [jpeg2000] = await Promise.all(sampleBytes('JPEG2000').map((bytes) => identify(bytes, 1)))
const [jpeg] = await Promise.all(sampleBytes('JPEG-lossy').map((bytes) => identify(bytes, 1)))
const [rle] = await Promise.all(sampleBytes('SC_rgb_rle_2frame').map((bytes) => identify(bytes, 2)))
const [ct] = await Promise.all(sampleBytes('CT_small').map((bytes) => identify(bytes, 1)))
const [report] = await Promise.all(sampleBytes('test-SR').map((bytes) => identify(bytes, 0)))
const compressed = [jpeg2000, jpeg, rle].filter((it) => it !== undefined)

/** An uncompressed image in the study of the JPEG 2000 one, in another archive. */
const neighbour = jpeg2000 && madeInstance({ study: jpeg2000.study, patientId: 'MIXED' })
/** Everything of that study; the JPEG file happens to belong to it too. */
const mixed = [jpeg2000, neighbour, jpeg].flatMap((it) => (it && it.study === jpeg2000?.study ? [it] : []))
const pdfClass = '1.2.840.10008.5.1.4.1.1.104.1'
const pdfText = '%PDF-1.4 not much of one'
const document = {
  study: '2.25.2',
  series: '2.25.3',
  instance: '2.25.1',
  bytes: madeFile(
    [
      ...identifiers(pdfClass),
      { tag: '00420011', vr: 'OB', value: Buffer.from(pdfText) },
      { tag: '00420012', vr: 'LO', value: 'application/pdf' },
    ],
    { sopClass: pdfClass },
  ),
}
const bytesOf = (...files: readonly (MadeInstance | undefined)[]) => files.flatMap((file) => file?.bytes ?? [])
const files = filesOf(made)

const asStored = { accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' }
const json = { accept: 'application/dicom+json' }
const ohifFrames = {
  quoted: { accept: 'multipart/related; type="application/octet-stream"; transfer-syntax=*' },
  unquoted: { accept: 'multipart/related; type=application/octet-stream; transfer-syntax=*' },
}

const digests = async (files: readonly Uint8Array[]) => (await Promise.all(files.map(digestOf))).toSorted()
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const sizeOfFrame = 16 * 16

describe.skipIf(!orthancAvailable)('three archives retrieved from as one', () => {
  const open = disposedAfterAll()
  let federation: Federation
  const get = (path: string, headers: Record<string, string> = {}) => federation.ask(path, { headers })
  const partBytes = (answer: Answer) => answer.parts().map(({ bytes }) => bytes)

  beforeAll(async () => {
    const south = [...files.south, ...bytesOf(jpeg2000, report)]
    const cardio = [...files.cardio, ...bytesOf(jpeg, rle, document)]
    federation = open.use(
      await startFederation({ content: { north: [...files.north, ...bytesOf(ct, neighbour)], south, cardio } }),
    )
  })

  describe('instances', () => {
    test('a study split over two clusters comes whole, byte for byte', async () => {
      const answer = await get(`/dicom-web/studies/${split.study}`, asStored)
      expect(answer.status, answer.text()).toBe(200)
      expect(answer.warnings).toEqual([])
      expect(answer.type).toMatch(/^multipart\/related; *type="application\/dicom"; *boundary=/)
      for (const { headers } of answer.parts()) expect(headers.get('content-type')).toMatch(/^application\/dicom/)
      expect(await digests(partBytes(answer))).toEqual(await digests(split.all.map(({ bytes }) => bytes)))
    })

    test('of copies that overlap over three clusters each instance comes once', async () => {
      const answer = await get(`/dicom-web/studies/${overlapping.study}`, asStored)
      expect(await digests(partBytes(answer))).toEqual(await digests(overlapping.all.map(({ bytes }) => bytes)))
      const series = await get(`/dicom-web/studies/${overlapping.study}/series/${overlapping.series}`, asStored)
      const images = overlapping.all.filter((it) => it.series === overlapping.series)
      expect(await digests(partBytes(series))).toEqual(await digests(images.map(({ bytes }) => bytes)))
    })

    test('every instance of every archive comes by its own address, in a part and alone', async () => {
      for (const file of [...Object.values(made).flat(), ...compressed]) {
        const multipart = await get(instancePath(file), asStored)
        expect(multipart.status, multipart.text()).toBe(200)
        expect(await digests(partBytes(multipart))).toEqual(await digests([file.bytes]))
        const alone = await get(instancePath(file), { accept: 'application/dicom; transfer-syntax=*' })
        expect(alone.type).toMatch(/^application\/dicom(;|$)/)
        expect(await digestOf(alone.bytes)).toBe(await digestOf(file.bytes))
      }
    })

    test.each([
      ['of OHIF for segmentations', 'multipart/related; type="application/dicom"'],
      ['of anything', '*/*'],
      ['without transfer syntax', 'application/dicom'],
      ['explicit little endian', 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'],
      [
        'with an alternative',
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90, */*',
      ],
    ])('an Accept %s gets the instance', async (_, accept) => {
      const answer = await get(instancePath(single.müller), { accept })
      expect(answer.status, answer.text()).toBe(200)
      const [bytes] = answer.type.startsWith('multipart/') ? partBytes(answer) : [answer.bytes]
      expect(await digestOf(bytes ?? Buffer.alloc(0))).toBe(await digestOf(single.müller.bytes))
    })

    test.skipIf(!jpeg2000)('a study with JPEG 2000 in it comes as it is stored', async () => {
      const answer = await get(`/dicom-web/studies/${jpeg2000?.study}`, asStored)
      expect(answer.status, answer.text()).toBe(200)
      expect(await digests(partBytes(answer))).toEqual(await digests(bytesOf(...mixed)))
    })

    test.skipIf(!jpeg2000)('and comes whole to a client that names no transfer syntax', async () => {
      const answer = await get(`/dicom-web/studies/${jpeg2000?.study}`, {
        accept: 'multipart/related; type="application/dicom"',
      })
      expect(answer.status, answer.text()).toBe(200)
      const headers = await Promise.all(partBytes(answer).map(headerOf))
      expect(headers.map((it) => it.sopInstanceUID as string).toSorted()).toEqual(
        mixed.map(({ instance }) => instance).toSorted(),
      )
      // Its archive cannot decode it, so it comes as it is, and says so.
      const own = headers.find((it) => it.sopInstanceUID === jpeg2000?.instance)
      expect(own?.transferSyntaxUID).toMatch(/^1\.2\.840\.10008\.1\.2\.4\.9[01]$/)
      const alone = await get(instancePath(jpeg2000 ?? single.cine), { accept: 'application/dicom' })
      expect(alone.status, alone.text()).toBe(200)
      const strict = await get(instancePath(jpeg2000 ?? single.cine), {
        accept: 'application/dicom; transfer-syntax=1.2.840.10008.1.2.1',
      })
      expect(strict.status, strict.text()).toBe(406)
    })

    test.skipIf(!jpeg2000)('and to a client that takes anything too', async () => {
      const answer = await get(`/dicom-web/studies/${jpeg2000?.study}`, { accept: '*/*' })
      expect(await digests(partBytes(answer))).toEqual(await digests(bytesOf(...mixed)))
    })
  })

  describe('metadata', () => {
    test('of a study, series and instance are the datasets of all that is below', async () => {
      const levels = [
        [`/dicom-web/studies/${overlapping.study}`, overlapping.all],
        [
          `/dicom-web/studies/${overlapping.study}/series/${overlapping.series}`,
          overlapping.all.filter((it) => it.series === overlapping.series),
        ],
        [instancePath(single.cine), [single.cine]],
      ] as const
      for (const [path, expected] of levels) {
        const answer = await get(`${path}/metadata`, json)
        expect(answer.status, answer.text()).toBe(200)
        expect(answer.type).toMatch(/^application\/dicom\+json/)
        const uids = (answer.json() as Dataset[]).map((it) => String(it['00080018']?.Value?.[0]))
        expect(uids.toSorted()).toEqual(expected.map(({ instance }) => instance).toSorted())
      }
    })

    test('says what the archive says', async () => {
      const [dataset] = await federation.datasets(`${instancePath(single.müller)}/metadata`)
      expect(dataset?.['00100010']?.Value).toEqual([{ Alphabetic: 'MÜLLER^JÖRG' }])
      expect(dataset?.['00280010']?.Value).toEqual([4])
    })

    test('every address in it is the proxy’s and leads to the bytes it stands for', async () => {
      for (const file of [single.cine, single.müller, split.mr[0], ct].filter((it) => it !== undefined)) {
        const [dataset] = await federation.datasets(`${instancePath(file)}/metadata`)
        const addresses = [...bulkDataUris(dataset ?? {})]
        expect(addresses).not.toEqual([])
        for (const [key, address] of addresses) {
          expect(address.startsWith(`${federation.proxy.url}/dicom-web/studies/`), address).toBe(true)
          const alone = await get(address, { accept: 'application/octet-stream' })
          expect(alone.status, alone.text()).toBe(200)
          const multipart = await get(address, { accept: 'multipart/related; type="application/octet-stream"' })
          expect(partBytes(multipart).map(sha)).toEqual([sha(alone.bytes)])
          expect((await get(address, { accept: '*/*' })).status).toBe(200)
          if (key === '7FE00010') expect(Buffer.from(file.bytes).includes(alone.bytes)).toBe(true)
        }
      }
    })
  })

  describe('frames', () => {
    const path = `${instancePath(single.cine)}/frames`
    const grey = (frame: number) => Buffer.alloc(sizeOfFrame, 9 + frame)

    test.each(Object.entries(ohifFrames))('one frame, asked for as OHIF does (%s)', async (_, headers) => {
      const answer = await get(`${path}/3`, headers)
      expect(answer.status, answer.text()).toBe(200)
      expect(partBytes(answer)).toEqual([grey(3)])
      expect(answer.parts()[0]?.headers.get('content-type')).toMatch(/^application\/octet-stream/)
      // Viewers look for this spelling.
      expect(answer.bytes.includes('\r\nContent-Type: ')).toBe(true)
    })

    test('several frames come in the order they are asked for', async () => {
      const answer = await get(`${path}/5,1,2`, ohifFrames.quoted)
      expect(answer.status, answer.text()).toBe(200)
      expect(partBytes(answer)).toEqual([grey(5), grey(1), grey(2)])
    })

    test('one frame alone', async () => {
      const answer = await get(`${path}/2`, { accept: 'application/octet-stream' })
      expect(answer.type).toMatch(/^application\/octet-stream/)
      expect(answer.bytes).toEqual(grey(2))
    })

    test.each(compressed.map((it) => [it.frames, it] as const))(
      'compressed frames come as stored and say how they are (%i frames)',
      async (frames, file) => {
        for (let frame = 1; frame <= frames; frame++) {
          const answer = await get(`${instancePath(file)}/frames/${frame}`, ohifFrames.quoted)
          expect(answer.status, answer.text()).toBe(200)
          const [part] = answer.parts()
          // Byte for byte a piece of the file, so nothing was transcoded.
          expect(Buffer.from(file.bytes).includes(part?.bytes ?? Buffer.from('no part'))).toBe(true)
          expect(part?.headers.get('content-type')).toMatch(/^(image\/|application\/octet-stream)/)
        }
      },
    )

    test.skipIf(!jpeg2000)(
      'a JPEG 2000 frame names its transfer syntax, without which viewers show black',
      async () => {
        if (!jpeg2000) return
        const answer = await get(`${instancePath(jpeg2000)}/frames/1`, ohifFrames.unquoted)
        expect(answer.parts()[0]?.headers.get('content-type')).toMatch(
          /^image\/(jp2|jpx|jpeg2000)|transfer-syntax="?1\.2\.840\.10008\.1\.2\.4\.9[01]/,
        )
      },
    )

    test('a frame that is not there is an error of the client, not of the service', async () => {
      const answer = await get(`${path}/6`, ohifFrames.quoted)
      expect([400, 404]).toContain(answer.status)
    })

    test.skipIf(!report)('frames of what has none are refused, and nobody is told to ask again', async () => {
      if (!report) return
      const answer = await get(`${instancePath(report)}/frames/1`, ohifFrames.quoted)
      // Archives say 500 to this.
      expect([400, 404, 406, 502]).toContain(answer.status)
      expect(answer.headers.has('retry-after')).toBe(false)
    })
  })

  describe('pictures', () => {
    const jpegMagic = 'ffd8ff'
    const pngMagic = '89504e47'
    const magic = (bytes: Buffer) => bytes.subarray(0, 4).toString('hex')

    test('an instance and a frame are rendered', async () => {
      for (const path of [`${instancePath(single.cine)}`, `${instancePath(single.cine)}/frames/2`]) {
        const asJpeg = await get(`${path}/rendered`, { accept: 'image/jpeg' })
        expect(asJpeg.status, asJpeg.text()).toBe(200)
        expect(asJpeg.type).toBe('image/jpeg')
        expect(magic(asJpeg.bytes).startsWith(jpegMagic)).toBe(true)
        const asPng = await get(`${path}/rendered`, { accept: 'image/png' })
        expect(magic(asPng.bytes)).toBe(pngMagic)
      }
    })

    test('a browser that takes pages first gets a picture', async () => {
      const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8'
      const answer = await get(`${instancePath(single.cine)}/rendered`, { accept })
      expect(answer.status, answer.text()).toBe(200)
      expect(answer.type).toMatch(/^image\//)
    })

    test('a thumbnail of instance, series and study, though the archives make none', async () => {
      const { study, series } = single.cine
      const seriesPath = `/dicom-web/studies/${study}/series/${series}`
      for (const path of [instancePath(single.cine), seriesPath, `/dicom-web/studies/${study}`]) {
        for (const search of ['', '?accept=image%2Fjpeg', '?viewport=64%2C64']) {
          const answer = await get(`${path}/thumbnail${search}`)
          expect(answer.status, `${path}${search} ${answer.text().slice(0, 300)}`).toBe(200)
          expect(answer.type).toBe('image/jpeg')
        }
      }
    })

    test.skipIf(compressed.length === 0)('what the archive cannot render is rendered here', async () => {
      for (const image of compressed) {
        for (const [type, beginning] of [
          ['image/jpeg', jpegMagic],
          ['image/png', pngMagic],
        ] as const) {
          const answer = await get(`${instancePath(image)}/rendered`, { accept: type })
          expect(answer.status, answer.text().slice(0, 300)).toBe(200)
          expect(answer.type).toBe(type)
          expect(magic(answer.bytes).startsWith(beginning)).toBe(true)
        }
      }
    })

    test('a document that an instance encapsulates is given to a browser as it is', async () => {
      const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
      const answer = await get(`${instancePath(document)}/rendered`, { accept })
      expect(answer.status, answer.text().slice(0, 300)).toBe(200)
      expect(answer.type).toBe('application/pdf')
      expect(answer.text()).toBe(pdfText)
    })

    test.skipIf(!report)('a picture of what has none is an error of the client', async () => {
      if (!report) return
      const answer = await get(`${instancePath(report)}/rendered`, { accept: 'image/jpeg' })
      expect([404, 406]).toContain(answer.status)
    })
  })

  describe('where they are', () => {
    interface Report {
      readonly holders: readonly {
        cluster: string
        decidedBy?: string
        firstByteMs?: number
        listed: { instances: number; examples: string[] }
      }[]
      readonly union: object
    }
    const explain = async (path: string) => JSON.parse((await get(`/link/v1/explain${path}`)).text()) as Report

    test('is told of a study that three archives hold in part', async () => {
      const { holders, union } = await explain(`/studies/${overlapping.study}`)
      const listed = Object.fromEntries(holders.map((it) => [it.cluster, [it.listed.instances, it.listed.examples]]))
      const [first, , third] = overlapping.all.map(({ instance }) => instance)
      const extra = overlapping.all.at(-1)?.instance
      expect(listed).toEqual({ north: [2, [first]], south: [3, [third]], cardio: [2, [extra]] })
      expect(union).toEqual({ series: 2, instances: 5 })
      expect(holders.map(({ cluster, decidedBy }) => [cluster, decidedBy])).toEqual([
        ['cardio', undefined],
        ['south', 'series'],
        ['north', 'instances'],
      ])
    })

    test('is told with how fast they were lately', async () => {
      await get(instancePath(single.bob), asStored)
      const { holders } = await explain(instancePath(single.bob).replace('/dicom-web', ''))
      expect(holders).toMatchObject([{ cluster: 'south', firstByteMs: expect.any(Number) }])
    })
  })

  describe('WADO-URI', () => {
    const uri = ({ study, series, instance }: MadeInstance, more: string) =>
      `/wado?requestType=WADO&studyUID=${study}&seriesUID=${series}&objectUID=${instance}${more}`

    test('the instance as OHIF asks for it', async () => {
      for (const file of [single.müller, ...compressed]) {
        const answer = await get(uri(file, '&contentType=application/dicom&transferSyntax=*'))
        expect(answer.status, answer.text()).toBe(200)
        expect(answer.type).toMatch(/^application\/dicom/)
        expect(await digestOf(answer.bytes)).toBe(await digestOf(file.bytes))
      }
    })

    test('a picture of it, by default', async () => {
      for (const more of ['', '&contentType=image%2Fjpeg', '&contentType=image/png&frameNumber=2']) {
        const answer = await get(uri(single.cine, more))
        expect(answer.status, answer.text()).toBe(200)
        expect(answer.type).toMatch(/^image\//)
      }
    })

    test('wrong requests are named as such', async () => {
      expect((await get('/wado?requestType=WADO&studyUID=1&seriesUID=2')).status).toBe(400)
      expect((await get('/wado?requestType=NO&studyUID=1&seriesUID=2&objectUID=3')).status).toBe(400)
      expect(
        (await get('/wado?requestType=WADO&studyUID=1&seriesUID=2&objectUID=3&contentType=image/jpeg')).status,
      ).toBe(404)
    })
  })

  describe('what cannot be had', () => {
    const other = { study: '1.2.3', series: '1.2.3.4', instance: '1.2.3.4.5', bytes: Buffer.alloc(0) }
    const unknown = [
      '/dicom-web/studies/1.2.3',
      '/dicom-web/studies/1.2.3/metadata',
      '/dicom-web/studies/1.2.3/series/1.2.3.4',
      '/dicom-web/studies/1.2.3/series/1.2.3.4/metadata',
      instancePath(other),
      `${instancePath(other)}/metadata`,
      `${instancePath(other)}/frames/1`,
      `${instancePath(other)}/rendered`,
      `${instancePath(other)}/thumbnail`,
      instancePath({ ...single.cine, instance: '1.2.3.4.5' }),
      `/dicom-web/studies/${split.study}/series/1.2.3.4`,
      instancePath({ ...single.cine, series: single.müller.series }),
      `/dicom-web/nothing`,
    ]
    test.each(unknown)('%s is not found', async (path) => {
      const answer = await get(path)
      expect(answer.status, answer.text()).toBe(404)
      expect(answer.type).toMatch(/^application\/problem\+json/)
    })

    test.each([
      `/dicom-web/studies/not-a-uid`,
      `/dicom-web/studies/1.2.3/series/x/metadata`,
      `${instancePath(single.cine)}/frames/0`,
      `${instancePath(single.cine)}/frames/a`,
      `${instancePath(single.cine)}/bulkdata/AAAA`,
      `${instancePath(single.cine)}/rendered?viewport=0,0`,
      `${instancePath(single.cine)}/rendered?window=a`,
    ])('%s is a bad request', async (path) => {
      expect((await get(path)).status).toBe(400)
    })

    test.each([
      [`/dicom-web/studies/${split.study}`, 'application/dicom'],
      [`/dicom-web/studies/${split.study}`, 'text/html'],
      [`/dicom-web/studies/${split.study}/metadata`, 'text/html'],
      [`${instancePath(single.cine)}/frames/1`, 'application/pdf'],
      [`${instancePath(single.cine)}/rendered`, 'text/html'],
      [instancePath(single.cine), 'multipart/related; type="image/tiff"'],
    ])('%s as %s is not acceptable', async (path, accept) => {
      expect((await get(path, { accept })).status).toBe(406)
    })

    test('nothing can be deleted', async () => {
      const answer = await federation.ask(`/dicom-web/studies/${split.study}`, { method: 'DELETE' })
      expect(answer.status).toBe(405)
    })
  })
})

function* bulkDataUris(dataset: Dataset): Generator<readonly [string, string]> {
  for (const [key, attribute] of Object.entries(dataset) as [string, Attribute][]) {
    if (attribute.BulkDataURI !== undefined) yield [key, attribute.BulkDataURI]
    if (attribute.vr === 'SQ') for (const item of attribute.Value ?? []) yield* bulkDataUris((item ?? {}) as Dataset)
  }
}

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { locateFrames } from '../../src/dicom/pixel-data.ts'
import { sampleBytes } from '../support/federated-studies.ts'
import { type Answer, type Federation, instancePath, startFederation } from '../support/federation.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { bytesOf, headerOf } from '../support/uploads.ts'

const octetStream = 'application/octet-stream'
const parts = { accept: `multipart/related; type="${octetStream}"` }
const asStored = { accept: `multipart/related; type="${octetStream}"; transfer-syntax=*` }

const identified = async (bytes: Uint8Array): Promise<MadeInstance> => {
  const { studyInstanceUID, seriesInstanceUID, sopInstanceUID } = await headerOf(bytes)
  return { study: studyInstanceUID, series: seriesInstanceUID, instance: sopInstanceUID, bytes }
}
const published = async (name: string) => (await Promise.all(sampleBytes(name).map(identified)))[0]
const [jpeg2000, jpeg, rle, cine, ct, report] = await Promise.all(
  ['JPEG2000', 'JPEG-lossy', 'SC_rgb_rle_2frame', 'examples_ybr_color', 'CT_small', 'test-SR'].map(published),
)
const compressed = [jpeg2000, jpeg, rle, cine].filter((it) => it !== undefined)

/** Uncompressed, of several frames. */
const study = madeUid()
const series = madeUid()
const many = madeInstance({ study, series, frames: 3, rows: 8, columns: 8, grey: 40 })
const single = madeInstance({ study, series, instanceNumber: 2, rows: 8, columns: 8, grey: 90 })

async function framesIn({ bytes }: MadeInstance): Promise<Buffer[]> {
  const file = {
    size: bytes.byteLength,
    read: async (at: number, length: number) => Buffer.from(bytes.subarray(at, at + length)),
  }
  const located = await locateFrames(file)
  return Promise.all(located.frames.map((_, index) => bytesOf(located.open(index + 1).body)))
}

describe.skipIf(!orthancAvailable || compressed.length === 0)('pixel data in three archives', () => {
  let federation: Federation
  const get = (path: string, headers: Record<string, string> = {}) => federation.ask(path, { headers })
  const bytesIn = (answer: Answer) => answer.parts().map(({ bytes }) => bytes)

  beforeAll(async () => {
    const files = (...all: (MadeInstance | undefined)[]) => all.flatMap((it) => it?.bytes ?? [])
    federation = await startFederation({
      content: { north: files(ct, many), south: files(ct, single, jpeg2000, rle, report), cardio: files(jpeg, cine) },
    })
  })
  afterAll(() => federation?.[Symbol.asyncDispose]())

  const metadataOf = async (file: MadeInstance): Promise<Dataset> =>
    (await federation.datasets(`${instancePath(file)}/metadata`))[0] ?? {}
  const pixelsOf = async (file: MadeInstance) => (await metadataOf(file))['7FE00010']?.BulkDataURI ?? 'nowhere'

  describe.each(compressed.map((it) => [it.instance, it] as const))('of the compressed image %s', (_, file) => {
    test('is where the metadata says it is, though its archive does not say it', async () => {
      const { accept } = asStored
      const answer = await get(await pixelsOf(file), { accept })
      expect(answer.status, answer.text()).toBe(200)
      expect(bytesIn(answer).length).toBe((await framesIn(file)).length)
      // Pieces of the file as they are: nothing was transcoded.
      for (const bytes of bytesIn(answer)) expect(Buffer.from(file.bytes).includes(bytes)).toBe(true)
      for (const { headers } of answer.parts())
        expect(headers.get('content-type')).toMatch(/^image\/.*transfer-syntax=/)
    })

    test('comes to clients that name no transfer syntax as well', async () => {
      const total = (await framesIn(file)).length
      for (const headers of [parts, {}]) {
        const answer = await get(await pixelsOf(file), headers)
        expect(answer.status, answer.text()).toBe(200)
        const got = answer.type.startsWith('multipart/') ? bytesIn(answer) : [answer.bytes]
        expect(got.length).toBe(total)
        for (const bytes of got) expect(bytes.length).toBeGreaterThan(0)
      }
    })

    test('comes alone when it is one frame, and else is refused to who takes one part', async () => {
      const isOne = (await framesIn(file)).length === 1
      const answer = await get(await pixelsOf(file), { accept: `${octetStream}; transfer-syntax=*` })
      expect(answer.status, answer.text()).toBe(isOne ? 200 : 406)
      if (isOne) expect(Buffer.from(file.bytes).includes(answer.bytes)).toBe(true)
    })
  })

  test.skipIf(!jpeg2000)(
    'of an image that its archive cannot decode comes in each form that it is stored in',
    async () => {
      if (!jpeg2000) return
      const syntax = '1.2.840.10008.1.2.4.91'
      const frame = `${instancePath(jpeg2000)}/frames/1`
      const stored = bytesIn(await get(frame, asStored))
      for (const accept of [
        parts.accept,
        `multipart/related; type="${octetStream}"; transfer-syntax=${syntax}`,
        'multipart/related; type="image/jp2"',
        `multipart/related; type="image/jp2"; transfer-syntax=${syntax}`,
        'multipart/related; type="image/png";q=0.9, multipart/related; type="image/jp2";q=0.5',
      ]) {
        const answer = await get(frame, { accept })
        expect(answer.status, `${accept} ${answer.text().slice(0, 300)}`).toBe(200)
        expect(bytesIn(answer)).toEqual(stored)
      }
      for (const accept of [
        `multipart/related; type="${octetStream}"; transfer-syntax=1.2.840.10008.1.2.1`,
        'multipart/related; type="image/jpeg"',
      ]) {
        const answer = await get(frame, { accept })
        expect(answer.status, accept).toBe(406)
        expect(answer.text()).toContain('this resource offers')
      }
    },
  )

  test('of an uncompressed image is where its archive says it is, and one part a frame of the resource', async () => {
    const [one, two, three] = await framesIn(many)
    const whole = await get(await pixelsOf(many), { accept: octetStream })
    expect(whole.bytes).toEqual(Buffer.concat([one, two, three].map((it) => it ?? Buffer.alloc(0))))
    const frames = await get(`${instancePath(many)}/pixeldata`, parts)
    expect(bytesIn(frames)).toEqual([one, two, three])
    const places = frames.parts().map(({ headers }) => headers.get('content-location'))
    expect(places).toEqual([1, 2, 3].map((it) => `${federation.proxy.url}${instancePath(many)}/frames/${it}`))
  })

  test('of a study and a series split over two archives comes whole', async () => {
    const expected = [...(await framesIn(many)), ...(await framesIn(single))].map(String).toSorted()
    for (const path of [`/dicom-web/studies/${study}`, `/dicom-web/studies/${study}/series/${series}`]) {
      const answer = await get(`${path}/pixeldata`, parts)
      expect(answer.status, answer.text()).toBe(200)
      expect(bytesIn(answer).map(String).toSorted()).toEqual(expected)
    }
  })

  test.skipIf(!report)('of what is no image is not there, nor do metadata say so', async () => {
    if (!report) return
    expect((await metadataOf(report))['7FE00010']).toBeUndefined()
    const answer = await get(`${instancePath(report)}/pixeldata`)
    expect(answer.status, answer.text()).toBe(404)
    expect(answer.text()).toContain('has no pixel data')
  })

  test.skipIf(!ct)('is given by the other archive when the one that named its place is dead', async () => {
    if (!ct) return
    const uris = Object.entries(await metadataOf(ct)).flatMap(([key, { BulkDataURI }]) =>
      BulkDataURI ? [[key, BulkDataURI]] : [],
    )
    const before = await Promise.all(uris.map(async ([, uri = '']) => (await get(uri, { accept: octetStream })).bytes))
    expect(before.length).toBeGreaterThan(1)
    await federation.north.kill()
    try {
      for (const [index, [key, uri = '']] of uris.entries()) {
        const answer = await get(uri, { accept: octetStream })
        expect(answer.status, `${key} ${answer.text().slice(0, 200)}`).toBe(200)
        expect(answer.bytes).toEqual(before[index])
      }
    } finally {
      await federation.north.restart()
    }
  })
})

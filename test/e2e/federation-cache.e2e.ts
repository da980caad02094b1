import { beforeAll, describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import {
  disposedAfterAll,
  type Federation,
  instancePath,
  startFederation,
  storeRequest,
} from '../support/federation.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'

const viewers = 10
const study = madeUid()
const images = [10, 20, 30, 40].map((grey) => madeInstance({ study, rows: 64, columns: 64, grey }))
const [one, second, third, fourth] = images as [Image, Image, Image, Image]
type Image = (typeof images)[number]

const framesOf = (image: Image) => `${instancePath(image)}/frames/1`
const inParts = { accept: 'multipart/related; type="application/octet-stream"' }
const alone = { accept: 'application/octet-stream' }
const json = { accept: 'application/dicom+json' }

describe.skipIf(!orthancAvailable)('answers of a real archive that are kept', () => {
  const open = disposedAfterAll()
  let federation: Federation
  const get = (path: string, headers: Record<string, string>) => federation.ask(path, { headers })

  beforeAll(async () => {
    federation = open.use(
      await startFederation({ content: { north: images.map(({ bytes }) => bytes), south: [], cardio: [] } }),
    )
  })

  /** Calls of one kind to the archives so far. */
  async function calls(operation: string): Promise<number> {
    const text = (await get('/metrics', {})).text()
    const lines = text.matchAll(/^dicomweb_link_cluster_call_duration_seconds_count\{(.*)\} (\d+)$/gm)
    return [...lines].reduce(
      (sum, [, labels, count]) => sum + (labels?.includes(`operation="${operation}"`) ? Number(count) : 0),
      0,
    )
  }

  test('ten viewers that open an image at the same time are one question to the archive', async () => {
    const before = await calls('retrieve')
    const answers = await Promise.all(Array.from({ length: viewers }, () => get(framesOf(one), inParts)))
    expect(await calls('retrieve')).toBe(before + 1)
    const pixels = answers.map((answer) => answer.parts()[0]?.bytes)
    for (const it of pixels) expect(it).toEqual(pixels[0])
    expect(pixels[0]?.byteLength).toBe(64 * 64)
    await get(framesOf(one), inParts)
    expect(await calls('retrieve')).toBe(before + 1)
  })

  test('the entity tag is that of the content: a viewer that has it gets nothing, whichever process it asks', async () => {
    const { headers } = await get(framesOf(second), alone)
    const known = { ...alone, 'if-none-match': headers.get('etag') ?? '' }
    expect((await get(framesOf(second), known)).status).toBe(304)
    await federation.restart('SIGTERM')
    expect((await get(framesOf(second), known)).status).toBe(304)
    expect((await get(framesOf(third), known)).status).toBe(200)
  })

  test('a range of a frame is that of its bytes', async () => {
    const { bytes } = await get(framesOf(third), alone)
    const part = await get(framesOf(third), { ...alone, range: 'bytes=100-199' })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 100-199/${64 * 64}`])
    expect(part.bytes).toEqual(bytes.subarray(100, 200))
  })

  test('metadata is kept for as long as nothing is stored in its study', async () => {
    const path = `${instancePath(fourth)}/metadata`
    const [first, again] = [await get(path, json), await get(path, json)]
    expect(again.bytes).toEqual(first.bytes)
    const before = await calls('metadata')
    await get(path, json)
    expect(await calls('metadata')).toBe(before)
    const added = madeInstance({ study, series: fourth.series })
    const stored = await federation.ask('/dicom-web/studies', storeRequest([added.bytes]))
    expect(stored.status, stored.text()).toBe(200)
    expect((await get(path, json)).bytes).toEqual(first.bytes)
    expect(await calls('metadata')).toBe(before + 1)
    const series = await get(`/dicom-web/studies/${study}/series/${fourth.series}/metadata`, json)
    expect(series.json() as Dataset[]).toHaveLength(2)
  })
})

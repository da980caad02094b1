import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Target } from '../../src/clusters/cluster.ts'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { bulkValue, writePart10 } from '../../src/dicom/write.ts'
import { openTestArchive } from '../support/embedded.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { bytesOf, readParts, uploadsOf } from '../support/uploads.ts'

const never = new AbortController().signal
const uid = (text: string): Uid => parseUid(text, 'test')
const targetOf = ({ study, series, instance }: Omit<MadeInstance, 'bytes'>): Required<Target> => ({
  study: uid(study),
  series: uid(series),
  instance: uid(instance),
})

describe('retrieving from the embedded archive', () => {
  let archive: Awaited<ReturnType<typeof openTestArchive>>
  beforeAll(async () => {
    archive = await openTestArchive()
  })
  afterAll(() => archive?.close())

  const bulkdataOf = async (target: Required<Target>) => {
    const [dataset = {}] = await Array.fromAsync(archive.cluster.metadata(target, never))
    const { BulkDataURI: path = '' }: Dataset[string] = dataset[tag.PixelData] ?? { vr: 'OB' }
    return readParts(await archive.cluster.retrieve({ kind: 'bulkdata', path }, never))
  }

  it('a frame that the instance does not have is not found, and it says how many there are', async () => {
    const made = madeInstance({ frames: 3 })
    await archive.cluster.store(uploadsOf(made.bytes), never)
    const frames = { kind: 'frames', target: targetOf(made), mediaType: '*/*', transferSyntax: '*' } as const
    await expect(archive.cluster.retrieve({ ...frames, frames: [1, 9] }, never)).rejects.toMatchObject({
      reason: 'not-found',
      message: expect.stringContaining('frame 9 is out of range: the instance has 3 frame(s)'),
    })
  })

  it('compressed pixel data of many frames comes as bulk data one part a frame, uncompressed as one', async () => {
    const pixels = ['one', 'two!', 'three'].map((text) => Buffer.from(text))
    const made = await compressed(pixels)
    const plain = madeInstance({ frames: 3, rows: 40, columns: 40 })
    await archive.cluster.store(uploadsOf(made.bytes, plain.bytes), never)
    const parts = await bulkdataOf(targetOf(made))
    const contentType = `image/jp2; transfer-syntax=${jpeg2000}`
    // Odd fragments are padded (PS3.5 A.4).
    const expected = pixels.map((it) => Buffer.concat([it, Buffer.alloc(it.length % 2)]))
    expect(parts).toEqual(expected.map((bytes) => ({ contentType, length: bytes.length, total: 3, bytes })))
    expect(await bulkdataOf(targetOf(plain))).toMatchObject([{ length: 3 * 40 * 40, total: 1 }])
  })
})

const jpeg2000 = uid('1.2.840.10008.1.2.4.90')

async function compressed(frames: readonly Buffer[]): Promise<MadeInstance> {
  const [study, series, instance] = [madeUid(), madeUid(), madeUid()]
  const dataset: Dataset = {
    [tag.SOPClassUID]: { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.7.2'] },
    [tag.SOPInstanceUID]: { vr: 'UI', Value: [instance] },
    [tag.StudyInstanceUID]: { vr: 'UI', Value: [study] },
    [tag.SeriesInstanceUID]: { vr: 'UI', Value: [series] },
    '00280008': { vr: 'IS', Value: [frames.length] },
  }
  const file = writePart10(dataset, { transferSyntaxUID: jpeg2000, pixelData: frames.map(bulkValue) })
  return { study, series, instance, bytes: await bytesOf(file) }
}

import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { readMetadata } from '../../src/dicom/metadata.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import type { ByteReader } from '../../src/dicom/part10-window.ts'
import { openBulkdata } from '../../src/dicom/pixel-data.ts'
import { bulkValue, type WriteOptions, writePart10 } from '../../src/dicom/write.ts'
import { samples } from '../support/samples.ts'
import { explicitLittleEndian, haveSamples, image, readerOf, sampleBytes, values, whole, written } from './files.ts'

const options = { transferSyntaxUID: explicitLittleEndian as WriteOptions['transferSyntaxUID'] }

async function bulkdata(file: ByteReader, path: string): Promise<Buffer> {
  const pieces = await openBulkdata(file, path)
  expect(pieces).toHaveLength(1)
  const [only] = pieces
  return only ? whole(only.body) : Buffer.alloc(0)
}

describe('writePart10', () => {
  it('makes a file that is known by its first bytes', async () => {
    async function* body() {
      yield await written({})
    }
    const { header } = await sniffInstance(body(), { maxHeaderBytes: 4_096 })
    expect(header).toMatchObject({ sopInstanceUID: '2.25.1', studyInstanceUID: '2.25.2', seriesInstanceUID: '2.25.3' })
  })

  it('streams bulk data through, and pads what is odd', async () => {
    async function* body() {
      yield Buffer.from([1, 2])
      yield Buffer.from([3])
    }
    const file = await written(
      {
        ...image(1, 3, 8, 1),
        '7FE00010': { vr: 'OB', BulkDataURI: 'https://x/1' },
        '00420011': { vr: 'OB', BulkDataURI: 'y' },
      },
      { bulk: (uri) => (uri === 'y' ? bulkValue(Buffer.alloc(3_000, 7)) : { length: 3, body: body() }) },
    )
    expect(await bulkdata(readerOf(file), '7FE00010')).toEqual(Buffer.from([1, 2, 3, 0]))
    expect(await bulkdata(readerOf(file), '00420011')).toEqual(Buffer.alloc(3_000, 7))
  })

  it('does not read bulk data before its place in the file is reached', async () => {
    let begun = false
    async function* body() {
      begun = true
      yield Buffer.alloc(10)
    }
    const file = writePart10(
      {
        ...(await readMetadata(readerOf(await written(image(2, 5, 8, 1))))),
        '7FE00010': { vr: 'OB', BulkDataURI: 'x' },
      },
      { ...options, bulk: () => ({ length: 10, body: body() }) },
    )[Symbol.asyncIterator]()
    await file.next()
    expect(begun).toBe(false)
    await file.next()
    expect(begun).toBe(true)
  })

  it.each([
    ['longer', 5],
    ['shorter', 20],
  ])('fails when bulk data is %s than announced', async (_, length) => {
    const file = written(
      { '00420011': { vr: 'OB', BulkDataURI: 'x' } },
      { bulk: () => ({ ...bulkValue(Buffer.alloc(10)), length }) },
    )
    await expect(file).rejects.toMatchObject({ code: 'bad-request', message: expect.stringContaining('00420011') })
  })

  it.each<[string, Dataset]>([
    ['a VR that is none', { '00100010': { vr: 'XX' } }],
    ['a tag that is none', { PatientName: { vr: 'PN' } }],
    ['text where a number belongs', { '00280010': { vr: 'US', Value: ['secret'] } }],
    ['a number out of range', { '00280010': { vr: 'US', Value: [70_000] } }],
    ['an item that is no dataset', { '00400275': { vr: 'SQ', Value: ['secret'] } }],
    ['bulk data nobody has', { '00420011': { vr: 'OB', BulkDataURI: 'secret' } }],
    ['values where binary belongs', { '00420011': { vr: 'OB', Value: ['secret'] } }],
    ['no SOP Instance UID', { '00080018': { vr: 'UI' } }],
  ])('refuses %s before a byte is written, without repeating the value', async (_, dataset) => {
    const error = await written(dataset).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toMatchObject({ name: 'LinkError', code: 'bad-request' })
    expect(String(error)).not.toContain('secret')
  })

  it('refuses encodings it does not write', async () => {
    const implicit = written({}, { transferSyntaxUID: '1.2.840.10008.1.2' as WriteOptions['transferSyntaxUID'] })
    await expect(implicit).rejects.toMatchObject({ code: 'unsupported-media-type' })
  })

  it('keeps decimal strings within the sixteen characters they may have', async () => {
    const numbers = [0.1 + 0.2, -1 / 3, 1e-300, -1.23456789012345e-300, 2 ** 80, 0.661468]
    const file = await written({ '00280030': { vr: 'DS', Value: numbers } })
    const at = file.indexOf(Buffer.from([0x28, 0, 0x30, 0, 0x44, 0x53]))
    const texts = file
      .toString('latin1', at + 8, at + 8 + file.readUInt16LE(at + 6))
      .trim()
      .split('\\')
    expect(texts).toHaveLength(numbers.length)
    for (const [index, text] of texts.entries()) {
      expect(text.length).toBeLessThanOrEqual(16)
      expect(Number(text) / (numbers[index] ?? 0)).toBeCloseTo(1, 7)
    }
  })

  it.skipIf(!dcmtkAvailable())('is understood by dcmtk', async () => {
    const dataset: Dataset = {
      ...image(8, 8, 16, 2),
      '00080008': { vr: 'CS', Value: ['ORIGINAL', 'PRIMARY'] },
      '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }] },
      '00280009': { vr: 'AT', Value: ['00181063'] },
      '00400275': { vr: 'SQ', Value: [{ '00400007': { vr: 'LO', Value: ['Größe'] } }, {}] },
    }
    const file = await written(dataset, { pixelData: values(Buffer.alloc(128, 1), Buffer.alloc(128, 2)) })
    const read = JSON.parse(execFileSync('dcm2json', ['-q', '-'], { input: file }).toString()) as Dataset
    expect(read).toMatchObject(dataset)
    const pixels = Buffer.from(read['7FE00010']?.InlineBinary ?? '', 'base64')
    expect(pixels).toEqual(Buffer.concat([Buffer.alloc(128, 1), Buffer.alloc(128, 2)]))
  })
})

describe.skipIf(!haveSamples)('an instance taken apart and put together again', () => {
  const names = samples().map((path) => path.replace(/^.*\/|\.dcm$/g, ''))

  it.each(names)('%s: says the same', async (name) => {
    const source = readerOf(sampleBytes(name))
    const metadata = await readMetadata(source)
    const { '7FE00010': pixels, ...rest } = metadata
    const bulk = new Map<string, Buffer>()
    const collect = async (dataset: Dataset): Promise<void> => {
      for (const { BulkDataURI, vr, Value } of Object.values(dataset)) {
        if (BulkDataURI) bulk.set(BulkDataURI, await bulkdata(source, BulkDataURI))
        if (vr === 'SQ') for (const item of Value ?? []) await collect(item as Dataset)
      }
    }
    await collect(rest)
    const file = await whole(
      writePart10(pixels ? { ...rest, '7FE00010': { vr: 'OB' } } : rest, {
        ...options,
        bulk: (uri) => (bulk.has(uri) ? bulkValue(bulk.get(uri) ?? Buffer.alloc(0)) : undefined),
        ...(pixels ? { pixelData: values(Buffer.alloc(100)) } : {}),
      }),
    )
    const { '7FE00010': _, ...again } = await readMetadata(readerOf(file))
    expect({ ...again, '00083002': metadata['00083002'] }).toEqual(rest)
  })
})

function dcmtkAvailable(): boolean {
  try {
    execFileSync('dcmdump', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

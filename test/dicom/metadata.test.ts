import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Attribute, Dataset } from '../../src/dicom/dataset.ts'
import { readMetadata } from '../../src/dicom/metadata.ts'
import { samples } from '../support/samples.ts'
import { datasetOf, fileOf, haveSamples, image, readerOf, sampleBytes, values, written } from './files.ts'

const read = (bytes: Uint8Array) => readMetadata(readerOf(bytes))

/** An element in Explicit VR Little Endian with a value of any length. */
function element(group: number, number: number, vr: string, value: Uint8Array): Buffer {
  const header = Buffer.alloc(12)
  header.writeUInt16LE(group, 0)
  header.writeUInt16LE(number, 2)
  header.write(vr, 4, 'latin1')
  header.writeUInt32LE(value.length, 8)
  const short = Buffer.concat([header.subarray(0, 6), Buffer.from([value.length & 0xff, value.length >> 8])])
  return Buffer.concat([['OB', 'OW', 'UN', 'SQ', 'UT', 'UV'].includes(vr) ? header : short, value])
}

describe('readMetadata', () => {
  it('steps over pixel data: what is read does not grow with it', async () => {
    const file = readerOf(
      await written(image(1024, 1024, 16, 20), { pixelData: values(Buffer.alloc(1024 * 1024 * 2 * 20)) }),
    )
    const metadata = await readMetadata(file)
    expect(metadata['7FE00010']).toEqual({ vr: 'OW', BulkDataURI: 'bulkdata/7FE00010' })
    expect(file.bytesRead).toBeLessThan(200_000)
  })

  it('gives pixel data by URI however small, other binary values only when they are large, by a path in sequences', async () => {
    const large = { vr: 'OB', InlineBinary: Buffer.alloc(1026, 1).toString('base64') }
    const small = { vr: 'OB', InlineBinary: Buffer.alloc(1024, 1).toString('base64') }
    const metadata = await read(
      await written({
        '00420011': large,
        '00431029': small,
        '00880200': { vr: 'SQ', Value: [{}, { '00420011': large }] },
        '7FE00010': { vr: 'OB', InlineBinary: 'AQI=' },
      }),
    )
    expect(metadata['00420011']).toEqual({ vr: 'OB', BulkDataURI: 'bulkdata/00420011' })
    expect(metadata['00431029']).toEqual(small)
    expect(metadata['00880200']?.Value?.[1]).toEqual({
      '00420011': { vr: 'OB', BulkDataURI: 'bulkdata/00880200.2.00420011' },
    })
    expect(metadata['7FE00010']).toEqual({ vr: 'OB', BulkDataURI: 'bulkdata/7FE00010' })
  })

  it('says how the instance is stored, and that its text is UTF-8', async () => {
    const metadata = await read(await written({ '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^Jürgen' }] } }))
    expect(metadata['00083002']).toEqual({ vr: 'UI', Value: ['1.2.840.10008.1.2.1'] })
    expect(metadata['00080005']).toEqual({ vr: 'CS', Value: ['ISO_IR 192'] })
    expect(metadata['00100010']).toEqual({ vr: 'PN', Value: [{ Alphabetic: 'Müller^Jürgen' }] })
  })

  it('writes each VR as PS3.18 annex F does', async () => {
    const dataset = Buffer.concat([
      element(0x0008, 0x0000, 'UL', Buffer.from([1, 2, 3, 4])),
      element(0x0009, 0x0010, 'LO', Buffer.from('CREATOR ')),
      element(0x0009, 0x1001, 'UN', Buffer.from([1, 2])),
      element(0x0010, 0x0010, 'PN', Buffer.from('A^B=C=D\\=E^^ ')),
      element(0x0010, 0x21b0, 'LT', Buffer.from('  one\\text  ')),
      element(0x0018, 0x0050, 'DS', Buffer.from('1.50 \\\\-2e3\\x ')),
      element(0x0018, 0x9087, 'FD', Buffer.from(new Float64Array([0.5, Number.NaN, -Infinity]).buffer)),
      element(0x0020, 0x0013, 'IS', Buffer.from(' 0012 ')),
      element(0x0028, 0x0009, 'AT', Buffer.from([0x18, 0, 0x63, 0x10])),
      element(0x0028, 0x0010, 'US', Buffer.alloc(0)),
      element(0x0028, 0x0106, 'SS', Buffer.from([0xff, 0xff])),
      element(0x0040, 0xa730, 'SQ', Buffer.alloc(0)),
      element(0x7fe0, 0x0001, 'UV', Buffer.from([255, 255, 255, 255, 255, 255, 255, 255])),
    ])
    expect(await read(fileOf('1.2.840.10008.1.2.1', dataset))).toEqual({
      '00080005': { vr: 'CS', Value: ['ISO_IR 192'] },
      '00083002': { vr: 'UI', Value: ['1.2.840.10008.1.2.1'] },
      '00090010': { vr: 'LO', Value: ['CREATOR'] },
      '00091001': { vr: 'UN', InlineBinary: 'AQI=' },
      '00100010': {
        vr: 'PN',
        Value: [{ Alphabetic: 'A^B', Ideographic: 'C', Phonetic: 'D' }, { Ideographic: 'E' }],
      },
      '001021B0': { vr: 'LT', Value: ['  one\\text'] },
      '00180050': { vr: 'DS', Value: [1.5, null, -2000, 'x'] },
      '00189087': { vr: 'FD', Value: [0.5, 'NaN', '-inf'] },
      '00200013': { vr: 'IS', Value: [12] },
      '00280009': { vr: 'AT', Value: ['00181063'] },
      '00280010': { vr: 'US' },
      '00280106': { vr: 'SS', Value: [-1] },
      '0040A730': { vr: 'SQ' },
      '7FE00001': { vr: 'UV', Value: ['18446744073709551615'] },
    })
  })

  it('reads a deflated dataset like the one it was made of', async () => {
    const plain = await written({ ...image(64, 64, 8, 1) }, { pixelData: values(Buffer.alloc(4096)) })
    const deflated = fileOf('1.2.840.10008.1.2.1.99', deflateRawSync(datasetOf(plain)))
    const { '00083002': _, ...metadata } = await read(deflated)
    expect({ ...metadata, '00083002': { vr: 'UI', Value: ['1.2.840.10008.1.2.1'] } }).toEqual(await read(plain))
  })

  it('knows the VR of a public attribute hidden behind UN, and reads it in its own byte order', async () => {
    const dataset = element(0x0028, 0x0010, 'UN', Buffer.from([0, 2]))
    expect((await read(fileOf('1.2.840.10008.1.2.1', dataset)))['00280010']).toEqual({ vr: 'US', Value: [512] })
  })

  it('refuses what is damaged instead of reading on beside it', async () => {
    const whole = await written({ '00400275': { vr: 'SQ', Value: [{ '00400007': { vr: 'LO', Value: ['x'] } }] } })
    for (const cut of [1, 9, 17, 30]) {
      await expect(read(whole.subarray(0, whole.length - cut))).rejects.toMatchObject({ code: 'bad-request' })
    }
  })

  it('takes time in proportion to the length of a text, whatever fills it', async () => {
    const filled = (vr: string, character: string) => ({ vr, Value: [`x${character.repeat(900_000)}x`] })
    const texts = { '00081030': filled('UT', ' '), '00104000': filled('LT', ' '), '00100010': filled('PN', '^') }
    const implicitNumber = Buffer.concat([
      Buffer.from([0x18, 0, 0x50, 0, 0xa0, 0xbb, 0x0d, 0]),
      Buffer.alloc(900_000, '1x'),
    ])
    const metadata = await read(await written(texts))
    expect(String(metadata['00104000']?.Value?.[0])).toHaveLength(900_002)
    expect((await read(fileOf('1.2.840.10008.1.2', implicitNumber)))['00180050']?.Value).toHaveLength(1)
  })

  it('bounds the number of elements', async () => {
    const item = Buffer.from([0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0])
    const sequence = element(0x0040, 0xa730, 'SQ', Buffer.alloc(8 * 1_000_001, item))
    await expect(read(fileOf('1.2.840.10008.1.2.1', sequence))).rejects.toMatchObject({ code: 'too-large' })
  })
})

/** What comparing leaves out: bulk data, digits of a float beyond those dcmtk prints, the sign of zero. */
const plain = (dataset: Dataset): unknown => JSON.parse(JSON.stringify(comparable(dataset)))

function comparable(dataset: Dataset): unknown {
  const entries = Object.entries(dataset).filter(([tag]) => tag !== '00083002' && tag !== 'FFFCFFFC')
  return Object.fromEntries(entries.map(([tag, attribute]) => [tag, comparableAttribute(attribute)]))
}

function comparableAttribute({ vr, Value, InlineBinary, BulkDataURI }: Attribute): unknown {
  const length = Buffer.from(InlineBinary ?? '', 'base64').length
  if (BulkDataURI !== undefined || length >= 1024) return { vr, bulk: true }
  if (vr === 'SQ') return { vr, items: (Value ?? []).map((item) => comparable(item as Dataset)) }
  const rounded = vr === 'FL' || vr === 'FD' ? Value?.map((value) => Number(Number(value).toPrecision(7))) : Value
  return { vr, InlineBinary, Value: rounded }
}

function dcmtkAvailable(): boolean {
  try {
    execFileSync('dcm2json', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe.skipIf(!haveSamples)('readMetadata on files as they occur', () => {
  it.each([
    ['chrArab', { Alphabetic: 'قباني^لنزار' }],
    ['chrGerm', { Alphabetic: 'Äneas^Rüdiger' }],
    ['chrGreek', { Alphabetic: 'Διονυσιος' }],
    ['chrH31', { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' }],
    ['chrH32', { Alphabetic: 'ﾔﾏﾀﾞ^ﾀﾛｳ', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' }],
    ['chrI2', { Alphabetic: 'Hong^Gildong', Ideographic: '洪^吉洞', Phonetic: '홍^길동' }],
    ['chrKoreanMulti', { Alphabetic: '김희중' }],
    ['chrRuss', { Alphabetic: 'Люкceмбypг' }],
    ['chrX1', { Alphabetic: 'Wang^XiaoDong', Ideographic: '王^小東' }],
  ])('%s: the name is Unicode', async (name, expected) => {
    const metadata = await read(sampleBytes(name))
    expect(metadata['00100010']?.Value).toEqual([expected])
    expect(metadata['00080005']?.Value).toEqual(['ISO_IR 192'])
  })

  it.each(['MR_small_implicit', 'MR_small_bigendian'])('%s: says the same as the explicit file', async (name) => {
    const pixels = { '7FE00010': { vr: 'OW', BulkDataURI: 'bulkdata/7FE00010' } }
    const { '00083002': _, ...metadata } = await read(sampleBytes(name))
    const { '00083002': __, ...expected } = await read(sampleBytes('MR_small'))
    expect({ ...metadata, ...pixels }).toEqual({ ...expected, ...pixels })
  })

  it('keeps a private sequence of unknown VR, and a private value it cannot know to be one', async () => {
    expect((await read(sampleBytes('UN_sequence')))['4453100C']).toMatchObject({
      vr: 'SQ',
      Value: [{ '0020000D': { Value: ['1.2.840.113619.2.327.3.185221411.476.1398588725.795'] } }],
    })
    expect(Buffer.from((await read(sampleBytes('priv_SQ')))['3F031001']?.InlineBinary ?? '', 'base64')).toHaveLength(
      166,
    )
  })

  it('keeps a number that is none as the text it is', async () => {
    expect((await read(sampleBytes('badVR')))['00280008']).toEqual({ vr: 'IS', Value: ['1A'] })
  })

  it.each(['MR_truncated', 'rtplan_truncated'])('%s is refused', async (name) => {
    await expect(read(sampleBytes(name))).rejects.toMatchObject({ code: 'bad-request' })
  })

  it.skipIf(!dcmtkAvailable())('reads what dcmtk reads', { timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dcm2json-'))
    try {
      let compared = 0
      for (const path of samples()) {
        const converted = join(folder, 'utf8.dcm')
        const expected = dcmtkJson(path, converted)
        if (expected === undefined) continue
        const name = path.replace(/^.*\/|\.dcm$/g, '')
        expect(plain(await read(sampleBytes(name))), name).toEqual(plain(expected))
        compared++
      }
      expect(compared).toBeGreaterThan(10)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  /** `undefined` for what dcmtk cannot put into JSON: compressed pixel data, and character sets it cannot convert. */
  function dcmtkJson(path: string, converted: string): Dataset | undefined {
    try {
      execFileSync('dcmconv', ['-q', '+U8', path, converted], { stdio: 'ignore' })
      return JSON.parse(execFileSync('dcm2json', ['-q', converted], { maxBuffer: 1e8, stdio: 'pipe' }).toString())
    } catch {
      return undefined
    }
  }
})

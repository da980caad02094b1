import { deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { madeInstance } from '../support/made-instance.ts'
import { datasetOf, fileOf, haveSamples, sampleBytes, whole } from './files.ts'

const limits = { maxHeaderBytes: 64 * 1024 }

/** A stream in pieces of `size` bytes that counts what was taken of it and notices being left. */
function stream(bytes: Uint8Array, size = bytes.length) {
  const seen = { taken: 0, cancelled: false, finished: false }
  async function* pieces() {
    try {
      for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.subarray(at, at + size)
        seen.taken += piece.length
        yield piece
      }
      seen.finished = true
    } finally {
      seen.cancelled = !seen.finished
    }
  }
  return { body: pieces(), seen }
}

async function failure(bytes: Uint8Array, options = limits): Promise<LinkError> {
  const error = await sniffInstance(stream(bytes, 512).body, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error instanceof LinkError) return error
  throw new Error('expected a LinkError', { cause: error })
}

describe('sniffInstance', () => {
  it.each([1, 7, 132, 5_000, 1_000_000])(
    'knows an instance in pieces of %i bytes and hands all of it on',
    async (size) => {
      const made = madeInstance({ frames: 20, rows: 32, columns: 32 })
      const sniffed = await sniffInstance(stream(made.bytes, size).body, limits)
      expect(sniffed.header).toMatchObject({
        studyInstanceUID: made.study,
        seriesInstanceUID: made.series,
        sopInstanceUID: made.instance,
        sopClassUID: '1.2.840.10008.5.1.4.1.1.7.2',
        transferSyntaxUID: '1.2.840.10008.1.2.1',
      })
      expect(Buffer.from(made.bytes).toString('hex', sniffed.header.datasetOffset).slice(0, 12)).toBe('080005004353')
      expect(await whole(sniffed.body)).toEqual(Buffer.from(made.bytes))
    },
  )

  it('reads no further than the Series Instance UID before it answers', async () => {
    const made = madeInstance({ frames: 100, rows: 64, columns: 64 })
    const source = stream(made.bytes, 256)
    await sniffInstance(source.body, limits)
    expect(source.seen.taken).toBeLessThan(2_048)
  })

  it('cancels the source when the body is left early, begun or not', async () => {
    const begun = stream(madeInstance({ frames: 100 }).bytes, 64)
    for await (const _ of (await sniffInstance(begun.body, limits)).body) break
    expect(begun.seen.cancelled).toBe(true)
    const untouched = stream(madeInstance({ frames: 100 }).bytes, 64)
    await (await sniffInstance(untouched.body, limits)).body[Symbol.asyncIterator]().return?.()
    expect(untouched.seen.cancelled).toBe(true)
  })

  it('passes an error of the source on as it is', async () => {
    const broken = new Error('connection lost')
    async function* source() {
      yield madeInstance().bytes.subarray(0, 200)
      throw broken
    }
    await expect(sniffInstance(source(), limits)).rejects.toBe(broken)
  })

  it('reads a deflated dataset, and hands on the deflated bytes', async () => {
    const made = madeInstance()
    const deflated = fileOf(
      '1.2.840.10008.1.2.1.99',
      Buffer.concat([deflateRawSync(datasetOf(Buffer.from(made.bytes))), Buffer.from([0])]),
    )
    const sniffed = await sniffInstance(stream(deflated, 50).body, limits)
    expect(sniffed.header.seriesInstanceUID).toBe(made.series)
    expect(await whole(sniffed.body)).toEqual(deflated)
  })

  it('bounds what it inflates: a bomb is too large', async () => {
    const blob = Buffer.alloc(50_000_000)
    Buffer.from([8, 0, 5, 0, 0x4f, 0x42, 0, 0, 0xf0, 0xff, 0xff, 0x0f]).copy(blob)
    const error = await failure(fileOf('1.2.840.10008.1.2.1.99', deflateRawSync(blob)))
    expect(error.code).toBe('too-large')
  })

  it('keeps no more than the limit of a deflated stream that goes on and becomes nothing', async () => {
    const head = fileOf('1.2.840.10008.1.2.1.99', Buffer.alloc(0))
    const empty = Buffer.concat(Array.from({ length: 10_000 }, () => Buffer.from([0, 0, 0, 0xff, 0xff])))
    let sent = 0
    async function* endless() {
      yield head
      for (; sent < 10_000; sent++) yield empty
    }
    await expect(sniffInstance(endless(), limits)).rejects.toMatchObject({ code: 'too-large' })
    expect(sent * empty.length).toBeLessThan(limits.maxHeaderBytes + 2 * empty.length)
  })

  it('takes a bare dataset, explicit or implicit, whose first element is of group 0008', async () => {
    const made = madeInstance()
    const { header } = await sniffInstance(stream(datasetOf(Buffer.from(made.bytes))).body, limits)
    expect(header).toMatchObject({
      sopInstanceUID: made.instance,
      transferSyntaxUID: '1.2.840.10008.1.2.1',
      datasetOffset: 0,
    })
  })

  it('takes a file whose meta information has no preamble', async () => {
    const made = madeInstance()
    const { header } = await sniffInstance(stream(made.bytes.subarray(132)).body, limits)
    expect(header.sopInstanceUID).toBe(made.instance)
  })

  it('skips sequences of undefined length, nested ones too, and stops at a depth nobody needs', async () => {
    const item = Buffer.from([0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff])
    const begin = Buffer.from([8, 0, 0x40, 0x11, 0x53, 0x51, 0, 0, 0xff, 0xff, 0xff, 0xff])
    const end = Buffer.from([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0])
    const nested = (levels: number): Buffer =>
      Buffer.concat([...Array(levels).fill([begin, item]).flat(), ...Array(levels).fill(end)] as Buffer[])
    const dataset = datasetOf(Buffer.from(madeInstance().bytes))
    const at = dataset.indexOf(Buffer.from([0x10, 0, 0x10, 0, 0x50, 0x4e]))
    const put = (levels: number) => Buffer.concat([dataset.subarray(0, at), nested(levels), dataset.subarray(at)])
    const sniffed = await sniffInstance(stream(fileOf('1.2.840.10008.1.2.1', put(8))).body, limits)
    expect(sniffed.header.transferSyntaxUID).toBe('1.2.840.10008.1.2.1')
    const error = await failure(fileOf('1.2.840.10008.1.2.1', put(1_000)))
    expect(error).toMatchObject({ code: 'bad-request', message: expect.stringContaining('nested more than') })
  })

  it('says what is wrong with what is no DICOM instance', async () => {
    const made = Buffer.from(madeInstance().bytes)
    expect((await failure(Buffer.alloc(0))).message).toMatch(/no DICOM file: it is empty/)
    expect((await failure(Buffer.from('<html>Not found</html>'.repeat(30)))).message).toMatch(/neither preamble nor/)
    expect((await failure(made.subarray(0, made.length / 2))).message).toMatch(/Series Instance UID|ends inside/)
    const noStudy = Buffer.from(made)
    noStudy.set([0x21], noStudy.indexOf(Buffer.from([0x20, 0, 0x0d, 0, 0x55, 0x49])))
    expect((await failure(noStudy)).message).toMatch(/Study Instance UID \(0020,000D\) is missing/)
    expect((await failure(fileOf('1.2.x', datasetOf(made)))).message).toMatch(/Transfer Syntax UID/)
  })

  it('tells a header that is too large from a length that is a lie', async () => {
    const long = Buffer.from([9, 0, 0x10, 0x10, 0x4f, 0x42, 0, 0, 0, 0, 0x10, 0])
    expect((await failure(fileOf('1.2.840.10008.1.2.1', Buffer.concat([long, Buffer.alloc(0x100000)])))).code).toBe(
      'too-large',
    )
    expect((await failure(fileOf('1.2.840.10008.1.2.1', Buffer.concat([long, Buffer.alloc(100)])))).code).toBe(
      'bad-request',
    )
  })
})

describe.skipIf(!haveSamples)('sniffInstance on files as they occur', () => {
  const header = async (name: string) => (await sniffInstance(stream(sampleBytes(name), 777).body, limits)).header

  it.each([
    ['CT_small', '1.2.840.10008.1.2.1'],
    ['MR_small', '1.2.840.10008.1.2.1'],
    ['MR_small_implicit', '1.2.840.10008.1.2'],
    ['MR_small_bigendian', '1.2.840.10008.1.2.2'],
    ['image_dfl', '1.2.840.10008.1.2.1.99'],
    ['examples_ybr_color', '1.2.840.10008.1.2.4.50'],
    ['rtstruct', '1.2.840.10008.1.2'],
  ])('%s is stored as %s', async (name, transferSyntax) => {
    expect((await header(name)).transferSyntaxUID).toBe(transferSyntax)
  })

  it('gives the same identifiers whatever the encoding', async () => {
    const [explicit, implicit, big] = await Promise.all(
      ['MR_small', 'MR_small_implicit', 'MR_small_bigendian'].map(header),
    )
    expect(implicit?.studyInstanceUID).toBe(explicit?.studyInstanceUID)
    expect(big?.seriesInstanceUID).toBe(explicit?.seriesInstanceUID)
  })

  it('refuses a bare dataset that does not begin at its first byte, and takes it from there', async () => {
    expect((await failure(sampleBytes('no_meta'))).code).toBe('bad-request')
    const { header } = await sniffInstance(stream(sampleBytes('no_meta').subarray(1)).body, limits)
    expect(header.transferSyntaxUID).toBe('1.2.840.10008.1.2.1')
  })
})

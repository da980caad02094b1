import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Part, readMultipart, writeMultipart } from '../../src/dicom/multipart.ts'
import { WireError } from '../../src/dicom/wire-error.ts'

const limits = { maxParts: 20, maxPartBytes: 10_000 }
const runs = { seed: 20_260_101, numRuns: 2_000, interruptAfterTimeLimit: 4_000 }

/** Cuts bytes into chunks; the sizes repeat. */
async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length
    yield bytes.subarray(at, at + size)
    at += size
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source) chunks.push(chunk)
  return Buffer.concat(chunks)
}

interface Whole {
  readonly contentType: string
  readonly content: Buffer
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Whole[]> {
  const parts: Whole[] = []
  for await (const { contentType, body } of readMultipart(source, 'b-0', limits)) {
    parts.push({ contentType, content: await collect(body) })
  }
  return parts
}

async function write(parts: readonly Whole[], sizes: readonly number[]): Promise<Buffer> {
  const sources = (async function* (): AsyncGenerator<Part> {
    for (const { contentType, content } of parts) yield { contentType, body: cut(content, sizes) }
  })()
  return collect(writeMultipart(sources, 'b-0'))
}

/** Pieces that are, nearly are, or surround a boundary, among bytes that are not. */
const piece = fc.oneof(
  fc.constantFrom('\r\n', '\n', '\r', '--', '--b-0', '\r\n--b-0', '\r\n--b-', '\r\n--b-0x', '--b-0--', ': ', ' '),
  fc.string({ maxLength: 5 }),
)
const hostile = fc.array(piece, { maxLength: 30 }).map((pieces) => Buffer.from(pieces.join(''), 'latin1'))
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
/** Content a sender may use with this boundary: it does not hold a delimiter. */
const content = hostile.filter((bytes) => !/(^|\r\n)--b-0(--|[ \t]*\r?\n|[ \t]*\r?$)/.test(bytes.toString('latin1')))
const whole = fc.record({ contentType: fc.constantFrom('', 'application/dicom', 'a/b; c=d'), content })

test('whatever is written is read back, in any chunks', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(whole, { maxLength: 5 }), sizes, sizes, async (parts, writing, reading) => {
      expect(await readAll(cut(await write(parts, writing), reading))).toEqual(parts)
    }),
    runs,
  )
})

test('any bytes are read or refused with a WireError, the same however they are cut', async () => {
  const outcome = async (bytes: Buffer, cuts: readonly number[]): Promise<unknown> => {
    try {
      return await readAll(cut(bytes, cuts))
    } catch (error) {
      if (error instanceof WireError) return error.kind
      throw error
    }
  }
  await fc.assert(
    fc.asyncProperty(hostile, sizes, async (bytes, cuts) => {
      expect(await outcome(bytes, cuts)).toEqual(await outcome(bytes, [bytes.length]))
    }),
    runs,
  )
})

test('a valid message with damaged bytes is read or refused, never a crash', async () => {
  const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(fc.array(whole, { maxLength: 4 }), damage, sizes, async (parts, changes, cuts) => {
      const bytes = await write(parts, [7])
      for (const [at, value] of changes) bytes[at % bytes.length] = value
      await readAll(cut(bytes, cuts)).catch((error: unknown) => expect(error).toBeInstanceOf(WireError))
    }),
    runs,
  )
})

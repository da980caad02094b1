import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readJsonArray } from '../../src/dicom/json-array.ts'
import { WireError } from '../../src/dicom/wire-error.ts'

const runs = { seed: 20_260_102, numRuns: 3_000, interruptAfterTimeLimit: 4_000 }
const limits = { maxItemBytes: 1_000_000, maxBytes: 1_000_000 }

async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length
    yield bytes.subarray(at, at + size)
    at += size
  }
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<unknown[]> {
  const items: unknown[] = []
  for await (const item of readJsonArray(source, limits)) items.push(item)
  return items
}

const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 })

test('elements are what JSON.parse makes of the whole, in any chunks', async () => {
  const blanks = fc.constantFrom(undefined, 1, '\r\n\t')
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue()), blanks, sizes, async (items, space, cuts) => {
      const text = JSON.stringify(items, undefined, space)
      expect(await readAll(cut(Buffer.from(text), cuts))).toEqual(JSON.parse(text))
    }),
    runs,
  )
})

test('any text is read as JSON.parse reads it, or refused with a WireError', async () => {
  const piece = fc.constantFrom('[', ']', '{', '}', ',', ':', '"', '\\', '1', 'null', ' ', '\n', '"a"', '{"a":1}', 'é')
  const text = fc.array(piece, { maxLength: 15 }).map((pieces) => `[${pieces.join('')}`)
  await fc.assert(
    fc.asyncProperty(text, sizes, async (body, cuts) => {
      const outcome: unknown = await readAll(cut(Buffer.from(body), cuts)).catch((error: unknown) => error)
      let expected: unknown
      try {
        expected = JSON.parse(body)
      } catch {
        expect(outcome).toBeInstanceOf(WireError)
        return
      }
      expect(outcome).toEqual(expected)
    }),
    runs,
  )
})

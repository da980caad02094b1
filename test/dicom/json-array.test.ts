import { describe, expect, test } from 'vitest'
import { readJsonArray } from '../../src/dicom/json-array.ts'
import { WireError } from '../../src/dicom/wire-error.ts'

const roomy = { maxItemBytes: 1_000, maxBytes: 10_000 }

async function* chunks(...texts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield typeof text === 'string' ? Buffer.from(text) : text
}

async function readAll(source: AsyncIterable<Uint8Array>, limits = roomy): Promise<unknown[]> {
  const items: unknown[] = []
  for await (const item of readJsonArray(source, limits)) items.push(item)
  return items
}

async function faultOf(reading: Promise<unknown>): Promise<unknown> {
  const error = await reading.then(
    () => 'nothing was thrown',
    (thrown: unknown) => thrown,
  )
  return error instanceof WireError ? error.kind : error
}

const rows = [
  { '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^Jörg', Ideographic: '山田^太郎' }] } },
  { '0020000D': { vr: 'UI', Value: ['1.2'] }, '00081030': { vr: 'LO', Value: ['a "quoted" [word], {brace} \\'] } },
  [],
  [[1, 2], { a: {} }],
  'text, with ] and }',
  'a 5" tube ], and \\',
  -1.5e3,
  null,
  true,
]

describe('reading a JSON array as it arrives', () => {
  test('its elements are the same wherever the chunks are cut', async () => {
    const body = Buffer.from(JSON.stringify(rows, undefined, 1))
    for (let at = 0; at <= body.length; at++) {
      expect(await readAll(chunks(body.subarray(0, at), body.subarray(at)))).toEqual(rows)
    }
    expect(await readAll(chunks(...[...body].map((byte) => Uint8Array.of(byte))))).toEqual(rows)
  })

  test.each([
    ['an empty body', '', []],
    ['blanks alone', ' \r\n\t', []],
    ['an empty array', '[]', []],
    ['an empty array with blanks', ' [ \n ] \n', []],
    ['a byte order mark', '\uFEFF[1]', [1]],
    ['blanks around elements', '\n[ 1 ,\n"a" , {} ]\n', [1, 'a', {}]],
  ])('%s is understood', async (_, body, items) => {
    expect(await readAll(chunks(body))).toEqual(items)
    expect(await readAll(chunks(...[...Buffer.from(body)].map((byte) => Uint8Array.of(byte))))).toEqual(items)
  })

  test('an element is handed out before the next chunk is asked for', async () => {
    const asked: string[] = []
    const source = async function* () {
      yield Buffer.from('[{"a":1},')
      asked.push('second')
      yield Buffer.from('{"a":2}]')
    }
    for await (const item of readJsonArray(source(), roomy)) {
      expect(item).toEqual({ a: 1 })
      expect(asked).toEqual([])
      break
    }
  })

  test('leaving the loop cancels the source', async () => {
    let cancelled = false
    const source = async function* () {
      try {
        yield Buffer.from('[1,2')
      } finally {
        cancelled = true
      }
    }
    for await (const _ of readJsonArray(source(), roomy)) break
    expect(cancelled).toBe(true)
  })
})

describe('a body that is no JSON array', () => {
  test('every proper beginning of one is truncated', async () => {
    const body = Buffer.from(JSON.stringify(rows))
    for (let length = 1; length < body.length; length++) {
      expect([length, await faultOf(readAll(chunks(body.subarray(0, length))))]).toEqual([length, 'truncated'])
    }
  })

  test.each([
    ['<html><body>Bad gateway</body></html>', 'malformed'],
    ['{"error":"no"}', 'malformed'],
    ['null', 'malformed'],
    ['[1]x', 'malformed'],
    ['[1][2]', 'malformed'],
    ['[1,]', 'malformed'],
    ['[,1]', 'malformed'],
    ['[1 2]', 'malformed'],
    ['[{]}', 'malformed'],
    ['[}', 'malformed'],
    ['[nan]', 'malformed'],
    [`[${'['.repeat(300)}${']'.repeat(300)}]`, 'malformed'],
    [`["${'x'.repeat(1_000)}"]`, 'too-large'],
    [`[${'1,'.repeat(6_000)}1]`, 'too-large'],
  ])('%.40s is refused as %s', async (body, kind) => {
    expect(await faultOf(readAll(chunks(body)))).toBe(kind)
    expect(await faultOf(readAll(chunks(...body)))).toBe(kind)
  })

  test('the error does not quote the body, which may name a patient', async () => {
    const reading = readAll(chunks('[{"00100010": DOE^JOHN}]'))
    const error: unknown = await reading.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ kind: 'malformed' })
    expect(error).not.toHaveProperty('cause')
    expect(String(error)).not.toContain('DOE')
  })
})

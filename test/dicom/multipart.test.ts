import { describe, expect, test } from 'vitest'
import {
  contentTypeOf,
  type MultipartLimits,
  newBoundary,
  type Part,
  readMultipart,
  writeMultipart,
} from '../../src/dicom/multipart.ts'
import { splitMultipart } from '../../src/dicom/multipart-whole.ts'
import { WireError } from '../../src/dicom/wire-error.ts'

const roomy: MultipartLimits = { maxParts: 100, maxPartBytes: 1_000_000 }

interface ReadPart {
  readonly contentType: string
  readonly location?: string
  readonly text: string
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text, 'latin1')
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of body) text += Buffer.from(chunk).toString('latin1')
  return text
}

async function readAll(source: AsyncIterable<Uint8Array>, boundary = 'b', limits = roomy): Promise<ReadPart[]> {
  const parts: ReadPart[] = []
  for await (const { contentType, location, body } of readMultipart(source, boundary, limits)) {
    parts.push({ contentType, ...(location === undefined ? {} : { location }), text: await textOf(body) })
  }
  return parts
}

async function faultOf(reading: Promise<unknown>): Promise<string> {
  const error = await reading.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof WireError) return error.kind
  throw error
}

const usual =
  '--b\r\nContent-Type: application/dicom\r\n\r\nfirst\r\n--b\r\nContent-Type: image/jpeg\r\n\r\nsecond\r\n--b--\r\n'
const usualParts = [
  { contentType: 'application/dicom', text: 'first' },
  { contentType: 'image/jpeg', text: 'second' },
]

/** A part with this length in its header, between two others. */
const withLength = (length: string, content: string) =>
  `--b\r\n\r\nfirst\r\n--b\r\nContent-Length: ${length}\r\n\r\n${content}\r\n--b\r\n\r\nlast\r\n--b--\r\n`

/** What comes of it in chunks of so many bytes, and how often a length was found to be right or wrong. */
async function reading(text: string, chunkBytes: number, areBelieved: boolean) {
  let [right, wrong] = [0, 0]
  const lengths = { areBelieved, wereRight: () => right++, wereWrong: () => wrong++ }
  const pieces = text.match(new RegExp(`.{1,${chunkBytes}}`, 'gs')) ?? []
  const outcome = await readAll(chunks(...pieces), 'b', { ...roomy, lengths }).then(
    (parts) => parts.map((part) => part.text),
    (error: unknown) => (error as WireError).kind,
  )
  return { outcome, right, wrong }
}

async function believing(text: string, chunkBytes: number) {
  const { outcome, wrong } = await reading(text, chunkBytes, true)
  return { outcome, wrong }
}

test.each([1, 7, 20, 1000])(
  'lengths of parts that are not believed are only compared, in chunks of %i',
  async (size) => {
    const outcome = ['first', 'content', 'last']
    expect(await reading(withLength('7', 'content'), size, false)).toEqual({ outcome, right: 1, wrong: 0 })
    for (const length of ['4', '10', '1000']) {
      expect(await reading(withLength(length, 'content'), size, false)).toEqual({ outcome, right: 0, wrong: 1 })
    }
    expect(await reading(withLength('none', 'content'), size, false)).toEqual({ outcome, right: 0, wrong: 0 })
  },
)

describe.each([1, 7, 20, 1000])('lengths of parts that are believed, in chunks of %i', (chunkBytes) => {
  test('spare the search: what looks like a boundary is content', async () => {
    const content = 'a\r\n--b\r\nb'
    const found = await believing(withLength(String(content.length), content), chunkBytes)
    expect(found).toEqual({ outcome: ['first', content, 'last'], wrong: 0 })
  })

  test.each(['0', '-3', '', 'many', '1e99'])('are passed over when they are none: %j', async (length) => {
    expect(await believing(withLength(length, 'content'), chunkBytes)).toEqual({
      outcome: ['first', 'content', 'last'],
      wrong: 0,
    })
  })

  test('are an error when the part goes on', async () => {
    expect(await believing(withLength('4', 'content'), chunkBytes)).toEqual({ outcome: 'malformed', wrong: 1 })
  })

  test('are an error when the part ends before', async () => {
    expect(await believing(withLength('10', 'content'), chunkBytes)).toEqual({ outcome: 'malformed', wrong: 1 })
    expect(await believing(withLength('1000', 'content'), chunkBytes)).toEqual({ outcome: 'truncated', wrong: 1 })
  })
})

describe('reading a multipart body', () => {
  test.each([
    ['a plain one', usual],
    ['one that begins with a line end', `\r\n${usual}`],
    ['one with a preamble', `This is for\r\nold readers --b \r\n${usual}`],
    ['one with an epilogue', `${usual}and good\r\n--b\r\nbye`],
    ['one without a line end at its end', usual.trimEnd()],
    ['one with blanks behind its boundaries', usual.replaceAll('--b\r\n', '--b \t \r\n')],
    ['one with headers in another case', usual.replaceAll('Content-Type', 'content-TYPE')],
    ['one whose headers end in LF alone', usual.replaceAll(/(dicom|jpeg)\r\n\r\n/g, '$1\n\n')],
    ['one whose lines end in LF alone', usual.replaceAll('\r\n', '\n')],
    ['one with a folded header', usual.replaceAll('Content-Type: ', 'X-Note: a\r\n b\r\nContent-Type:\r\n\t')],
  ])('understands %s', async (_, body) => {
    expect(await readAll(chunks(body))).toEqual(usualParts)
  })

  test.each([
    ['zero parts with a closing boundary', '--b--\r\n', []],
    ['zero parts after a line end', '\r\n--b--', []],
    ['a part without headers', '--b\r\n\r\nx\r\n--b--', [{ contentType: '', text: 'x' }]],
    [
      'a longer word that begins with the closing boundary',
      '--b\r\n\r\nx\r\n--b--y\r\n--b--',
      [{ contentType: '', text: 'x\r\n--b--y' }],
    ],
    ['an empty part', '--b\r\nContent-Type: a/b\r\n\r\n\r\n--b--', [{ contentType: 'a/b', text: '' }]],
    ['a part whose empty line is the end', '--b\r\nContent-Type: a/b\r\n\r\n--b--', [{ contentType: 'a/b', text: '' }]],
    [
      'parameters kept',
      '--b\r\nContent-Type: a/b; c="d e"\r\n\r\n\r\n--b--',
      [{ contentType: 'a/b; c="d e"', text: '' }],
    ],
    [
      'a location',
      '--b\r\nContent-Location: /x/1\r\n\r\ny\r\n--b--',
      [{ contentType: '', location: '/x/1', text: 'y' }],
    ],
  ])('understands %s', async (_, body, parts) => {
    expect(await readAll(chunks(body))).toEqual(parts)
  })

  test.each([
    ['line ends', '\r\n\r\n\n'],
    ['a longer word that begins with the boundary', '\r\n--bb\r\n--b-\r\n--b -- \r\n--b x'],
    ['a boundary that does not begin a line', ' --b\r\n'],
    ['a boundary after LF alone', 'x\n--b\n--b--y'],
    ['the beginning of a boundary, over and over', '\r\n-\r\n--\r\r\n\r\n-'],
  ])('content may hold %s', async (_, content) => {
    const body = `--b\r\n\r\n${content}\r\n--b--`
    expect(await readAll(chunks(body))).toEqual([{ contentType: '', text: content }])
  })

  test('a boundary split over two chunks is found wherever the split is', async () => {
    const body = `preamble\r\n${usual}epilogue`
    for (let at = 0; at <= body.length; at++) {
      expect(await readAll(chunks(body.slice(0, at), body.slice(at)))).toEqual(usualParts)
    }
  })

  test('a body that arrives byte by byte is read whole', async () => {
    expect(await readAll(chunks(...usual, ''))).toEqual(usualParts)
  })

  test('a boundary longer than the 70 characters of the standard is accepted', async () => {
    const boundary = '0123456789'.repeat(9)
    const parts = await readAll(chunks(usual.replaceAll('--b', `--${boundary}`)), boundary)
    expect(parts).toEqual(usualParts)
  })

  test('large content is handed out as it arrives, without copies', async () => {
    const large = Buffer.alloc(65_536, 7)
    const source = async function* () {
      yield Buffer.from('--b\r\n\r\nbegin')
      yield large
      yield Buffer.from('\r\n--b--')
    }
    for await (const part of readMultipart(source(), 'b', roomy)) {
      const seen: Uint8Array[] = []
      for await (const chunk of part.body) seen.push(chunk)
      expect(seen.map((chunk) => chunk.byteLength)).toEqual([5, large.length])
      expect(seen[1]?.buffer === large.buffer).toBe(true)
    }
  })

  test('parts that are not read, or not to their end, are skipped', async () => {
    const types: string[] = []
    for await (const part of readMultipart(chunks(...usual), 'b', roomy)) {
      types.push(part.contentType)
      for await (const _ of part.body) break
    }
    expect(types).toEqual(['application/dicom', 'image/jpeg'])
  })

  test('a part read after the next one was asked for is an error, not an empty part', async () => {
    const parts: Part[] = []
    for await (const part of readMultipart(chunks(usual), 'b', roomy)) parts.push(part)
    const [first] = parts
    if (first === undefined) throw new Error('no part was read')
    await expect(textOf(first.body)).rejects.toThrow('read after the next one')
  })
})

describe('a multipart body that is wrong', () => {
  test('every proper beginning of a message is truncated', async () => {
    const whole = usual.trimEnd()
    for (let length = 0; length < whole.length; length++) {
      expect([length, await faultOf(readAll(chunks(whole.slice(0, length))))]).toEqual([length, 'truncated'])
    }
  })

  test.each([
    ['something else altogether', '<html><body>no such study</body></html>', 'malformed'],
    ['header lines without a colon', '--b\r\nContent-Type\r\n\r\nx\r\n--b--', 'malformed'],
    ['a header that never ends', `--b\r\nX: ${'y'.repeat(20_000)}`, 'too-large'],
    ['endless headers', `--b\r\n${'X: y\r\n'.repeat(4_000)}`, 'too-large'],
    ['a preamble that never ends', 'x'.repeat(100_000), 'too-large'],
  ])('%s', async (_, body, kind) => {
    expect(await faultOf(readAll(chunks(body)))).toBe(kind)
  })

  test('a part over the limit and a part too many are refused, also when they are skipped', async () => {
    expect(await faultOf(readAll(chunks(usual), 'b', { maxParts: 1, maxPartBytes: 100 }))).toBe('too-large')
    expect(await faultOf(readAll(chunks(usual), 'b', { maxParts: 2, maxPartBytes: 5 }))).toBe('too-large')
    const skipping = async () => {
      for await (const _ of readMultipart(chunks(usual), 'b', { maxParts: 2, maxPartBytes: 5 }));
    }
    expect(await faultOf(skipping())).toBe('too-large')
  })

  test('a fault found while reading a part is told again by the loop over the parts', async () => {
    const parts = readMultipart(chunks('--b\r\n\r\nhalf a part'), 'b', roomy)
    const first = await parts.next()
    if (first.done) throw new Error('no part was read')
    expect(await faultOf(textOf(first.value.body))).toBe('truncated')
    expect(await faultOf(parts.next())).toBe('truncated')
  })

  test('an empty boundary matches nothing', async () => {
    expect(await faultOf(readAll(chunks(usual), ''))).toBe('malformed')
  })

  test('what the source throws reaches the reader of the part', async () => {
    const source = async function* () {
      yield Buffer.from('--b\r\n\r\nhalf')
      throw new Error('connection reset')
    }
    await expect(readAll(source())).rejects.toThrow('connection reset')
  })
})

describe('giving up early', () => {
  test('leaving the loop over parts cancels the source', async () => {
    let cancelled = false
    const source = async function* () {
      try {
        yield Buffer.from('--b\r\n\r\nhalf')
        yield Buffer.from(' of it')
      } finally {
        cancelled = true
      }
    }
    for await (const _ of readMultipart(source(), 'b', roomy)) break
    expect(cancelled).toBe(true)
  })

  test('an epilogue that never ends is not read for ever', async () => {
    let cancelled = false
    const source = async function* () {
      try {
        yield Buffer.from(usual)
        for (;;) yield Buffer.alloc(10_000)
      } finally {
        cancelled = true
      }
    }
    expect(await readAll(source())).toEqual(usualParts)
    expect(cancelled).toBe(true)
  })

  test('leaving the loop over written bytes cancels the parts and the body in hand', async () => {
    const cancelled: string[] = []
    const body = async function* () {
      try {
        yield Buffer.alloc(100_000)
      } finally {
        cancelled.push('body')
      }
    }
    const parts = async function* () {
      try {
        yield { contentType: 'a/b', body: body() }
      } finally {
        cancelled.push('parts')
      }
    }
    const written = writeMultipart(parts(), 'b')
    await written.next()
    await written.next()
    await written.return()
    expect(cancelled).toEqual(['body', 'parts'])
  })
})

describe('writing a multipart body', () => {
  async function* parts(...given: readonly Part[]): AsyncGenerator<Part> {
    yield* given
  }
  const part = (contentType: string, ...texts: readonly string[]): Part => ({ contentType, body: chunks(...texts) })

  test('headers are spelled as viewers expect and boundaries stand on lines of their own', async () => {
    const second = { ...part('image/jp2; transfer-syntax=1.2', 'a', 'b'), location: '/frames/1' }
    expect(await textOf(writeMultipart(parts(part('a/b', 'x'), second), 'B'))).toBe(
      '--B\r\nContent-Type: a/b\r\n\r\nx\r\n' +
        '--B\r\nContent-Type: image/jp2; transfer-syntax=1.2\r\nContent-Location: /frames/1\r\n\r\nab\r\n--B--\r\n',
    )
  })

  test('no parts and parts without content are messages too', async () => {
    expect(await textOf(writeMultipart(parts(), 'B'))).toBe('--B--\r\n')
    expect(await readAll(writeMultipart(parts(part(''), part('a/b')), 'B'), 'B')).toEqual([
      { contentType: '', text: '' },
      { contentType: 'a/b', text: '' },
    ])
  })

  test('a header taken from elsewhere cannot begin a line of its own', async () => {
    const written = await textOf(writeMultipart(parts(part('a/b\r\nX-Evil: 1', 'x')), 'B'))
    expect(written).not.toContain('\r\nX-Evil')
  })

  test('a small first chunk travels with its header, a large one as it is', async () => {
    const lengths: number[] = []
    const large = 'x'.repeat(100_000)
    for await (const bytes of writeMultipart(parts(part('a/b', 'x', 'y'), part('a/b', large)), 'B')) {
      lengths.push(bytes.byteLength)
    }
    expect(lengths).toHaveLength(5)
    expect(lengths).toContain(large.length)
  })

  test('nothing looks complete when a part breaks off, and nothing is written of one that never begins', async () => {
    const failing = (...texts: readonly string[]): Part => ({
      contentType: 'a/b',
      body: (async function* () {
        yield* chunks(...texts)
        throw new Error('gone')
      })(),
    })
    const writtenBefore = async (broken: Part): Promise<string> => {
      let text = ''
      const reading = async () => {
        for await (const bytes of writeMultipart(parts(part('a/b', 'x'), broken), 'B')) text += Buffer.from(bytes)
      }
      await expect(reading()).rejects.toThrow('gone')
      return text
    }
    expect(await writtenBefore(failing())).toBe('--B\r\nContent-Type: a/b\r\n\r\nx')
    expect(await writtenBefore(failing('y'))).not.toContain('--B--')
  })

  test('a boundary needs no quotes, keeps to 70 characters and is never the same', () => {
    const boundary = newBoundary()
    expect(boundary).toMatch(/^[\w-]{20,70}$/)
    expect(newBoundary()).not.toBe(boundary)
  })

  test('the content type quotes the type of the parts', () => {
    expect(contentTypeOf('B', 'application/dicom')).toBe('multipart/related; type="application/dicom"; boundary=B')
    expect(contentTypeOf('B', 'image/jp2', '1.2')).toBe(
      'multipart/related; type="image/jp2"; boundary=B; transfer-syntax=1.2',
    )
  })
})

describe('a multipart body that is all in memory', () => {
  const split = (text: string, limits: MultipartLimits = roomy, boundary = 'b') =>
    splitMultipart(Buffer.from(text, 'latin1'), boundary, limits)?.map(({ contentType, location, length, held }) => ({
      contentType,
      ...(location === undefined ? {} : { location }),
      text: Buffer.concat(held ?? []).toString('latin1'),
      length,
    }))

  test('gives the parts that are read of it as it comes, with their lengths', () => {
    expect(split(usual)).toEqual(usualParts.map((part) => ({ ...part, length: part.text.length })))
    expect(split('--b\r\nContent-Location: /x\r\n\r\n\r\n--b--')).toEqual([
      { contentType: '', location: '/x', text: '', length: 0 },
    ])
  })

  test.each([
    ['a preamble', `hello\r\n${usual}`],
    ['line ends of LF', usual.replaceAll('\r\n', '\n')],
    ['blanks behind a boundary', usual.replace('--b\r\n', '--b \r\n')],
    ['an epilogue', `${usual}bye`],
    ['no closing boundary', usual.slice(0, -8)],
    ['no parts', '--b--\r\n'],
    ['a longer word that begins with the boundary', usual.replace('first', 'first\r\n--bb')],
    ['a header that never ends', `--b\r\n${'x'.repeat(20_000)}: y\r\n\r\n\r\n--b--`],
    ['a header that is cut off', '--b\r\nContent-Type: a/b\r\n'],
    ['no boundary', usual, ''],
  ])('leaves %s to the reader that knows all forms', (_, text, boundary = 'b') => {
    expect(split(text, roomy, boundary)).toBeUndefined()
  })

  test('leaves too many parts, and one that is too large, to the reader that refuses them', () => {
    expect(split(usual, { ...roomy, maxParts: 1 })).toBeUndefined()
    expect(split(usual, { ...roomy, maxPartBytes: 5 })).toBeUndefined()
    expect(split(usual, { ...roomy, maxParts: 2, maxPartBytes: 6 })).toHaveLength(2)
  })

  test('looks for the boundary where a length that is believed says it is, and nowhere else', () => {
    const told = { areBelieved: true, wereRight: () => undefined, wereWrong: () => undefined }
    const inContent = withLength('9', 'a\r\n--b\r\nb')
    expect(split(inContent, { ...roomy, lengths: told })?.[1]?.text).toBe('a\r\n--b\r\nb')
    expect(split(withLength('4', 'three'), { ...roomy, lengths: told })).toBeUndefined()
    expect(split(withLength('999999', 'three'), { ...roomy, lengths: told })).toBeUndefined()
    expect(split(inContent)).toBeUndefined()
  })

  test('says how often a length was right that was not believed', () => {
    let right = 0
    const lengths = { areBelieved: false, wereRight: () => void right++, wereWrong: () => undefined }
    expect(split(withLength('5', 'three'), { ...roomy, lengths })).toHaveLength(3)
    expect(right).toBe(1)
  })
})

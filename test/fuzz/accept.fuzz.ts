import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseAccept } from '../../src/dicom/media-type.ts'
import {
  negotiateBulkdata,
  negotiateDatasets,
  negotiateFrames,
  negotiateInstances,
  negotiateJson,
  negotiateRendered,
} from '../../src/http/negotiate.ts'

const runs = { seed: 20_260_105, numRuns: 20_000, interruptAfterTimeLimit: 6_000 }

const type = fc.constantFrom(
  ...['*/*', '*', 'multipart/related', 'multipart/*', 'application/*', 'application/dicom', 'application/dicom+json'],
  ...['application/octet-stream', 'image/jpeg', 'image/*', 'image/jp2', 'video/mp4', 'text/html', '*/dicom', 'x', '/'],
)
const parameter = fc.constantFrom(
  ...['q=1', 'q=0', 'q=0.5', 'q=.3', 'q=2', 'q=', 'Q="1"', 'type=application/dicom', 'type="image/jp2"', 'type=""'],
  ...['transfer-syntax=*', 'transfer-syntax=1.2.840.10008.1.2.4.90', 'transfer-syntax="1.2"', 'transfer-syntax=\u0000'],
  ...['a', '=', '=b', 'a="b;c,d"', 'a="\\"', 'type="\\"\\\\"', 'boundary=x'],
)
const range = fc.tuple(type, fc.array(parameter, { maxLength: 4 })).map(([name, rest]) => [name, ...rest].join(';'))
const separator = fc.constantFrom(',', ', ', ' ,', ',,', ' ')
const ranges = fc.tuple(separator, fc.array(range, { maxLength: 12 })).map(([between, all]) => all.join(between))
const accept = fc.oneof(
  { weight: 6, arbitrary: ranges },
  { weight: 1, arbitrary: fc.string({ maxLength: 200 }) },
  { weight: 1, arbitrary: fc.tuple(ranges, fc.string(), ranges).map((all) => all.join('')) },
)

const negotiations = {
  instances: (text: string) => negotiateInstances(parseAccept(text), true),
  'instances of a study': (text: string) => negotiateInstances(parseAccept(text), false),
  frames: (text: string) => negotiateFrames(parseAccept(text), true),
  'several frames': (text: string) => negotiateFrames(parseAccept(text), false),
  'bulk data': (text: string) => [negotiateBulkdata(parseAccept(text), 'image/jp2', 2)],
  pictures: (text: string) => negotiateRendered(parseAccept(text), 'rendered'),
  datasets: (text: string) => [negotiateDatasets(parseAccept(text))],
  'one dataset': (text: string) => [negotiateJson(parseAccept(text))],
} satisfies Record<string, (text: string) => readonly unknown[]>

describe.each(Object.entries(negotiations))('whatever a client accepts of %s', (_, negotiate) => {
  test('there are a few alternatives, or an error that says what is wrong', () => {
    const seen: Record<string, number> = {}
    const property = fc.property(accept, (text) => {
      const outcome = outcomeOf(() => negotiate(text))
      seen[outcome] = (seen[outcome] ?? 0) + 1
    })
    fc.assert(property, runs)
    for (const outcome of ['given', 'bad-request', 'not-acceptable']) {
      expect(seen[outcome] ?? 0, outcome).toBeGreaterThan(100)
    }
  })
})

function outcomeOf(negotiate: () => readonly unknown[]): string {
  try {
    const { length } = negotiate()
    expect(length).toBeGreaterThan(0)
    expect(length).toBeLessThanOrEqual(8)
    return 'given'
  } catch (error) {
    if (!(error instanceof LinkError)) throw error
    // Neither a header nor a log line is broken by what is quoted of the text.
    expect(error.message).toMatch(/^[^\r\n]{10,300}$/)
    return error.code
  }
}

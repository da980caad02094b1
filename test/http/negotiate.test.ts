import { describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { ClusterError, type FailureReason } from '../../src/core/outcome.ts'
import { parseAccept } from '../../src/dicom/media-type.ts'
import {
  firstAcceptable,
  negotiateBulkdata,
  negotiateDatasets,
  negotiateFrames,
  negotiateInstances,
  negotiateJson,
  negotiateRendered,
} from '../../src/http/negotiate.ts'
import { noHolderLeft } from '../../src/retrieve/failure.ts'

const explicitLittleEndian = '1.2.840.10008.1.2.1'
const jpeg2000 = '1.2.840.10008.1.2.4.90'
const notAcceptable = expect.objectContaining({ code: 'not-acceptable' })

describe('instances', () => {
  it.each([
    // Accept, one instance?, single, transfer syntax
    ['*/*', false, false, '*'],
    ['multipart/*', true, false, '*'],
    ['multipart/related; type="application/dicom"; transfer-syntax=*', false, false, '*'],
    ['multipart/related; type=application/dicom; transfer-syntax=*', true, false, '*'],
    ['multipart/related; type="application/dicom"', false, false, explicitLittleEndian],
    [`multipart/related;type="application/dicom";transfer-syntax="${jpeg2000}"`, false, false, jpeg2000],
    ['application/dicom', true, true, explicitLittleEndian],
    ['application/dicom; transfer-syntax=*', true, true, '*'],
    ['application/dicom, */*;q=0.1', false, false, '*'],
    [
      'text/html, application/dicom;q=0.5, multipart/related;type="application/dicom";q=0.4',
      true,
      true,
      explicitLittleEndian,
    ],
  ])('%s (one: %s) are given single: %s, as %s', (accept, one, single, transferSyntax) => {
    expect(negotiateInstances(parseAccept(accept), one)[0]).toMatchObject({ single, transferSyntax })
  })

  it('may come as stored where the default cannot be had, unless the client names a transfer syntax', () => {
    const orAsStored = (accept: string) => negotiateInstances(parseAccept(accept), true)[0]?.orAsStored
    expect(orAsStored('application/dicom')).toBe(true)
    expect(orAsStored('multipart/related; type="application/dicom"')).toBe(true)
    expect(orAsStored(`application/dicom; transfer-syntax=${explicitLittleEndian}`)).toBeUndefined()
  })

  it('are asked for as stored first when the client takes any transfer syntax among others', () => {
    const accept = `multipart/related; type="application/dicom"; transfer-syntax=${jpeg2000}, multipart/related; type="application/dicom"; transfer-syntax=*;q=0.5`
    const choices = negotiateInstances(parseAccept(accept), false)
    expect(choices.map(({ transferSyntax }) => transferSyntax)).toEqual(['*', jpeg2000])
  })

  it.each([
    ['application/dicom', false],
    ['application/dicom+xml', true],
    ['multipart/related; type="application/octet-stream"', true],
    ['image/jpeg', true],
    ['*/*;q=0', true],
  ])('%s (one: %s) is not acceptable', (accept, one) => {
    expect(() => negotiateInstances(parseAccept(accept), one)).toThrow(notAcceptable)
  })

  it('a transfer syntax that is none is a bad request', () => {
    expect(() => negotiateInstances(parseAccept('application/dicom; transfer-syntax="a\nb"'), true)).toThrow(
      expect.objectContaining({ code: 'bad-request' }),
    )
  })
})

describe('frames', () => {
  it.each([
    ['*/*', true, false, 'application/octet-stream', '*'],
    [
      'multipart/related; type=application/octet-stream; transfer-syntax=*',
      true,
      false,
      'application/octet-stream',
      '*',
    ],
    [
      'multipart/related; type="application/octet-stream"',
      false,
      false,
      'application/octet-stream',
      explicitLittleEndian,
    ],
    ['multipart/related; type="image/jp2"', false, false, 'image/jp2', '*'],
    [`multipart/related; type="image/jp2"; transfer-syntax=${jpeg2000}`, true, false, 'image/jp2', jpeg2000],
    ['multipart/related', false, false, 'application/octet-stream', '*'],
    ['application/octet-stream', true, true, 'application/octet-stream', explicitLittleEndian],
    ['image/jpeg', true, true, 'image/jpeg', '*'],
    ['video/mp4', true, true, 'video/mp4', '*'],
  ])('%s (one: %s) are given single: %s, as %s in %s', (accept, one, single, mediaType, transferSyntax) => {
    expect(negotiateFrames(parseAccept(accept), one)[0]).toEqual({ single, mediaType, transferSyntax })
  })

  it('of which no transfer syntax is named come as they are stored when nothing else can be had', () => {
    const accept = 'multipart/related; type="application/octet-stream", multipart/related; type="image/jpeg";q=0.5'
    const choices = negotiateFrames(parseAccept(accept), false)
    expect(choices.map(({ mediaType, transferSyntax }) => [mediaType, transferSyntax])).toEqual([
      ['application/octet-stream', explicitLittleEndian],
      ['image/jpeg', '*'],
      ['application/octet-stream', '*'],
    ])
  })

  it.each([
    ['application/octet-stream', false],
    ['application/dicom+json', true],
    ['multipart/related; type="application/dicom"', true],
    ['text/html', true],
  ])('%s (one: %s) is not acceptable', (accept, one) => {
    expect(() => negotiateFrames(parseAccept(accept), one)).toThrow(notAcceptable)
  })
})

describe('bulk data', () => {
  it.each([
    ['*/*', 'application/octet-stream', true],
    ['application/octet-stream', 'video/mp4', true],
    ['video/*', 'video/mp4', true],
    ['application/pdf', 'application/pdf', true],
    ['multipart/related; type="application/octet-stream"', 'application/octet-stream', false],
    ['multipart/related; type="*/*"', 'image/jp2', false],
  ])('%s takes %s, single: %s', (accept, type, single) => {
    expect(negotiateBulkdata(parseAccept(accept), type, 1)).toEqual({ single })
  })

  it.each([
    ['*/*', false],
    ['image/jp2, multipart/related; type="image/jp2"', false],
  ])('of several parts does not come alone for %s', (accept, single) => {
    expect(negotiateBulkdata(parseAccept(accept), 'image/jp2', 2)).toEqual({ single })
  })

  it('of several parts is not acceptable to who takes one', () => {
    expect(() => negotiateBulkdata(parseAccept('image/jp2'), 'image/jp2', 2)).toThrow(notAcceptable)
  })

  it('of a type that is not taken is not acceptable', () => {
    expect(() => negotiateBulkdata(parseAccept('image/png'), 'application/octet-stream', 1)).toThrow(notAcceptable)
  })
})

describe('pictures', () => {
  it.each([
    ['*/*', ['image/jpeg', '*/*']],
    ['image/png', ['image/png']],
    ['image/png;q=0.5, image/jpeg', ['image/jpeg', 'image/png']],
    ['image/*', ['image/jpeg', 'image/png']],
    ['multipart/related; type="image/jpeg"', ['image/jpeg']],
    ['application/pdf', ['application/pdf']],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8', ['image/jpeg', '*/*']],
  ])('%s asks for %j', (accept, types) => {
    expect(negotiateRendered(parseAccept(accept), 'rendered')).toEqual(types)
  })

  it('of a thumbnail are images', () => {
    expect(negotiateRendered(parseAccept('video/mp4, */*'), 'thumbnail')).toEqual(['image/jpeg'])
    expect(() => negotiateRendered(parseAccept('video/mp4'), 'thumbnail')).toThrow(notAcceptable)
  })

  it('as pages are not acceptable', () => {
    expect(() => negotiateRendered(parseAccept('text/html'), 'rendered')).toThrow(notAcceptable)
  })
})

describe('datasets', () => {
  it.each([
    ['application/dicom+json', 'application/dicom+json'],
    ['application/json', 'application/json'],
    ['application/*', 'application/dicom+json'],
    ['multipart/related; type="application/dicom+xml", application/json;q=0.5', 'application/json'],
  ])('%s are given as %s', (accept, type) => {
    expect(negotiateJson(parseAccept(accept))).toBe(type)
  })

  it.each([
    ['multipart/related; type="application/dicom+xml"', { kind: 'xml' }],
    ['multipart/related; type=application/dicom+xml', { kind: 'xml' }],
    ['multipart/related', { kind: 'xml' }],
    ['multipart/*', { kind: 'xml' }],
    ['*/*', { kind: 'json', contentType: 'application/dicom+json' }],
    ['application/json', { kind: 'json', contentType: 'application/json' }],
    [
      'multipart/related; type="application/dicom+xml";q=0.5, application/dicom+json',
      { kind: 'json', contentType: 'application/dicom+json' },
    ],
    ['application/dicom+json;q=0.5, multipart/related; type="application/dicom+xml"', { kind: 'xml' }],
    ['image/png, multipart/related; type="application/dicom+xml";q=0.1', { kind: 'xml' }],
  ])('%s asks for %j', (accept, form) => {
    expect(negotiateDatasets(parseAccept(accept))).toEqual(form)
  })

  it.each(['application/dicom+xml', 'multipart/related; type="application/dicom"', 'text/html'])(
    '%s is not acceptable',
    (accept) => {
      expect(() => negotiateDatasets(parseAccept(accept))).toThrow(notAcceptable)
    },
  )

  it('of an answer that is one are not given in XML', () => {
    expect(() => negotiateJson(parseAccept('multipart/related; type="application/dicom+xml"'))).toThrow(notAcceptable)
  })
})

describe('what a client refuses', () => {
  it.each([
    // Accept, one instance?, single
    ['*/*, multipart/related;q=0', true, true],
    ['application/dicom;q=0, */*', true, false],
    ['application/dicom;q=0, application/*;q=0.5, multipart/related', true, false],
    ['application/*;q=0, application/dicom', true, true],
  ])('%s gives an instance (one: %s) single: %s', (accept, one, single) => {
    expect(negotiateInstances(parseAccept(accept), one)[0]?.single).toBe(single)
  })

  it.each([
    ['*/*, multipart/related;q=0', false],
    ['multipart/related; type="application/dicom";q=0, multipart/related', true],
    ['application/dicom;q=0, application/*', true],
    [`application/dicom; transfer-syntax=${explicitLittleEndian};q=0, application/dicom`, true],
    ['multipart/related;q=0.0, */*;q=0', true],
  ])('%s leaves no form of an instance (one: %s)', (accept, one) => {
    expect(() => negotiateInstances(parseAccept(accept), one)).toThrow(notAcceptable)
  })

  it('is not what a transfer syntax of weight zero does not name', () => {
    const accept = `application/dicom; transfer-syntax=${jpeg2000};q=0, application/dicom`
    expect(negotiateInstances(parseAccept(accept), true)[0]?.transferSyntax).toBe(explicitLittleEndian)
  })

  it.each([
    ['multipart/related; type="image/jp2";q=0, multipart/related; type="image/jp2"; transfer-syntax=*', 1],
    ['multipart/related; type="application/octet-stream";q=0, multipart/related', 0],
    ['multipart/related;q=0, */*', 0],
  ])('%s leaves %d forms of two frames', (accept, count) => {
    const choices = () => negotiateFrames(parseAccept(accept), false)
    if (count === 0) expect(choices).toThrow(notAcceptable)
    else expect(choices()).toHaveLength(count)
  })

  it.each([
    ['application/dicom+json;q=0, */*', { kind: 'json', contentType: 'application/json' }],
    ['application/dicom+json;q=0, application/json;q=0, */*', { kind: 'xml' }],
  ])('%s gives datasets as %j', (accept, form) => {
    expect(negotiateDatasets(parseAccept(accept))).toEqual(form)
  })

  it.each([
    ['image/jpeg;q=0, */*', ['image/png', 'video/mp4', 'application/pdf']],
    ['image/jpeg;q=0, image/*', ['image/png']],
    ['image/*;q=0, */*', ['video/mp4', 'application/pdf']],
    ['image/*;q=0, image/png', ['image/png']],
  ])('%s asks for pictures as %j', (accept, types) => {
    expect(negotiateRendered(parseAccept(accept), 'rendered')).toEqual(types)
  })

  it('of bulk data is what it does not come as', () => {
    const single = (accept: string) => negotiateBulkdata(parseAccept(accept), 'application/octet-stream', 1).single
    expect(single('application/octet-stream;q=0, */*')).toBe(false)
    expect(single('multipart/*;q=0, */*')).toBe(true)
    expect(() => single('application/octet-stream;q=0, multipart/*;q=0, */*')).toThrow(notAcceptable)
  })
})

describe('alternatives', () => {
  const unserved = (reason: FailureReason, other: FailureReason = reason) =>
    noHolderLeft('it', [new ClusterError('north', reason, 'a'), new ClusterError('south', other, 'b')])
  const asking = (answers: Record<string, unknown>) => {
    const asked: string[] = []
    const answer = firstAcceptable(Object.keys(answers), 'bread and butter', async (choice) => {
      asked.push(choice)
      const given = answers[choice]
      if (given instanceof Error) throw given
      return given
    })
    return { asked, answer }
  }

  it.each([
    ['the clusters cannot give it', new LinkError('not-acceptable', 'no a')],
    ['the clusters that answer cannot give it', unserved('unsupported', 'unreachable')],
  ])('are asked for in turn while %s', async (_, refusal) => {
    const { asked, answer } = asking({ a: refusal, b: 'B', c: 'C' })
    expect(await answer).toEqual({ choice: 'b', answer: 'B' })
    expect(asked).toEqual(['a', 'b'])
  })

  it.each([
    ['not-found', new LinkError('not-found', 'nothing')],
    ['unavailable', unserved('unreachable')],
  ])('end with any other failure: %s', async (code, failure) => {
    const { asked, answer } = asking({ a: failure, b: 'B' })
    await expect(answer).rejects.toMatchObject({ code })
    expect(asked).toEqual(['a'])
  })

  it('of which none can be given are a refusal that says what is offered', async () => {
    const { answer } = asking({ a: unserved('unsupported'), b: unserved('unsupported') })
    const message = expect.stringMatching(/north unsupported.*this resource offers bread and butter/)
    await expect(answer).rejects.toMatchObject({ code: 'not-acceptable', message })
  })

  it('of which one could be given at another time say so', async () => {
    const { answer } = asking({ a: unserved('unsupported'), b: unserved('unsupported', 'timed-out') })
    await expect(answer).rejects.toMatchObject({ code: 'unavailable' })
  })
})

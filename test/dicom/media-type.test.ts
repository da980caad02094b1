import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseAccept, parseMediaType } from '../../src/dicom/media-type.ts'

const ranges = (text: string): unknown[] =>
  parseAccept(text).map(({ type, parameters }) => (parameters.size > 0 ? [type, Object.fromEntries(parameters)] : type))

describe('a content type', () => {
  test.each([
    ['application/dicom', 'application/dicom', {}],
    ['Application/DICOM+JSON', 'application/dicom+json', {}],
    [
      'multipart/related; type="application/dicom"; boundary=abc',
      'multipart/related',
      { type: 'application/dicom', boundary: 'abc' },
    ],
    [
      'multipart/related;TYPE=application/dicom;Boundary="a b:c;d,e"',
      'multipart/related',
      { type: 'application/dicom', boundary: 'a b:c;d,e' },
    ],
    ['multipart/related; boundary=a=b/c,d', 'multipart/related', { boundary: 'a=b/c,d' }],
    ['a/b; x="quoted \\"word\\" \\\\"', 'a/b', { x: 'quoted "word" \\' }],
    ['a/b ; x = y ; ; z', 'a/b', { x: 'y' }],
    ['a/b; x=1; X=2', 'a/b', { x: '1' }],
    ['image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90', 'image/jp2', { 'transfer-syntax': '1.2.840.10008.1.2.4.90' }],
  ])('%s is understood', (text, type, parameters) => {
    const parsed = parseMediaType(text)
    expect(parsed?.type).toBe(type)
    expect(Object.fromEntries(parsed?.parameters ?? [])).toEqual(parameters)
  })

  test.each(['', 'dicom', '/', 'a/b/c', '*/*', 'a /b', 'a/b; x="open', `a/b; x=${'y'.repeat(10_000)}`])(
    '%.40j is none',
    (text) => {
      expect(parseMediaType(text)).toBeUndefined()
    },
  )
})

describe('what a client accepts', () => {
  const octets = { type: 'application/octet-stream', 'transfer-syntax': '*' }

  test.each([
    ['application/dicom+json', ['application/dicom+json']],
    ['multipart/related; type=application/octet-stream; transfer-syntax=*', [['multipart/related', octets]]],
    ['multipart/related; type="application/octet-stream"; transfer-syntax=*', [['multipart/related', octets]]],
    ['', []],
    ['a/b,, c/d,', ['a/b', 'c/d']],
    ['a/b;q=0.1, c/d, e/f;q=0.5, g/h', ['c/d', 'g/h', 'e/f', 'a/b']],
    ['a/b;q=0, c/d;q=0.0', []],
    ['a/b;Q=1.000;x=1', [['a/b', { x: '1' }]]],
    ['text/html, image/gif, *; q=.2, */*; q=.2', ['text/html', 'image/gif', '*/*', '*/*']],
    ['a/b;x="1,2;q=0"', [['a/b', { x: '1,2;q=0' }]]],
  ])('%s', (text, expected) => {
    expect(ranges(text)).toEqual(expected)
  })

  test('a browser that opens a PDF in a frame takes anything in the end', () => {
    const accept =
      'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7'
    expect(parseAccept(accept).map(({ type }) => type)).toEqual([
      'text/html',
      'application/xhtml+xml',
      'image/avif',
      'image/webp',
      'image/apng',
      'application/xml',
      '*/*',
      'application/signed-exchange',
    ])
  })

  test.each([
    'json',
    'a/b, nonsense',
    '*/dicom',
    'a/b;q=2',
    'a/b;q=high',
    'a/b;q=-1',
    'a/b; x="open',
    'a/b,'.repeat(200),
    `a/b;x=${'y'.repeat(10_000)}`,
  ])('%.40s is a bad request', (text) => {
    expect(() => parseAccept(text)).toThrow(LinkError)
  })
})

import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { render } from '../../src/render/render.ts'
import { encode, type MadeElement } from './made-bytes.ts'
import { identifiers, madeFile } from './made-image.ts'
import { limits } from './pictures.ts'

const pdf = '1.2.840.10008.5.1.4.1.1.104.1'
const cda = '1.2.840.10008.5.1.4.1.1.104.2'

function encapsulated(sopClass: string, document: string, length?: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length ?? 0)
  const elements: MadeElement[] = [
    ...identifiers(sopClass),
    { tag: '00420011', vr: 'OB', value: Buffer.from(document) },
    ...(length === undefined ? [] : [{ tag: '00420015', vr: 'UL', value: bytes } as const]),
  ]
  return madeFile(elements, { sopClass })
}

const asked = (file: Uint8Array, ...mediaTypes: string[]) =>
  render({ file, frame: 1, mediaTypes, parameters: {} }, limits)

describe('an encapsulated document', () => {
  test.each([
    ['a PDF', pdf, 'application/pdf', ['image/jpeg', '*/*']],
    ['a PDF', pdf, 'application/pdf', ['application/pdf']],
    ['a CDA document', cda, 'text/xml', ['text/xml']],
  ] as const)('%s comes as it is, without padding: %s %s for %s', async (_, sopClass, contentType, types) => {
    const rendered = await asked(encapsulated(sopClass, 'an odd number', 13), ...types)
    expect(rendered.contentType).toBe(contentType)
    expect(Buffer.from(rendered.bytes).toString()).toBe('an odd number')
  })

  test('without its length, or with one beyond its end, it comes as it is stored', async () => {
    for (const length of [undefined, 1000]) {
      const { bytes } = await asked(encapsulated(pdf, 'an odd number', length), '*/*')
      expect(Buffer.from(bytes).toString()).toBe('an odd number\0')
    }
  })

  test('a small deflated file does not become a document that fills the memory', async () => {
    const elements: MadeElement[] = [
      { tag: '00080016', vr: 'UI', value: pdf },
      { tag: '00420011', vr: 'OB', value: Buffer.alloc(2 ** 28 + 2) },
    ]
    const syntax = '1.2.840.10008.1.2.1.99'
    const head = madeFile([], { syntax, sopClass: pdf })
    const bomb = Buffer.concat([head, deflateRawSync(encode(elements), { level: 1 })])
    expect(bomb.length).toBeLessThan(2 ** 22)
    await expect(asked(bomb, '*/*')).rejects.toMatchObject({ code: 'not-acceptable' })
  })

  test('who wants a picture is told what there is', async () => {
    const refused = asked(encapsulated(pdf, 'text'), 'image/jpeg', 'image/png')
    await expect(refused).rejects.toMatchObject({
      code: 'not-acceptable',
      message: expect.stringContaining('application/pdf'),
    })
  })
})

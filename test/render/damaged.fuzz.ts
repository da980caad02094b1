import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { createRenderer } from '../../src/render/renderer.ts'
import { madeImage, wedge } from './made-image.ts'
import { converted, haveDcmtk } from './pictures.ts'

const renderer = createRenderer({ threads: 2 })
afterAll(() => renderer.close())

const grey = madeImage({ rows: 32, columns: 32, pixels: Uint8Array.from(wedge(32, 32, 0, 255)) })
const files = haveDcmtk
  ? [
      grey,
      converted('dcmcrle', [], grey),
      converted('dcmcjpeg', ['+eb'], grey),
      converted('dcmcjpeg', ['+e1'], grey),
      converted('dcmcjpls', ['+el'], grey),
    ]
  : [grey]

/** Behind preamble and meta information, where the image is described and compressed. */
const change = fc.record({ at: fc.double({ min: 0.3, max: 1, noNaN: true }), byte: fc.nat(255) })

test('a damaged file becomes a picture or an error that says so, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...files),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      async (whole, changes) => {
        const file = Buffer.from(whole)
        for (const { at, byte } of changes) file[Math.floor(at * (file.length - 1))] = byte
        const request = { file, frame: 1, mediaTypes: ['image/png'], parameters: {} }
        const made = await renderer.render(request, new AbortController().signal).catch((error: unknown) => error)
        if (made instanceof LinkError) expect(['bad-gateway', 'not-acceptable', 'not-found']).toContain(made.code)
        else expect(made).toMatchObject({ contentType: 'image/png' })
      },
    ),
    { numRuns: 100 },
  )
})

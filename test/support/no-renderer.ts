import { LinkError } from '../../src/core/errors.ts'
import type { Renderer } from '../../src/render/renderer.ts'

/** Makes no pictures. */
export const noRenderer: Renderer = {
  render: async () => {
    throw new LinkError('not-acceptable', 'no pictures are made here')
  },
  close: async () => undefined,
}

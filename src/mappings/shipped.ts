import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { LinkError } from '../core/errors.ts'

/** The tables that come with the product. Works from `src/` and from `dist/` alike: those of the nearest package. */
export const shippedMappings = (): string => {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const candidate = join(folder, 'examples', 'mappings.yaml')
    if (existsSync(candidate)) return candidate
    if (folder === dirname(folder)) {
      throw new LinkError('config', 'mapping tables (file "examples/mappings.yaml") are missing from this installation')
    }
  }
}

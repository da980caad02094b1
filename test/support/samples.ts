import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

const folder = resolve(process.env.DICOM_SAMPLES ?? join(import.meta.dirname, '../../../shared/dicom'))

/** Files that are damaged or lack identifiers, which an archive refuses. */
const refused = new Set(
  ['MR_truncated', 'rtplan_truncated', 'badVR', 'no_meta', 'JPEGLSNearLossless_16', 'UN_sequence', 'priv_SQ'].map(
    (name) => `${name}.dcm`,
  ),
)

/** Path of a published sample file, or `undefined` where the folder of samples is missing. */
export function sample(name: string): string | undefined {
  const path = join(folder, name)
  return existsSync(path) ? path : undefined
}

/** Paths of all sample files an archive takes; none where the folder is missing. */
export function samples(): string[] {
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).filter((name) => name.endsWith('.dcm') && !refused.has(name))
  return names.sort().map((name) => join(folder, name))
}

import type { Attribute, Dataset } from '../../src/dicom/dataset.ts'
import { tagOf, vrOf } from '../../src/dicom/dictionary.ts'

/** A dotted key by keywords or tags as a path. */
export const pathOf = (key: string): string[] => key.split('.').map((step) => tagOf(step) ?? step)

/** Attributes by keyword or tag with the VR of the dictionary. */
export function dataset(values: Readonly<Record<string, unknown>>): Dataset {
  const entries = Object.entries(values).map(([keyword, value]) => {
    const tag = tagOf(keyword) ?? keyword
    return [tag, { vr: vrOf(tag), Value: Array.isArray(value) ? value : [value] }] satisfies [string, Attribute]
  })
  return Object.fromEntries(entries)
}

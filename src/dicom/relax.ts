import { vrOf } from './dictionary.ts'
import type { Constraint } from './query.ts'
import { listOf, takesWildcards } from './values.ts'

/** What passes unharmed through archives that decode no percent-encoding, and means itself in any matcher. */
const harmful = /[^\w.*?-]+/gu

/**
 * The value of a key for archives that mishandle encodings: what would need percent-encoding, is not ASCII, or is
 * read differently by different archives (carets, commas) becomes `*`. It asks for more than the key itself, never
 * for less: the answer has to be matched again. Keys of VRs without wildcards stay as they are.
 */
export function relaxedValue({ path, value }: Constraint): string {
  const vr = vrOf(path.at(-1) ?? '')
  if (!takesWildcards(vr)) return value
  if (vr === 'CS') return listOf(value).map(relax).join(',')
  if (vr !== 'PN' || value.trim() === '') return relax(value)
  // Archives that compare whole names have to be let off the component groups before and after the one meant.
  return relax(`*${value.normalize('NFC')}*`)
}

const relax = (value: string): string => value.trim().replaceAll(harmful, '*').replaceAll(/\*+/g, '*')

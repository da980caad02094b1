import { vrOf } from './dictionary.ts'
import { accentless, fuzzyWords } from './names.ts'
import type { Constraint } from './query.ts'
import { hasSpellings, isUniversal, listOf, takesWildcards } from './values.ts'

/** What passes unharmed through archives that decode no percent-encoding, and means itself in any matcher. */
const harmful = /[^\w.*-]+/gu

/**
 * The value of a key for archives that mishandle encodings: what would need percent-encoding, is not ASCII, or is read
 * differently by different archives (carets, commas, `?`, which is a byte to some) becomes `*`. It asks for more than
 * the key itself, never for less: the answer has to be matched again. What cannot be asked for so is not asked for:
 * an empty value, met by everything, stands for keys that are met by what has no value (not every archive takes `*` for
 * that), for date-times with an offset from UTC, and for values that can be spelled in several ways.
 */
export function relaxedValue({ path, value, fuzzy, empty, timezone }: Constraint): string {
  const vr = vrOf(path.at(-1) ?? '')
  if (empty || isUniversal(vr, value) || hasSpellings(vr)) return ''
  if (vr === 'DT' && (timezone !== undefined || hasOffset(value))) return ''
  if (vr === 'UN') return isHarmless(value) ? value : ''
  if (!takesWildcards(vr)) return value
  if (vr === 'CS') return listOf(value).map(relax).join(',')
  if (vr !== 'PN') return relax(value)
  // Archives that compare whole names have to be let off the component groups before and after the one meant.
  return fuzzy ? relaxFuzzy(value) : relax(`*${value.normalize('NFC')}*`)
}

const relax = (value: string): string => collapse(value.trim().replaceAll(harmful, '*'))

const collapse = (value: string): string => value.replaceAll(/\*+/g, '*')

const isHarmless = (value: string): boolean => value.trim().search(harmful) < 0

/** With a hyphen before its four digits it may also be a range of years, which is then not asked for either. */
const hasOffset = (value: string): boolean => /[+-]\d{4}(?=\s*(-|$))/.test(value)

/**
 * Of the words of a fuzzy key, which may be in any order, the most telling one, with `*` for all letters that a name
 * may have with an accent, or two letters for one.
 */
function relaxFuzzy(value: string): string {
  const masks = fuzzyWords(value.normalize('NFC')).map((word) => collapse(`*${word.replaceAll(accented, '*')}*`))
  return masks.toSorted((a, b) => literalsIn(b) - literalsIn(a))[0] ?? ''
}

const accented = new RegExp(`[^${accentless}\\d]`, 'giu')

const literalsIn = (mask: string): number => mask.replaceAll('*', '').length

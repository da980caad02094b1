import { compileGlob, hasWildcard } from './glob.ts'

/**
 * A key for a person name, matched in any case, accents as they are. It may be met by any one component group
 * (alphabetic, ideographic, phonetic); when it names groups itself (`=`), each by the group in its place.
 */
export function compileName(value: string): (text: string) => boolean {
  const groups = value.split('=').map((group) => (group.trim() === '' ? undefined : compileNameGroup(group)))
  if (groups.length === 1) return (text) => text.split('=').some(groups[0] ?? (() => true))
  return (text) => {
    const given = text.split('=')
    return groups.every((test, at) => test === undefined || test(given[at] ?? ''))
  }
}

function compileNameGroup(value: string): (text: string) => boolean {
  const pattern = nameForm(value)
  const matches = compileGlob(pattern)
  // Empty components at the end may be written or left out: a key with wildcards may ask for them either way.
  if (!(hasWildcard(pattern) && pattern.includes('^'))) return (text) => matches(nameForm(text))
  return (text) => {
    const name = nameForm(text)
    return matches(name) || matches(name + '^'.repeat(Math.max(0, 4 - (name.split('^').length - 1))))
  }
}

const nameForm = (text: string): string =>
  lowerCase(text.normalize('NFC'))
    .replace(/[\s^]+$/, '')
    .trimStart()

/** One character for one: a sigma is one wherever it stands, and a dotted capital I has no lower case of one letter. */
const lowerCase = (text: string): string => text.replaceAll('İ', 'i').toLowerCase().replaceAll('ς', 'σ')

/**
 * Fuzzy matching of a person name, PS3.18 8.3.4.2, in any case and without regard to accents: the first word of the key
 * is the beginning of the family name, each further word the beginning of some component, or of a word in it; of any
 * of the component groups. Letters with two spellings match either way: `ü` is `u` and `ue`.
 */
export function compileFuzzyName(value: string): (text: string) => boolean {
  const [first, ...others] = fuzzyWords(value).map(compileBeginning)
  return (text) => {
    const groups = text.split('=').map((group) => group.split('^'))
    const components = groups.flat()
    const families = groups.map(([family = '']) => family)
    return (first === undefined || families.some(first)) && others.every((test) => components.some(test))
  }
}

/** The words of a key; none in one of separators alone. */
export const fuzzyWords = (value: string): string[] => value.split(/[\s,^=]+/).filter((word) => word !== '')

function compileBeginning(word: string): (component: string) => boolean {
  const wanted = spellings.map((spell) => spell(word))
  return (component) => spellings.some((spell, at) => hasWord(spell(component), wanted[at] ?? ''))
}

/** Whether a component, or a word in it, begins so. */
const hasWord = (component: string, beginning: string): boolean =>
  component.startsWith(beginning) ||
  [...component.matchAll(/[\s-]/g)].some(({ index }) => component.startsWith(beginning, index + 1))

/** Letters without a decomposition in Unicode, and how they are written where they are not at hand. */
const transcriptions: Readonly<Record<string, string>> = {
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  ø: 'o',
  ł: 'l',
  đ: 'd',
  ð: 'd',
  þ: 'th',
  ħ: 'h',
  ŧ: 't',
  ŋ: 'n',
  ı: 'i',
}

/** German and Scandinavian transcriptions of letters that others write without their accents. */
const expansions: Readonly<Record<string, string>> = { ä: 'ae', ö: 'oe', ü: 'ue', ø: 'oe', å: 'aa' }

/**
 * Letters that no transcription gives and whose accents are kept, as hardly any language has them: what stands for
 * them in a key stands for them in every name that matches it, so that archives can be asked for them.
 */
export const accentless = 'bfmpqvx'

const accents = new RegExp(`([^${accentless}\\u0300-\\u036f])[\\u0300-\\u036f]+`, 'g')

function withoutAccents(text: string): string {
  return lowerCase(text)
    .normalize('NFD')
    .replaceAll(accents, '$1')
    .normalize('NFC')
    .replaceAll(/[ßæœøłđðþħŧŋı]/g, (letter) => transcriptions[letter] ?? letter)
}

const expanded = (text: string): string =>
  lowerCase(text.normalize('NFC')).replaceAll(/[äöüøå]/g, (letter) => expansions[letter] ?? letter)

/** Each of them is applied to the key and to the name. */
const spellings: readonly ((text: string) => string)[] = [withoutAccents, (text) => withoutAccents(expanded(text))]

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mapStudy, parseMappings } from '../../src/link/mappings.ts'
import { compilePattern } from '../../src/link/mappings-pattern.ts'

const runs = { seed: 20_260_103, numRuns: 20_000, interruptAfterTimeLimit: 4_000 }

/** What a pattern means, said as plainly as possible. */
function naive(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  if (pattern.startsWith('%')) return naive(pattern.slice(1), text) || (text !== '' && naive(pattern, text.slice(1)))
  return pattern[0] === text[0] && naive(pattern.slice(1), text.slice(1))
}

const word = (...letters: readonly string[]) =>
  fc.array(fc.constantFrom(...letters), { maxLength: 12 }).map((all) => all.join(''))

test('patterns mean what a naive reading of them means', () => {
  fc.assert(
    fc.property(word('a', 'b', '%', '%', 'ab'), word('a', 'b', 'ab'), (pattern, text) => {
      expect(compilePattern(pattern)(text)).toBe(naive(pattern, text))
    }),
    runs,
  )
})

test('the characters of regular expressions and globs mean themselves', () => {
  fc.assert(
    fc.property(word('*', '?', '.', '\\', '[', '(', '+', '^', '$', '|', '%', 'ä', '𝄞'), (pattern) => {
      const text = pattern.replaceAll('%', 'x')
      expect(compilePattern(pattern)(text)).toBe(naive(pattern, text))
    }),
    runs,
  )
})

test('the first rule that matches by a naive reading is the one that fires', () => {
  const patterns = fc.uniqueArray(
    word('a', 'b', '%').filter((pattern) => pattern !== ''),
    { minLength: 1, maxLength: 6 },
  )
  fc.assert(
    fc.property(patterns, word('a', 'b'), (all, text) => {
      const rules = all.map((pattern, rule) => ({ rule, when: { StudyDescription: pattern }, gives: 'X' }))
      const mappings = parseMappings(JSON.stringify({ specialty: rules.toReversed() }), 'fuzz')
      const facts = { studyDescription: text, procedureCodes: [], modalities: [], bodyParts: [], institutions: [] }
      const expected = all.findIndex((pattern) => naive(pattern, text))
      expect(mapStudy(mappings, facts).specialty.rule ?? -1).toBe(expected)
    }),
    { ...runs, numRuns: 1_000 },
  )
})

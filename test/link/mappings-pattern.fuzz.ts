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

const keys = ['StudyDescription', 'Modality', 'BodyPartExamined'] as const
const pattern = word('a', 'b', 'abc', '%', '%').filter((text) => text !== '')
const rule = fc.dictionary(fc.constantFrom(...keys), fc.array(pattern, { minLength: 1, maxLength: 3 }), { maxKeys: 3 })
const text = word('a', 'b', 'abc')

test('the first rule whose conditions are met by a naive reading is the one that fires', () => {
  const studies = fc.record({ StudyDescription: text, Modality: fc.array(text), BodyPartExamined: fc.array(text) })
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 8 }), studies, (all, study) => {
      const rules = all.map((when, number) => ({ rule: number, when, gives: 'X' }))
      const mappings = parseMappings(JSON.stringify({ specialty: rules.toReversed() }), 'fuzz')
      const texts = { ...study, StudyDescription: [study.StudyDescription] }
      const meets = (when: (typeof all)[number]) =>
        keys.every((key) => {
          const given = texts[key].length > 0 ? texts[key] : ['']
          return when[key] === undefined || given.some((it) => when[key]?.some((one) => naive(one, it)))
        })
      const facts = {
        studyDescription: study.StudyDescription,
        procedureCodes: [],
        modalities: study.Modality,
        bodyParts: study.BodyPartExamined,
        institutions: [],
      }
      expect(mapStudy(mappings, facts).specialty.rule ?? -1).toBe(all.findIndex(meets))
    }),
    { ...runs, numRuns: 3_000 },
  )
})

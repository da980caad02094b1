import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileGlob } from '../../src/dicom/glob.ts'
import { compileConstraint, matchConstraint } from '../../src/dicom/match.ts'
import { relaxedValue } from '../../src/dicom/relax.ts'

const runs = { seed: 20_260_103, numRuns: 10_000, interruptAfterTimeLimit: 4_000 }

/** What a glob means, said as plainly as possible. */
function naive(pattern: readonly string[], text: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return text.length === 0
  if (first === '*') return naive(rest, text) || (text.length > 0 && naive(pattern, text.slice(1)))
  return text.length > 0 && (first === '?' || first === text[0]) && naive(rest, text.slice(1))
}

const symbols = (...letters: readonly string[]) => fc.array(fc.constantFrom(...letters), { maxLength: 10 })

test('wildcards mean what a naive reading of them means', () => {
  fc.assert(
    fc.property(symbols('a', 'b', '𝄞', '*', '?'), symbols('a', 'b', '𝄞'), (pattern, text) => {
      expect(compileGlob(pattern.join(''))(text.join(''))).toBe(naive(pattern, text))
    }),
    runs,
  )
})

test('a hostile pattern is answered in bounded steps', () => {
  const matches = compileGlob('*a'.repeat(500))
  expect(matches(`${'a'.repeat(5_000)}b`)).toBe(false)
})

const nameLetters = ['A', 'b', '^', '=', ',', ' ', 'ü', 'u\u0308', '山', '?', '*', '-', '%']
const keywords = ['00100010', '00081030', '00080061', '00100020', '0020000D', '00080020', '00080030', '0040A13A']

test('a relaxed key is met by every value the key itself is met by', () => {
  const value = symbols(...nameLetters.filter((letter) => letter !== '*' && letter !== '?')).map((all) => all.join(''))
  fc.assert(
    fc.property(
      fc.constantFrom('00100010', '00081030', '00080061'),
      symbols(...nameLetters),
      value,
      (tag, key, text) => {
        const constraint = { path: [tag], value: key.join('') }
        const dataset = { [tag]: { vr: 'LO', Value: [text] } }
        const relaxed = { path: [tag], value: relaxedValue(constraint) }
        if (matchConstraint(dataset, compileConstraint(constraint)) !== 'match') return
        expect(matchConstraint(dataset, compileConstraint(relaxed))).toBe('match')
      },
    ),
    runs,
  )
})

test('any value of any attribute is judged or refused, never a crash', () => {
  const odd = fc.oneof(
    fc.string(),
    fc.constantFrom('20220101', '-', '10-', '1.2', '2022-0500-'),
    fc.integer(),
    fc.object(),
  )
  fc.assert(
    fc.property(fc.constantFrom(...keywords), fc.string(), fc.array(odd), (tag, key, values) => {
      let compiled: ReturnType<typeof compileConstraint>
      try {
        compiled = compileConstraint({ path: [tag], value: key })
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad-request' })
        return
      }
      expect(['match', 'no-match', 'absent']).toContain(
        matchConstraint({ [tag]: { vr: 'LO', Value: values } }, compiled),
      )
    }),
    runs,
  )
})

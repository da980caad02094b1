import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseMappings } from '../../src/link/mappings.ts'

const good = `
specialty:
  - { rule: 900, when: {}, gives: GENERAL }
  - { rule: 10, when: { StudyDescription: ['%BRAIN%', '%Brain%'], Modality: MR }, gives: [NEURO, ENT] }
bodyPart:
  - { rule: 10, when: { BodyPartExamined: HEAD }, gives: [HEAD] }
`

/** The lines of the refusal, without the first, or nothing when the text is taken. */
function problems(text: string): string[] {
  try {
    parseMappings(text, 'tables.yaml')
    return []
  } catch (thrown) {
    if (!(thrown instanceof LinkError) || thrown.code !== 'config') throw thrown
    const [first, ...lines] = thrown.message.split('\n')
    expect(first).toBe('mapping tables tables.yaml cannot be used:')
    return lines.map((line) => line.trim())
  }
}

const rule = (fields: object) => JSON.stringify({ specialty: [{ rule: 10, when: {}, gives: 'A', ...fields }] })
const bodyRule = (fields: object) => JSON.stringify({ bodyPart: [{ rule: 10, when: {}, gives: 'A', ...fields }] })

describe('a file of mapping tables', () => {
  test('is read in YAML, its rules in the order of their numbers', () => {
    const { specialty, bodyPart } = parseMappings(good, 'tables.yaml')
    expect(specialty.map(({ rule, when, gives }) => ({ rule, when, gives }))).toEqual([
      { rule: 10, when: { StudyDescription: ['%BRAIN%', '%Brain%'], Modality: ['MR'] }, gives: ['NEURO', 'ENT'] },
      { rule: 900, when: {}, gives: ['GENERAL'] },
    ])
    expect(bodyPart).toMatchObject([{ rule: 10, when: { BodyPartExamined: ['HEAD'] }, gives: ['HEAD'] }])
  })

  test('is read in JSON', () => {
    expect(parseMappings(rule({ when: { Modality: ['MR', 'CT'] } }), 'x').specialty).toMatchObject([
      { rule: 10, when: { Modality: ['MR', 'CT'] }, gives: ['A'] },
    ])
  })

  test('may leave a table out', () => {
    expect(parseMappings('bodyPart: []', 'x')).toMatchObject({ specialty: [], bodyPart: [] })
  })

  test.each([
    ['', 'the file is empty'],
    ['# nothing', 'the file is empty'],
    ['specialty: []\n---\nspecialty: []', 'more than one document'],
    ['specialty: [', 'line 1'],
    ['specialty: []\nspecialty: []', 'Map keys must be unique at line 2'],
    ['specialty:\n  - { rule: 1, when: { Modality: %MR% }, gives: A }', "put patterns in quotes: '%BRAIN%'"],
    ['hello', 'the file: "hello" is not allowed; expected an object with the keys specialty and bodyPart'],
    ['[]', 'the file: a list of 0 is not allowed'],
    ['speciality: []', 'speciality: unknown key; allowed are specialty and bodyPart'],
    ['specialty: {}', 'specialty: an object with no keys is not allowed; expected a list of rules, at most 10000'],
    ['specialty:', 'specialty: null is not allowed; expected a list of rules'],
    ['specialty: [5]', 'specialty, entry 1 of the list: 5 is not allowed; expected a rule with the keys rule, when'],
    [rule({ whne: {} }), 'specialty, rule 10: whne: unknown key; allowed are rule, when and gives'],
    [rule({ rule: undefined }), 'specialty, entry 1 of the list: rule: missing; expected a whole number from 0'],
    [rule({ rule: 'first' }), 'specialty, entry 1 of the list: rule: "first" is not allowed; expected a whole number'],
    [rule({ rule: 1.5 }), 'specialty, rule 1.5: rule: 1.5 is not allowed; expected a whole number'],
    [rule({ rule: -1 }), 'specialty, rule -1: rule: -1 is not allowed'],
    [rule({ when: undefined }), 'specialty, rule 10: when: missing; expected an object with any of the keys Study'],
    [rule({ when: null }), 'specialty, rule 10: when: null is not allowed; expected an object'],
    [rule({ when: { modality: 'MR' } }), 'rule 10: when.modality: unknown key; allowed are StudyDescription, Proc'],
    [rule({ when: { Modality: '' } }), 'rule 10: when.Modality: "" is not allowed; expected one to 200 patterns'],
    [rule({ when: { Modality: [] } }), 'rule 10: when.Modality: a list of 0 is not allowed'],
    [rule({ when: { Modality: ['MR', ''] } }), 'rule 10: when.Modality: "" is not allowed'],
    [rule({ when: { ProcedureCode: 70551 } }), 'when.ProcedureCode: 70551 is not allowed; expected one to 200 pattern'],
    [rule({ when: { Modality: null } }), 'when.Modality: null is not allowed'],
    [rule({ when: { Modality: [['MR']] } }), 'when.Modality: a list of 1 is not allowed'],
    [rule({ when: { Modality: ' MR' } }), 'when.Modality: " MR" is not allowed; expected one to 200 patterns of 1 to'],
    [rule({ when: { Modality: 'M\nR' } }), 'when.Modality: "M\\nR" is not allowed'],
    [rule({ when: { Modality: '%'.repeat(257) } }), 'is not allowed; expected one to 200 patterns of 1 to 256 char'],
    [rule({ when: { Modality: Array(201).fill('MR') } }), 'when.Modality: a list of 201 is not allowed'],
    [rule({ gives: undefined }), 'specialty, rule 10: gives: missing; expected one to 16 LO values'],
    [rule({ gives: '' }), 'specialty, rule 10: gives: "" is not allowed'],
    [rule({ gives: [] }), 'gives: a list of 0 is not allowed'],
    [rule({ gives: 'x'.repeat(65) }), 'is not allowed; expected one to 16 LO values of 1 to 64 characters'],
    [rule({ gives: 'A\\B' }), 'gives: "A\\\\B" is not allowed'],
    [rule({ gives: Array(17).fill('A') }), 'gives: a list of 17 is not allowed'],
    [bodyRule({ gives: 'Head' }), 'bodyPart, rule 10: gives: "Head" is not allowed; expected one to 16 CS values of 1'],
    [bodyRule({ gives: 'A'.repeat(17) }), 'expected one to 16 CS values of 1 to 16 upper-case letters'],
    [bodyRule({ gives: ' HEAD' }), 'gives: " HEAD" is not allowed'],
    [bodyRule({ gives: 5 }), 'gives: 5 is not allowed'],
  ])('%s is refused: %s', (text, problem) => {
    expect(problems(text)).toEqual([expect.stringContaining(problem)])
  })

  test.each([
    ['letters beyond ASCII and signs in a specialty', rule({ gives: 'Röntgen / ER' })],
    ['patterns of 256 characters', rule({ when: { StudyDescription: 'x'.repeat(256) } })],
    ['values of 64 characters', rule({ gives: 'x'.repeat(64) })],
    ['digits, spaces and underscores in a body part', bodyRule({ gives: 'C_SPINE 1' })],
    ['10000 rules', JSON.stringify({ specialty: numbered(10_000) })],
  ])('%s are taken', (_, text) => {
    expect(problems(text)).toEqual([])
  })

  test('has all its problems told at once, each with its table and rule', () => {
    const text = JSON.stringify({
      specialty: [
        { rule: 1, when: { Modality: '' }, gives: 'A' },
        { rule: 2, when: {}, gives: 7 },
        { rule: 2, when: {}, gives: 'B' },
      ],
      bodyPart: [{ rule: 3, when: {}, gives: 'head', color: 1 }],
    })
    expect(problems(text)).toEqual([
      expect.stringMatching(/^specialty, rule 1: when.Modality/),
      expect.stringMatching(/^specialty, rule 2: gives: 7/),
      expect.stringMatching(/^bodyPart, rule 3: gives: "head"/),
      expect.stringMatching(/^bodyPart, rule 3: color: unknown key/),
      'specialty, rule 2: there 2 times; expected a number no other rule has',
    ])
  })

  test('may have the same number in both tables', () => {
    const table = [{ rule: 1, when: {}, gives: 'A' }]
    expect(problems(JSON.stringify({ specialty: table, bodyPart: table }))).toEqual([])
  })

  test('with too many rules, too many problems or too much text is refused in few words', () => {
    expect(problems(JSON.stringify({ specialty: numbered(10_001) }))).toEqual([
      'specialty: a list of 10001 is not allowed; expected a list of rules, at most 10000',
    ])
    const lines = problems(JSON.stringify({ specialty: numbered(150).map((it) => ({ ...it, gives: '' })) }))
    expect(lines).toHaveLength(101)
    expect(lines.at(-1)).toBe('and 50 more problems')
    expect(problems('#'.repeat(9_000_000))).toEqual(['longer than 8388608 characters'])
  })

  test('with aliases that grow without end is refused', () => {
    const level = (n: number) => `l${n}: &l${n} [${Array(9).fill(`*l${n - 1}`)}]`
    const text = ['l0: &l0 [a]', ...Array.from({ length: 9 }, (_, n) => level(n + 1))].join('\n')
    expect(problems(text)).toEqual([expect.stringContaining('alias')])
  })
})

function numbered(count: number): object[] {
  return Array.from({ length: count }, (_, rule) => ({ rule, when: {}, gives: 'A' }))
}

describe('the digest', () => {
  const digest = (text: string) => parseMappings(text, 'x').digest

  test('is that of what the tables say, whatever the order of the file, its format and its comments', () => {
    const same = JSON.stringify({
      bodyPart: [{ gives: 'HEAD', when: { BodyPartExamined: ['HEAD'] }, rule: 10 }],
      specialty: [
        { rule: 10, when: { Modality: ['MR'], StudyDescription: ['%Brain%', '%BRAIN%'] }, gives: ['NEURO', 'ENT'] },
        { rule: 900, when: {}, gives: ['GENERAL'] },
      ],
    })
    expect(digest(good)).toMatch(/^[0-9a-f]{64}$/)
    expect(digest(`# a comment\n${good}`)).toBe(digest(good))
    expect(digest(same)).toBe(digest(good))
  })

  test.each([
    ['a number', good.replace('900', '901')],
    ['a pattern', good.replace('%Brain%', '%brain%')],
    ['a key', good.replace('Modality', 'ProcedureCode')],
    ['a value', good.replace('GENERAL', 'OTHER')],
    ['the order of values', good.replace('NEURO, ENT', 'ENT, NEURO')],
    ['the table', good.replace('specialty', 'x').replace('bodyPart', 'specialty').replace('x:', 'bodyPart:')],
  ])('changes with %s', (_, text) => {
    expect(digest(text)).not.toBe(digest(good))
  })
})

import { describe, expect, test } from 'vitest'
import { parseUid } from '../../src/dicom/uid.ts'
import { parseMappings } from '../../src/link/mappings.ts'
import { Comparison } from '../../src/mappings/compare.ts'

const rule = (number: number, pattern: string, gives: string | string[]) => ({
  rule: number,
  when: { StudyDescription: pattern },
  gives,
})
const tables = (specialty: object[], bodyPart: object[] = []) =>
  parseMappings(JSON.stringify({ specialty, bodyPart }), 'test')

const old = tables([rule(1, '%BRAIN%', 'NEURO'), rule(9, '%', 'GENERAL')], [rule(1, '%BRAIN%', 'HEAD')])
const fresh = tables(
  [rule(1, '%BRAIN%', ['NEURO', 'ENT']), rule(2, '%KNEE%', 'MSK'), rule(3, '%EAR%', 'ENT'), rule(4, '%X%', 'GENERAL')],
  [rule(1, '%BRAIN%', 'HEAD')],
)

function compared(descriptions: readonly string[], [before, after] = [old, fresh]) {
  const comparison = new Comparison(before, after)
  for (const [at, studyDescription] of descriptions.entries()) {
    const facts = { studyDescription, procedureCodes: [], modalities: [], bodyParts: [], institutions: [] }
    comparison.add(parseUid(`1.2.${at}`, 'study'), facts)
  }
  return comparison.result()
}

describe('a comparison of tables', () => {
  test('counts the studies whose values change, by what they change from and to', () => {
    const { specialty, bodyPart } = compared(['BRAIN', 'KNEE', 'BRAIN 2', 'X', 'OTHER'])
    expect(specialty.changed).toBe(4)
    expect(specialty.changes).toEqual([
      { from: ['NEURO'], to: ['NEURO', 'ENT'], studies: 2, examples: ['1.2.0', '1.2.2'] },
      { from: ['GENERAL'], to: ['MSK'], studies: 1, examples: ['1.2.1'] },
      { from: ['GENERAL'], to: [], studies: 1, examples: ['1.2.4'] },
    ])
    expect(bodyPart).toMatchObject({ changed: 0, changes: [] })
  })

  test('counts how often each new rule fires, and the studies that none matches', () => {
    const { specialty, bodyPart } = compared(['BRAIN', 'KNEE', 'BRAIN 2', 'X', 'OTHER'])
    expect(specialty.rules).toEqual([
      { rule: 1, studies: 2 },
      { rule: 2, studies: 1 },
      { rule: 3, studies: 0 },
      { rule: 4, studies: 1 },
    ])
    expect([specialty.unmapped, bodyPart.unmapped]).toEqual([1, 3])
  })

  test('gives ten studies as examples of a change, each once', () => {
    const comparison = new Comparison(old, fresh)
    const facts = { studyDescription: 'KNEE', procedureCodes: [], modalities: [], bodyParts: [], institutions: [] }
    for (let at = 0; at < 60; at++) comparison.add(parseUid(`1.2.${Math.floor(at / 3)}`, 'study'), facts)
    const [change] = comparison.result().specialty.changes
    expect(change?.studies).toBe(60)
    expect(change?.examples).toEqual(Array.from({ length: 10 }, (_, at) => `1.2.${at}`))
  })

  test('tells at most a thousand changes, and counts all', () => {
    const many = tables(Array.from({ length: 1100 }, (_, at) => rule(at, `S${at}`, `V${at}`)))
    const { specialty } = compared(
      Array.from({ length: 1100 }, (_, at) => `S${at}`),
      [tables([]), many],
    )
    expect(specialty.changes).toHaveLength(1000)
    expect(specialty.changed).toBe(1100)
  })
})
